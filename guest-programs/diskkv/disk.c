#include "disk.h"
#include "virtio.h"

#define SLOT VIRTIO_SLOT(3)
#define IRQ VIRTIO_IRQ(3)
#define NET_SLOT VIRTIO_SLOT(0)
#define NET_IRQ VIRTIO_IRQ(0)
#define VIRTIO_BLK_F_FLUSH (1UL << 9)

enum { TYPE_IN = 0, TYPE_OUT = 1, TYPE_FLUSH = 4 };

// A place has three descriptors: header, data, status.
static struct virtq queue;
static struct {
    uint32_t type, reserved;
    uint64_t sector;
} headers[DISK_PLACES];
static volatile uint8_t statuses[DISK_PLACES];
static bool busy[DISK_PLACES];

bool disk_start(void) {
    if (virtio_device_id(SLOT) != VIRTIO_BLOCK || !virtio_begin(SLOT, VIRTIO_BLK_F_FLUSH) ||
        !virtq_setup(SLOT, 0, &queue))
        return false;
    plic_enable(IRQ);
    csr_set(mie, MIE_MEIE);
    virtio_start(SLOT);
    return true;
}

uint64_t disk_sectors(void) { return read64(SLOT + VIRTIO_CONFIG); }

static void begin(int place, uint32_t type, uint64_t sector, uintptr_t data, uint32_t size) {
    struct virtq_desc *desc = &queue.desc[3 * place];
    uint16_t first = (uint16_t)(3 * place);
    headers[place].type = type;
    headers[place].sector = sector;
    statuses[place] = 0xff;
    desc[0] = (struct virtq_desc){(uintptr_t)&headers[place], 16, DESC_NEXT,
                                  (uint16_t)(first + (size == 0 ? 2 : 1))};
    desc[1] = (struct virtq_desc){data, size, DESC_NEXT | (type == TYPE_IN ? DESC_WRITE : 0),
                                  (uint16_t)(first + 2)};
    desc[2] = (struct virtq_desc){(uintptr_t)&statuses[place], 1, DESC_WRITE, 0};
    busy[place] = true;
    virtq_post(&queue, first);
    virtq_publish(SLOT, 0, &queue);
}

void disk_read(int place, uint64_t sector, void *to, uint32_t size) {
    begin(place, TYPE_IN, sector, (uintptr_t)to, size);
}

void disk_write(int place, uint64_t sector, const void *from, uint32_t size) {
    begin(place, TYPE_OUT, sector, (uintptr_t)from, size);
}

void disk_flush(int place) { begin(place, TYPE_FLUSH, 0, 0, 0); }

static void reap(void) {
    uint16_t desc;
    uint32_t len;
    while (virtq_take(&queue, &desc, &len))
        busy[desc / 3] = false;
}

bool disk_wait(int place) {
    for (reap(); busy[place]; reap()) {
        wfi();
        uint32_t irq = plic_claim();
        if (irq == IRQ)
            write32(SLOT + VIRTIO_INTERRUPT_ACK, 3);
        if (irq == NET_IRQ) // a wait for frames looks at the ring first
            write32(NET_SLOT + VIRTIO_INTERRUPT_ACK, 3);
        if (irq != 0)
            plic_complete(irq);
    }
    return statuses[place] == 0;
}

void disk_poll(void) {
    if (read32(SLOT + VIRTIO_INTERRUPT_STATUS) != 0)
        write32(SLOT + VIRTIO_INTERRUPT_ACK, 3);
}
