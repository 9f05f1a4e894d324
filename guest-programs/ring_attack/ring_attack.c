// A hostile driver: it programs the queues of whatever virtio device it finds
// with loops, wild addresses and impossible numbers. The device may refuse
// (DEVICE_NEEDS_RESET in Status), ignore it or make the best of it; then it
// must come back from a reset, and this program must still be whole. It passes
// when it gets to its end.
#include "memory.h"
#include "print.h"
#include "virtio.h"

#define PAGE 4096
#define MMIO_HOLE 0x00001000UL      // nothing is there
#define BEYOND_RAM 0xc000000000UL   // nor there
#define WRAPS 0xfffffffffffff000UL  // nor there, and its end is past 2^64
#define UNALIGNED 3

static struct virtq queue;
static _Alignas(PAGE) uint8_t buffer[PAGE];
static uintptr_t base;
static uint32_t queue_index;

// What no device may have written to: it lies between what they may.
static _Alignas(PAGE) uint8_t guard[PAGE];

static void describe(uint16_t at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next) {
    queue.desc[at] = (struct virtq_desc){addr, len, flags, next};
}

// Every attack fills `queue`; the driver hands it over before and rings the
// bell after.
static void chain_to_itself(void) {
    describe(0, (uintptr_t)buffer, 64, DESC_NEXT, 0);
    virtq_post(&queue, 0);
}

static void chain_to_itself_writable(void) {
    describe(0, (uintptr_t)buffer, 64, DESC_NEXT | DESC_WRITE, 0);
    virtq_post(&queue, 0);
}

static void chain_in_a_ring(void) {
    for (uint16_t i = 0; i < QUEUE_SIZE; i++)
        describe(i, (uintptr_t)buffer, PAGE, DESC_NEXT, (i + 1) % QUEUE_SIZE);
    for (uint16_t i = 0; i < QUEUE_SIZE; i++)
        virtq_post(&queue, i);
}

static void next_out_of_range(void) {
    describe(0, (uintptr_t)buffer, 64, DESC_NEXT, 40000);
    virtq_post(&queue, 0);
}

static void head_out_of_range(void) {
    virtq_post(&queue, 40000);
    virtq_post(&queue, QUEUE_SIZE);
}

static void index_leaps(void) {
    describe(0, (uintptr_t)buffer, 64, 0, 0);
    queue.posted = 30000;
}

static void every_address(uint32_t len, uint16_t flags) {
    static const uint64_t wild[] = {0, MMIO_HOLE, UART, VIRTIO_SLOT(0), BEYOND_RAM, WRAPS, ~0UL};
    for (uint16_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        describe(i, wild[i], len, flags, 0);
        virtq_post(&queue, i);
    }
}

static void wild_readable(void) { every_address(64, 0); }
static void wild_writable(void) { every_address(2048, DESC_WRITE); }
static void wild_and_long(void) { every_address(0xffffffff, DESC_WRITE); }

static void longer_than_ram(void) {
    describe(0, (uintptr_t)buffer, 0xffffffff, 0, 0);
    virtq_post(&queue, 0);
}

static void longer_than_ram_writable(void) {
    describe(0, (uintptr_t)buffer, 0xffffffff, DESC_WRITE, 0);
    virtq_post(&queue, 0);
}

static void sum_of_lengths_overflows(void) {
    for (uint16_t i = 0; i < QUEUE_SIZE; i++)
        describe(i, 0x80000000UL, 0x80000000, i + 1 < QUEUE_SIZE ? DESC_NEXT : 0, i + 1);
    virtq_post(&queue, 0);
}

static void huge_frame(void) {
    for (uint16_t i = 0; i < QUEUE_SIZE; i++)
        describe(i, (uintptr_t)buffer, PAGE, i + 1 < QUEUE_SIZE ? DESC_NEXT : 0, i + 1);
    virtq_post(&queue, 0);
}

static void empty_buffers(void) {
    describe(0, (uintptr_t)buffer, 0, 0, 0);
    describe(1, (uintptr_t)buffer, 0, DESC_WRITE, 0);
    virtq_post(&queue, 0);
    virtq_post(&queue, 1);
}

static void shorter_than_a_header(void) {
    describe(0, (uintptr_t)buffer, 5, 0, 0);
    describe(1, (uintptr_t)buffer, 5, DESC_WRITE, 0);
    virtq_post(&queue, 0);
    virtq_post(&queue, 1);
}

static void readable_after_writable(void) {
    describe(0, (uintptr_t)buffer, 64, DESC_NEXT | DESC_WRITE, 1);
    describe(1, (uintptr_t)buffer, 64, 0, 0);
    virtq_post(&queue, 0);
}

static void indirect_not_agreed(void) {
    describe(0, (uintptr_t)queue.desc, sizeof queue.desc, DESC_INDIRECT, 0);
    describe(1, (uintptr_t)queue.desc, 7, DESC_INDIRECT | DESC_NEXT, 1);
    virtq_post(&queue, 0);
    virtq_post(&queue, 1);
}

static void flags_all_set(void) {
    describe(0, (uintptr_t)buffer, 64, 0xffff, 0xffff);
    virtq_post(&queue, 0);
}

static void same_head_many_times(void) {
    describe(0, (uintptr_t)buffer, 64, 0, 0);
    for (int i = 0; i < QUEUE_SIZE; i++)
        virtq_post(&queue, 0);
}

// The device's answer would land on the rings themselves.
static void buffers_over_the_rings(void) {
    describe(0, (uintptr_t)&queue, sizeof queue, DESC_WRITE, 0);
    describe(1, (uintptr_t)&queue.used, sizeof queue.used, DESC_WRITE, 0);
    virtq_post(&queue, 0);
    virtq_post(&queue, 1);
}

static const struct {
    const char *name;
    void (*fill)(void);
} attacks[] = {
    {"a descriptor that follows itself", chain_to_itself},
    {"the same, writable", chain_to_itself_writable},
    {"a chain in a ring", chain_in_a_ring},
    {"next out of range", next_out_of_range},
    {"head out of range", head_out_of_range},
    {"an index that leaps", index_leaps},
    {"wild addresses, readable", wild_readable},
    {"wild addresses, writable", wild_writable},
    {"wild addresses, 4 GiB", wild_and_long},
    {"a buffer longer than RAM", longer_than_ram},
    {"the same, writable", longer_than_ram_writable},
    {"lengths that add up to more than 2^32", sum_of_lengths_overflows},
    {"a frame of 128 KiB", huge_frame},
    {"empty buffers", empty_buffers},
    {"buffers shorter than a header", shorter_than_a_header},
    {"readable after writable", readable_after_writable},
    {"indirect without agreement", indirect_not_agreed},
    {"all flags set", flags_all_set},
    {"one head many times", same_head_many_times},
    {"buffers over the rings", buffers_over_the_rings},
};

// Queues that are wrong before anything is in them.
static const struct {
    const char *name;
    uint32_t num;
    uint64_t desc, driver, device;
} layouts[] = {
    {"size 0", 0, 0, 0, 0},
    {"size 3", 3, 0, 0, 0},
    {"size 65536", 65536, 0, 0, 0},
    {"size 2^32 - 1", 0xffffffff, 0, 0, 0},
    {"descriptors nowhere", QUEUE_SIZE, BEYOND_RAM, 0, 0},
    {"available ring nowhere", QUEUE_SIZE, 0, BEYOND_RAM, 0},
    {"used ring nowhere", QUEUE_SIZE, 0, 0, BEYOND_RAM},
    {"descriptors past 2^64", QUEUE_SIZE, WRAPS, 0, 0},
    {"available ring past 2^64", QUEUE_SIZE, 0, WRAPS + 0xffe, 0},
    {"used ring past 2^64", QUEUE_SIZE, 0, 0, WRAPS + 0xffc},
    {"rings over the UART", QUEUE_SIZE, UART, UART, UART},
    {"rings over the device", QUEUE_SIZE, VIRTIO_SLOT(0), VIRTIO_SLOT(0), VIRTIO_SLOT(0)},
    {"rings not aligned", QUEUE_SIZE, UNALIGNED, UNALIGNED, UNALIGNED},
    {"all rings at one place", QUEUE_SIZE, PAGE, PAGE, PAGE},
};

static void write64_halves(uintptr_t reg, uint64_t value) {
    write32(reg, (uint32_t)value);
    write32(reg + 4, (uint32_t)(value >> 32));
}

static void ring_bell(void) {
    fence();
    write32(base + VIRTIO_QUEUE_NOTIFY, queue_index);
    write32(base + VIRTIO_QUEUE_NOTIFY, queue_index + 7); // a queue that is not there
    write32(base + VIRTIO_QUEUE_NOTIFY, 0xffffffff);
}

// Below PAGE an address means an offset into our own memory.
static uint64_t place(uint64_t addr, volatile void *own) {
    if (addr == 0)
        return (uintptr_t)own;
    return addr < MMIO_HOLE ? (uintptr_t)own + addr : addr == PAGE ? (uintptr_t)buffer : addr;
}

static uint64_t told, ignored;

// What the device says of the attack; then it must come back from a reset.
static bool recovers(const char *name) {
    uint32_t status = read32(base + VIRTIO_STATUS);
    bool needs_reset = (status & STATUS_NEEDS_RESET) != 0;
    write32(base + VIRTIO_INTERRUPT_ACK, 3);
    write32(base + VIRTIO_STATUS, 0);
    if (read32(base + VIRTIO_STATUS) != 0) {
        print("ring_attack: %s: no reset, Status %lx\n", name, (uint64_t)status);
        return false;
    }
    for (int i = 0; i < PAGE; i++)
        if (guard[i] != 0x5a) {
            print("ring_attack: %s: memory was overwritten\n", name);
            return false;
        }
    needs_reset ? told++ : ignored++;
    print("ring_attack:   %s: %s\n", name, needs_reset ? "needs reset" : "survived");
    return true;
}

static bool attack(void) {
    for (size_t a = 0; a < sizeof attacks / sizeof attacks[0]; a++) {
        memset(&queue, 0, sizeof queue);
        if (!virtio_begin(base, 0) || !virtq_setup(base, queue_index, &queue)) {
            print("ring_attack: the device does not start any more\n");
            return false;
        }
        virtio_start(base);
        attacks[a].fill();
        queue.avail.idx = queue.posted;
        ring_bell();
        if (!recovers(attacks[a].name))
            return false;
    }
    for (size_t l = 0; l < sizeof layouts / sizeof layouts[0]; l++) {
        memset(&queue, 0, sizeof queue);
        if (!virtio_begin(base, 0)) {
            print("ring_attack: the device does not start any more\n");
            return false;
        }
        write32(base + VIRTIO_QUEUE_SEL, queue_index);
        write32(base + VIRTIO_QUEUE_NUM, layouts[l].num);
        write64_halves(base + VIRTIO_QUEUE_DESC, place(layouts[l].desc, queue.desc));
        write64_halves(base + VIRTIO_QUEUE_DRIVER, place(layouts[l].driver, &queue.avail));
        write64_halves(base + VIRTIO_QUEUE_DEVICE, place(layouts[l].device, &queue.used));
        write32(base + VIRTIO_QUEUE_READY, 1);
        virtio_start(base);
        describe(0, (uintptr_t)buffer, 64, 0, 0);
        virtq_post(&queue, 0);
        queue.avail.idx = queue.posted;
        ring_bell();
        if (!recovers(layouts[l].name))
            return false;
    }
    // A bell before the device was even started, and for no queue.
    write32(base + VIRTIO_QUEUE_SEL, 99);
    write32(base + VIRTIO_QUEUE_NUM, QUEUE_SIZE);
    write32(base + VIRTIO_QUEUE_READY, 1);
    ring_bell();
    return recovers("a bell before the start");
}

int main(void) {
    memset(guard, 0x5a, sizeof guard);
    memset(buffer, '.', sizeof buffer); // a console device prints it
    int devices = 0;
    for (int slot = 0; slot < VIRTIO_SLOTS; slot++) {
        base = VIRTIO_SLOT(slot);
        uint32_t device = virtio_device_id(base);
        if (device == 0)
            continue;
        devices++;
        for (queue_index = 0; queue_index < 2; queue_index++) {
            write32(base + VIRTIO_QUEUE_SEL, queue_index);
            if (read32(base + VIRTIO_QUEUE_NUM_MAX) < QUEUE_SIZE)
                continue;
            print("ring_attack: slot %d, device %u, queue %u\n", slot, device, queue_index);
            if (!attack())
                return 1;
        }
    }
    if (devices == 0) {
        print("ring_attack: no virtio device found\n");
        return 2;
    }
    print("ring_attack: %lu told, %lu survived\n", told, ignored);
    return 0;
}
