// A driver for virtio-mmio version 2 with split queues (virtio 1.1, 2.6 and
// 4.2): enough for one-descriptor requests, without indirect descriptors,
// event indexes or configuration changes.
#pragma once
#include "machine.h"

enum virtio_reg {
    VIRTIO_MAGIC = 0x000, // "virt"
    VIRTIO_VERSION = 0x004,
    VIRTIO_DEVICE_ID = 0x008,
    VIRTIO_DEVICE_FEATURES = 0x010,
    VIRTIO_DEVICE_FEATURES_SEL = 0x014,
    VIRTIO_DRIVER_FEATURES = 0x020,
    VIRTIO_DRIVER_FEATURES_SEL = 0x024,
    VIRTIO_QUEUE_SEL = 0x030,
    VIRTIO_QUEUE_NUM_MAX = 0x034,
    VIRTIO_QUEUE_NUM = 0x038,
    VIRTIO_QUEUE_READY = 0x044,
    VIRTIO_QUEUE_NOTIFY = 0x050,
    VIRTIO_INTERRUPT_STATUS = 0x060,
    VIRTIO_INTERRUPT_ACK = 0x064,
    VIRTIO_STATUS = 0x070,
    VIRTIO_QUEUE_DESC = 0x080, // low half; the high half is 4 further
    VIRTIO_QUEUE_DRIVER = 0x090,
    VIRTIO_QUEUE_DEVICE = 0x0a0,
    VIRTIO_CONFIG = 0x100,
};

enum virtio_device { VIRTIO_NET = 1, VIRTIO_BLOCK = 2, VIRTIO_CONSOLE = 3, VIRTIO_RNG = 4 };

enum virtio_status {
    STATUS_ACKNOWLEDGE = 1,
    STATUS_DRIVER = 2,
    STATUS_DRIVER_OK = 4,
    STATUS_FEATURES_OK = 8,
    STATUS_NEEDS_RESET = 64,
    STATUS_FAILED = 128,
};

#define VIRTIO_F_VERSION_1 (1UL << 32)

#define QUEUE_SIZE 32

struct virtq_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4 };

struct virtq_avail {
    uint16_t flags; // AVAIL_NO_INTERRUPT
    uint16_t idx;
    uint16_t ring[QUEUE_SIZE];
};
enum { AVAIL_NO_INTERRUPT = 1 };

struct virtq_used {
    uint16_t flags; // USED_NO_NOTIFY
    uint16_t idx;
    struct {
        uint32_t id;
        uint32_t len;
    } ring[QUEUE_SIZE];
};
enum { USED_NO_NOTIFY = 1 };

struct virtq {
    _Alignas(16) struct virtq_desc desc[QUEUE_SIZE];
    volatile struct virtq_avail avail;
    _Alignas(4) volatile struct virtq_used used;
    uint16_t posted; // entries written to avail.ring; published by avail.idx
    uint16_t taken;  // entries read from used.ring
};

// The device in a slot, 0 when the slot is empty or not of version 2.
uint32_t virtio_device_id(uintptr_t base);

// Reset, acknowledge and agree on these features (and VERSION_1). False when
// the device lacks one.
bool virtio_begin(uintptr_t base, uint64_t features);

// Hands over the rings of a queue. False when the device has no such queue or
// only a shorter one.
bool virtq_setup(uintptr_t base, uint32_t index, struct virtq *queue);

void virtio_start(uintptr_t base);

// Puts a descriptor on the available ring; virtq_publish shows it (and all
// before it) to the device and rings the bell if the device wants it.
static inline void virtq_post(struct virtq *queue, uint16_t desc) {
    queue->avail.ring[queue->posted % QUEUE_SIZE] = desc;
    queue->posted++;
}

static inline void virtq_publish(uintptr_t base, uint32_t index, struct virtq *queue) {
    fence();
    queue->avail.idx = queue->posted;
    fence();
    if (!(queue->used.flags & USED_NO_NOTIFY))
        write32(base + VIRTIO_QUEUE_NOTIFY, index);
}

// The next finished descriptor, or false.
static inline bool virtq_take(struct virtq *queue, uint16_t *desc, uint32_t *len) {
    if (queue->taken == queue->used.idx)
        return false;
    fence();
    uint16_t at = queue->taken++ % QUEUE_SIZE;
    *desc = queue->used.ring[at].id % QUEUE_SIZE;
    *len = queue->used.ring[at].len;
    return true;
}
