#include "disk.h"

#define VIRTIO_BLK_F_RO (1UL << 5)
#define VIRTIO_BLK_F_FLUSH (1UL << 9)

struct disk disks[DISKS_MAX];
uint32_t disks_count;

static void start(struct disk *disk, uint32_t slot) {
    disk->base = VIRTIO_SLOT(slot);
    disk->irq = VIRTIO_IRQ(slot);
    write32(disk->base + VIRTIO_DEVICE_FEATURES_SEL, 0);
    disk->read_only = (read32(disk->base + VIRTIO_DEVICE_FEATURES) & VIRTIO_BLK_F_RO) != 0;
    if (!virtio_begin(disk->base, VIRTIO_BLK_F_FLUSH | (disk->read_only ? VIRTIO_BLK_F_RO : 0)) ||
        !virtq_setup(disk->base, 0, &disk->queue))
        power_off(2);
    disk->sectors = read32(disk->base + VIRTIO_CONFIG) |
                    (uint64_t)read32(disk->base + VIRTIO_CONFIG + 4) << 32;
    plic_enable(disk->irq);
    virtio_start(disk->base);
}

void disks_start(void) {
    csr_set(mie, MIE_MEIE); // wakes wfi; mstatus.MIE stays off, nothing traps
    for (uint32_t slot = 0; slot < VIRTIO_SLOTS && disks_count < DISKS_MAX; slot++)
        if (virtio_device_id(VIRTIO_SLOT(slot)) == VIRTIO_BLOCK)
            start(&disks[disks_count++], slot);
}

void disk_add(struct disk *disk, enum disk_type type, uint64_t sector, void *data, uint32_t len) {
    uint16_t at = disk->count++;
    struct request *request = &disk->requests[at];
    request->header.type = type;
    request->header.reserved = 0;
    request->header.sector = sector;
    request->status = 0xff;
    uint16_t first = 3 * at;
    uint16_t last = first + 2;
    uint16_t second = len > 0 ? first + 1 : last;
    struct virtq_desc *desc = disk->queue.desc;
    desc[first] = (struct virtq_desc){(uintptr_t)&request->header, sizeof request->header, DESC_NEXT, second};
    desc[first + 1] = (struct virtq_desc){
        (uintptr_t)data, len, DESC_NEXT | (type == DISK_WRITE ? 0 : DESC_WRITE), last};
    desc[last] = (struct virtq_desc){(uintptr_t)&request->status, 1, DESC_WRITE, 0};
    virtq_post(&disk->queue, first);
}

enum disk_status disk_go(struct disk *disk, enum disk_type *failed) {
    virtq_publish(disk->base, 0, &disk->queue);
    for (uint16_t left = disk->count; left > 0;) {
        uint16_t desc;
        uint32_t len;
        if (virtq_take(&disk->queue, &desc, &len)) {
            left--;
            continue;
        }
        wfi();
        uint32_t irq = plic_claim();
        if (irq != 0) {
            write32(disk->base + VIRTIO_INTERRUPT_ACK, read32(disk->base + VIRTIO_INTERRUPT_STATUS));
            plic_complete(irq);
        }
    }
    enum disk_status worst = DISK_OK;
    for (uint16_t i = 0; i < disk->count && worst == DISK_OK; i++) {
        worst = disk->requests[i].status;
        *failed = disk->requests[i].header.type;
    }
    disk->count = 0;
    return worst;
}
