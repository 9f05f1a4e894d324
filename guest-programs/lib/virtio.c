#include "virtio.h"

uint32_t virtio_device_id(uintptr_t base) {
    if (read32(base + VIRTIO_MAGIC) != 0x74726976 || read32(base + VIRTIO_VERSION) != 2)
        return 0;
    return read32(base + VIRTIO_DEVICE_ID);
}

bool virtio_begin(uintptr_t base, uint64_t features) {
    features |= VIRTIO_F_VERSION_1;
    write32(base + VIRTIO_STATUS, 0);
    write32(base + VIRTIO_STATUS, STATUS_ACKNOWLEDGE | STATUS_DRIVER);
    for (uint32_t half = 0; half < 2; half++) {
        uint32_t wanted = (uint32_t)(features >> 32 * half);
        write32(base + VIRTIO_DEVICE_FEATURES_SEL, half);
        if ((read32(base + VIRTIO_DEVICE_FEATURES) & wanted) != wanted)
            return false;
        write32(base + VIRTIO_DRIVER_FEATURES_SEL, half);
        write32(base + VIRTIO_DRIVER_FEATURES, wanted);
    }
    uint32_t status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
    write32(base + VIRTIO_STATUS, status);
    return read32(base + VIRTIO_STATUS) == status;
}

static void write_address(uintptr_t reg, const volatile void *at) {
    write32(reg, (uint32_t)(uintptr_t)at);
    write32(reg + 4, (uint32_t)((uintptr_t)at >> 32));
}

bool virtq_setup(uintptr_t base, uint32_t index, struct virtq *queue) {
    write32(base + VIRTIO_QUEUE_SEL, index);
    if (read32(base + VIRTIO_QUEUE_NUM_MAX) < QUEUE_SIZE)
        return false;
    write32(base + VIRTIO_QUEUE_NUM, QUEUE_SIZE);
    write_address(base + VIRTIO_QUEUE_DESC, queue->desc);
    write_address(base + VIRTIO_QUEUE_DRIVER, &queue->avail);
    write_address(base + VIRTIO_QUEUE_DEVICE, &queue->used);
    write32(base + VIRTIO_QUEUE_READY, 1);
    return true;
}

void virtio_start(uintptr_t base) {
    write32(base + VIRTIO_STATUS,
            STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK | STATUS_DRIVER_OK);
}
