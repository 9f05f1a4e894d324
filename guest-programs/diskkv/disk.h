// A driver for the virtio disk in slot 3: a few requests at a time, each in a
// place of its own.
#pragma once
#include "machine.h"

#define SECTOR_SIZE 512
#define DISK_PLACES 8 // requests under way at once

// False when there is no such disk.
bool disk_start(void);
uint64_t disk_sectors(void);

// Begin a request in a place that is idle. The buffer stays as it is until
// the request has ended.
void disk_read(int place, uint64_t sector, void *to, uint32_t size);
void disk_write(int place, uint64_t sector, const void *from, uint32_t size);
void disk_flush(int place);

// Sleeps until the place is idle; false when its request failed.
bool disk_wait(int place);

// To be called after every sleep elsewhere: lets go of the interrupt line.
void disk_poll(void);
