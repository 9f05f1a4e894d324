// A kernel in small: S-mode in the upper half of the address space, a user
// program below, Sv39 between them and memory. The user program reads the time
// and makes system calls, so that a log has entries from both modes, at virtual
// addresses that are not where the ELF file says.
#include "machine.h"

#define KERNEL_OFFSET 0xffffffff00000000UL // physical to the kernel's addresses
#define USER_OFFSET 0x80000000UL           // the user's to physical
#define DEVICES 0xffffffffc0000000UL       // where the kernel sees physical 0

#define PTE_V 0x01UL
#define PTE_RWX 0x0eUL
#define PTE_RW 0x06UL
#define PTE_U 0x10UL
#define PTE_AD 0xc0UL
#define PTE(phys, flags) ((phys) >> 12 << 10 | (flags) | PTE_V | PTE_AD)

#define SCAUSE_USER_CALL 8
#define CALL_TIME 1
#define CALL_EXIT 2

static uint64_t root[512] __attribute__((aligned(4096)));

_Noreturn void enter_kernel(uintptr_t entry, uintptr_t offset);
_Noreturn void enter_user(uintptr_t entry);
void kernel_trap_entry(void);
void user_main(void);

__attribute__((noinline)) static void kernel_write(const char *text) {
    for (; *text; text++)
        write8(DEVICES + UART, *text);
}

__attribute__((noinline)) static _Noreturn void kernel_exit(bool pass) {
    write32(DEVICES + FINISHER, pass ? FINISHER_PASS : FINISHER_FAIL | 1 << 16);
    for (;;)
        ;
}

__attribute__((noinline)) static uint64_t kernel_time(void) { return csr_read(time); }

uint64_t kernel_trap(uint64_t cause, uint64_t call) {
    static uint64_t calls;
    if (cause == SCAUSE_USER_CALL && call == CALL_TIME) {
        if (++calls % 250 == 0)
            kernel_write("modes: 250 calls\n");
        return kernel_time();
    }
    kernel_exit(cause == SCAUSE_USER_CALL && call == CALL_EXIT);
}

static void kernel_main(void) {
    csr_write(stvec, (uintptr_t)kernel_trap_entry);
    csr_write(scounteren, 2);
    kernel_write("modes: kernel\n");
    enter_user((uintptr_t)user_main - KERNEL_OFFSET - USER_OFFSET);
}

int main(void) {
    root[0] = PTE(0x80000000UL, PTE_RWX | PTE_U);
    root[510] = PTE(0x80000000UL, PTE_RWX);
    root[511] = PTE(0UL, PTE_RW);
    csr_write(pmpaddr0, ~0UL);
    csr_write(pmpcfg0, 0x1f); // all of it, for every mode
    csr_write(medeleg, 1 << SCAUSE_USER_CALL);
    csr_write(mcounteren, 2);
    csr_write(satp, 8UL << 60 | (uintptr_t)root >> 12);
    asm volatile("sfence.vma" ::: "memory");
    enter_kernel((uintptr_t)kernel_main + KERNEL_OFFSET, KERNEL_OFFSET);
}
