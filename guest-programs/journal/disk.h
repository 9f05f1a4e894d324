// A driver for virtio-blk: requests are put together, sent in one go, and waited for.
#pragma once
#include "virtio.h"

enum disk_type { DISK_READ = 0, DISK_WRITE = 1, DISK_FLUSH = 4, DISK_ID = 8 };
enum disk_status { DISK_OK = 0, DISK_FAILED = 1, DISK_UNSUPPORTED = 2 };

#define DISKS_MAX 4
#define SECTOR 512
#define BLOCK 4096
#define REQUESTS_MAX 10 // three descriptors each

struct request {
    struct {
        uint32_t type;
        uint32_t reserved;
        uint64_t sector;
    } header;
    uint8_t status;
};

struct disk {
    uintptr_t base;
    uint32_t irq;
    uint64_t sectors;
    bool read_only;
    struct virtq queue;
    struct request requests[REQUESTS_MAX];
    uint16_t count;
};

extern struct disk disks[DISKS_MAX];
extern uint32_t disks_count;

// Finds the disks, in the order of their slots.
void disks_start(void);

// Adds a request to what disk_go sends; `data` must stay as it is until then.
void disk_add(struct disk *disk, enum disk_type type, uint64_t sector, void *data, uint32_t len);

// Sends what was added and waits until all of it has ended; the first status
// that is not DISK_OK, and its type in `failed`.
enum disk_status disk_go(struct disk *disk, enum disk_type *failed);
