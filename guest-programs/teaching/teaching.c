// A kernel with the habits of one that is made for teaching, where production
// kernels do otherwise:
//
// - its page-table entries have neither A nor D set: hardware is to do that
//   (Svadu). On a hart that does not, all but one are set beforehand, and the one
//   is set in the page fault that it raises; a line says how many faults there were;
// - its disk is in virtio slot 0, of the vendor "QEMU", and the driver reads and
//   writes only the low half of the feature bits, so it does not accept VERSION_1;
// - its console sends a byte for each transmit interrupt and never reads IIR.
//
// It writes a pattern to the second KiB of its disk, reads it back, and compares.
// Exit status: 0; 1 exception, 2 no such disk, 3 an interrupt storm, 4 the
// disk's contents differ, 5 A and D are not as they should be.
#include "print.h"
#include "trap.h"
#include "virtio.h"

enum { OK, EXCEPTION, NO_DISK, STORM, DIFFERS, UNMARKED };

// Page-table entries (Priv. spec, Sv39).
enum { V = 1, R = 2, W = 4, X = 8, A = 64, D = 128 };
#define ENTRIES 512
#define GIB (1UL << 30)
#define NEXT_LEVEL(table) ((uint64_t)(table) >> 12 << 10 | V)
#define LEAF(at, rights) ((uint64_t)(at) >> 12 << 10 | V | (rights))

static uint64_t root[ENTRIES] __attribute__((aligned(4096)));
static uint64_t middle[ENTRIES] __attribute__((aligned(4096)));
static volatile uint64_t leaves[ENTRIES] __attribute__((aligned(4096)));
static uint64_t page[ENTRIES] __attribute__((aligned(4096)));
// Where `page` is mapped a second time, by a leaf of 4 KiB.
static volatile uint64_t *const window = (volatile uint64_t *)(5 * GIB);

#define STORE_PAGE_FAULT 15
#define MENVCFG_ADUE (1UL << 61)
#define SSTATUS_SIE (1UL << 1)
#define SIE_SEIE (1UL << 9)
#define SUPERVISOR_ENABLE (PLIC_ENABLE + 0x80)
#define SUPERVISOR_THRESHOLD (PLIC_THRESHOLD + 0x1000)
#define SUPERVISOR_CLAIM (PLIC_CLAIM + 0x1000)

static bool hardware_marks;
static volatile uint32_t marks_missed;
static volatile uint32_t interrupts;
static volatile bool sending, disk_busy;

enum { THR = 0, RBR = 0, IER = 1, FCR = 2, LCR = 3, LSR = 5 };
enum { IER_RX = 1, IER_THRE = 2, LSR_READY = 1, LSR_EMPTY = 0x20 };

// The disk's rings: three descriptors for the one request that is under way.
#define SLOTS 8
#define DISK VIRTIO_SLOT(0)
static struct virtq_desc desc[SLOTS] __attribute__((aligned(4096)));
static volatile struct {
    uint16_t flags, idx, ring[SLOTS];
} avail __attribute__((aligned(4096)));
static volatile struct {
    uint16_t flags, idx;
    struct { uint32_t id, len; } ring[SLOTS];
} used __attribute__((aligned(4096)));
static struct { uint32_t type, reserved; uint64_t sector; } header;
static volatile uint8_t disk_status;

#define BLOCK 1024
static uint8_t block[BLOCK] __attribute__((aligned(16)));

static void uart_interrupt(void) {
    while (read8(UART + LSR) & LSR_READY)
        read8(UART + RBR);
    if (read8(UART + LSR) & LSR_EMPTY)
        sending = false;
}

__attribute__((interrupt("supervisor"), aligned(4))) static void trapped(void) {
    uint64_t cause = csr_read(scause);
    if (cause == STORE_PAGE_FAULT && csr_read(stval) >> 12 == (uintptr_t)window >> 12) {
        marks_missed++;
        leaves[0] |= A | D;
        asm volatile("sfence.vma" ::: "memory");
        return;
    }
    if (!(cause & INTERRUPT)) {
        print("unexpected exception %lu at pc %lx, tval %lx\n", cause, csr_read(sepc), csr_read(stval));
        power_off(EXCEPTION);
    }
    uint32_t irq = read32(SUPERVISOR_CLAIM);
    if (irq == UART_IRQ)
        uart_interrupt();
    if (irq == VIRTIO_IRQ(0)) {
        write32(DISK + VIRTIO_INTERRUPT_ACK, read32(DISK + VIRTIO_INTERRUPT_STATUS) & 3);
        fence();
        disk_busy = used.idx != avail.idx;
    }
    if (irq)
        write32(SUPERVISOR_CLAIM, irq);
    if (++interrupts > 2000)
        power_off(STORM);
}

// Waits with interrupts off between looking and sleeping, so that none is missed.
static void wait_while(volatile bool *busy) {
    for (;;) {
        csr_clear(sstatus, SSTATUS_SIE);
        if (!*busy)
            break;
        wfi();
        csr_set(sstatus, SSTATUS_SIE);
    }
    csr_set(sstatus, SSTATUS_SIE);
}

static void say(const char *text) {
    for (; *text; text++) {
        wait_while(&sending);
        sending = true;
        write8(UART + THR, *text);
    }
    wait_while(&sending);
}

static void disk_begin(void) {
    if (read32(DISK + VIRTIO_MAGIC) != 0x74726976 || read32(DISK + VIRTIO_VERSION) != 2 ||
        read32(DISK + VIRTIO_DEVICE_ID) != VIRTIO_BLOCK || read32(DISK + 0x00c) != 0x554d4551) {
        say("no disk of this vendor in slot 0\n");
        power_off(NO_DISK);
    }
    uint32_t status = 0;
    write32(DISK + VIRTIO_STATUS, status);
    write32(DISK + VIRTIO_STATUS, status |= STATUS_ACKNOWLEDGE);
    write32(DISK + VIRTIO_STATUS, status |= STATUS_DRIVER);
    // Read-only, SCSI, write-cache control, queues, layout, indirect, event index.
    uint32_t unwanted = 1U << 5 | 1U << 7 | 1U << 11 | 1U << 12 | 1U << 27 | 1U << 28 | 1U << 29;
    write32(DISK + VIRTIO_DRIVER_FEATURES, read32(DISK + VIRTIO_DEVICE_FEATURES) & ~unwanted);
    write32(DISK + VIRTIO_STATUS, status |= STATUS_FEATURES_OK);
    if (!(read32(DISK + VIRTIO_STATUS) & STATUS_FEATURES_OK)) {
        say("the disk does not agree on features\n");
        power_off(NO_DISK);
    }
    write32(DISK + VIRTIO_QUEUE_SEL, 0);
    if (read32(DISK + VIRTIO_QUEUE_READY) || read32(DISK + VIRTIO_QUEUE_NUM_MAX) < SLOTS)
        power_off(NO_DISK);
    write32(DISK + VIRTIO_QUEUE_NUM, SLOTS);
    uintptr_t rings[] = {(uintptr_t)desc, (uintptr_t)&avail, (uintptr_t)&used};
    for (int i = 0; i < 3; i++) {
        write32(DISK + VIRTIO_QUEUE_DESC + 16 * i, rings[i]);
        write32(DISK + VIRTIO_QUEUE_DESC + 16 * i + 4, rings[i] >> 32);
    }
    write32(DISK + VIRTIO_QUEUE_READY, 1);
    write32(DISK + VIRTIO_STATUS, status | STATUS_DRIVER_OK);
}

// Reads or writes `block`, whole.
static void transfer(uint64_t number, bool write) {
    header.type = write;
    header.sector = number * (BLOCK / 512);
    disk_status = 0xff;
    desc[0] = (struct virtq_desc){(uintptr_t)&header, sizeof header, DESC_NEXT, 1};
    desc[1] = (struct virtq_desc){(uintptr_t)block, BLOCK, DESC_NEXT | (write ? 0 : DESC_WRITE), 2};
    desc[2] = (struct virtq_desc){(uintptr_t)&disk_status, 1, DESC_WRITE, 0};
    avail.ring[avail.idx % SLOTS] = 0;
    disk_busy = true;
    fence();
    avail.idx++;
    fence();
    write32(DISK + VIRTIO_QUEUE_NOTIFY, 0);
    wait_while(&disk_busy);
    if (disk_status != 0)
        power_off(DIFFERS);
}

static void supervisor(void) {
    uint64_t unread = leaves[0] & (A | D);
    window[3] = 7;
    if (page[3] != 7 || unread || (leaves[0] & (A | D)) != (A | D) || !(root[2] & A))
        power_off(UNMARKED);
    for (uint32_t irq = 1; irq <= UART_IRQ; irq += UART_IRQ - 1)
        write32(PLIC_PRIORITY + 4 * irq, 1);
    write32(SUPERVISOR_ENABLE, 1U << UART_IRQ | 1U << VIRTIO_IRQ(0));
    write32(SUPERVISOR_THRESHOLD, 0);
    write8(UART + LCR, 3);
    write8(UART + FCR, 7);
    write8(UART + IER, IER_RX | IER_THRE);
    csr_set(sie, SIE_SEIE);
    csr_set(sstatus, SSTATUS_SIE);

    say(hardware_marks ? "A and D: the hart's" : "A and D: the kernel's");
    say(marks_missed == 0 ? ", no page fault\n" : marks_missed == 1 ? ", one page fault\n" : ", many page faults\n");
    disk_begin();
    for (int i = 0; i < BLOCK; i++)
        block[i] = i * 7 + i / 256;
    transfer(1, true);
    for (int i = 0; i < BLOCK; i++)
        block[i] = 0;
    transfer(0, false);
    transfer(1, false);
    for (int i = 0; i < BLOCK; i++)
        if (block[i] != (uint8_t)(i * 7 + i / 256))
            power_off(DIFFERS);
    say("the disk in slot 0 keeps what is written\n");
    power_off(OK);
}

int main(void) {
    trap_skip_begin();
    uint64_t menvcfg = 0;
    asm volatile("csrr %0, 0x30a" : "+r"(menvcfg)::"memory");
    hardware_marks = !trap_skip_end() && menvcfg & MENVCFG_ADUE;
    uint64_t marks = hardware_marks ? 0 : A | D;
    root[0] = LEAF(0, R | W | marks);
    root[2] = LEAF(2 * GIB, R | W | X | marks);
    root[5] = NEXT_LEVEL(middle);
    middle[0] = NEXT_LEVEL(leaves);
    leaves[0] = LEAF(page, R | W);

    csr_write(pmpaddr0, -1UL >> 10);
    csr_write(pmpcfg0, 0xfUL);
    csr_write(medeleg, 0xffffUL);
    csr_write(mideleg, 0xffffUL);
    csr_write(stvec, trapped);
    csr_write(satp, 8UL << 60 | (uint64_t)root >> 12);
    asm volatile("sfence.vma" ::: "memory");
    csr_write(mepc, supervisor);
    csr_clear(mstatus, 3UL << 11);
    csr_set(mstatus, 1UL << 11); // MPP = S
    asm volatile("mret");
    __builtin_unreachable();
}
