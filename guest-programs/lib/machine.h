// The machine as the programs see it: the addresses of QEMU's virt board, the
// CSRs, and the few instructions that C has no word for. The device tree is
// not read: these addresses are what the machine promises.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FINISHER 0x00100000UL
#define FINISHER_PASS 0x5555
#define FINISHER_FAIL 0x3333 // | status << 16

#define CLINT_MTIMECMP 0x02004000UL
#define CLINT_MTIME 0x0200bff8UL
#define TICKS_PER_MS 10000 // the time base is 10 MHz
#define NS_PER_TICK 100

#define PLIC_PRIORITY 0x0c000000UL // + 4 * irq
#define PLIC_ENABLE 0x0c002000UL   // context 0: hart 0, M-mode
#define PLIC_THRESHOLD 0x0c200000UL
#define PLIC_CLAIM 0x0c200004UL

#define UART 0x10000000UL
#define UART_IRQ 10

#define VIRTIO_SLOT(n) (0x10001000UL + (n) * 0x1000UL)
#define VIRTIO_SLOTS 8
#define VIRTIO_IRQ(n) (1 + (n))

#define MSTATUS_MIE (1UL << 3)
#define MIE_MTIE (1UL << 7)
#define MIE_MEIE (1UL << 11)
#define INTERRUPT (1UL << 63) // in mcause
#define CAUSE_MACHINE_EXTERNAL (INTERRUPT | 11)

// `name` is a CSR's name or its number.
#define csr_read(name)                                                         \
    ({                                                                         \
        uint64_t value_;                                                       \
        asm volatile("csrr %0, " #name : "=r"(value_)::"memory");              \
        value_;                                                                \
    })
#define csr_write(name, value)                                                 \
    asm volatile("csrw " #name ", %0" ::"r"(value) : "memory")
#define csr_set(name, bits)                                                    \
    asm volatile("csrs " #name ", %0" ::"r"(bits) : "memory")
#define csr_clear(name, bits)                                                  \
    asm volatile("csrc " #name ", %0" ::"r"(bits) : "memory")

static inline uint8_t read8(uintptr_t at) { return *(volatile uint8_t *)at; }
static inline uint32_t read32(uintptr_t at) { return *(volatile uint32_t *)at; }
static inline uint64_t read64(uintptr_t at) { return *(volatile uint64_t *)at; }
static inline void write8(uintptr_t at, uint8_t v) { *(volatile uint8_t *)at = v; }
static inline void write32(uintptr_t at, uint32_t v) { *(volatile uint32_t *)at = v; }
static inline void write64(uintptr_t at, uint64_t v) { *(volatile uint64_t *)at = v; }

static inline void wfi(void) { asm volatile("wfi" ::: "memory"); }
static inline void fence(void) { asm volatile("fence" ::: "memory"); }

static inline void plic_enable(uint32_t irq) {
    write32(PLIC_PRIORITY + 4 * irq, 1);
    write32(PLIC_ENABLE, read32(PLIC_ENABLE) | 1U << irq);
    write32(PLIC_THRESHOLD, 0);
}
static inline uint32_t plic_claim(void) { return read32(PLIC_CLAIM); }
static inline void plic_complete(uint32_t irq) { write32(PLIC_CLAIM, irq); }

// Ends the machine: 0 is a pass, anything else that exit status.
_Noreturn void power_off(int status);

// What only the host knows. False when this machine has no such CSR (a board
// other than lockstep) or, for entropy, its source is dead.
bool host_id(uint64_t *id);
bool entropy64(uint64_t *bits);
