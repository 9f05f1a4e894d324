// Writes numbered records to its first disk, and says each number once it is
// flushed. After a restart it looks at what is there: whatever was said to be
// flushed must be.
//
// The first disk:
//   sector 0   "JOURNAL\0", the number of the last record that was flushed
//   sector 1   how many records to write, 0 for no end (written with the
//              image)
//   block 1…   half of the disk: record n is in block 1 + n % slots
//   the rest   scratch: blocks written all over
//
// Every other disk that may be written gets the record's number in its sector 0.
#include "disk.h"
#include "memory.h"
#include "print.h"

#define MAGIC 0x004c414e52554f4aUL // "JOURNAL\0"
#define CHECKED_MAX 64
#define WORDS (BLOCK / 8)

typedef uint64_t block[WORDS];

static block record, junk, scratch[3], found;
static _Alignas(8) uint64_t super[SECTOR / 8], orders[SECTOR / 8], other[SECTOR / 8];
static uint64_t slots;

static uint64_t mix(uint64_t n, uint64_t i) {
    uint64_t z = n * 0x9e3779b97f4a7c15 + i;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void fill(uint64_t *words, uint64_t n) {
    words[0] = n;
    for (uint64_t i = 1; i < WORDS; i++)
        words[i] = mix(n, i);
}

static const char *name(enum disk_type type) {
    return type == DISK_READ ? "read" : type == DISK_WRITE ? "write" : "flush";
}

static void go(struct disk *disk, const char *what, uint64_t n) {
    enum disk_type failed = DISK_READ;
    enum disk_status status = disk_go(disk, &failed);
    if (status == DISK_OK)
        return;
    print("%s: %s failed with %d at %lu\n", what, name(failed), status, n);
    power_off(3);
}

static void introduce(uint32_t number) {
    struct disk *disk = &disks[number];
    _Alignas(8) static char serial[24];
    disk_add(disk, DISK_ID, 0, serial, 20);
    go(disk, "identify", number);
    print("disk %u: %lu sectors, %s, serial %s\n", number, disk->sectors,
          disk->read_only ? "read-only" : "writable", serial);
    if (!disk->read_only)
        return;
    disk_add(disk, DISK_READ, 0, other, SECTOR);
    go(disk, "first sector", number);
    ((char *)other)[16] = 0;
    print("disk %u begins with %s\n", number, (const char *)other);
    enum disk_type failed;
    disk_add(disk, DISK_WRITE, 0, other, SECTOR);
    if (disk_go(disk, &failed) != DISK_FAILED)
        power_off(4);
}

// What an earlier life has left; the number of its last record.
static uint64_t look_back(struct disk *disk) {
    disk_add(disk, DISK_READ, 0, super, SECTOR);
    disk_add(disk, DISK_READ, 1, orders, SECTOR);
    go(disk, "look back", 0);
    uint64_t last = super[0] == MAGIC ? super[1] : 0;
    print("found %lu\n", last);
    uint64_t checked = slots - 1 < CHECKED_MAX ? slots - 1 : CHECKED_MAX;
    for (uint64_t n = last; n > 0 && last - n < checked; n--) {
        disk_add(disk, DISK_READ, (1 + n % slots) * (BLOCK / SECTOR), found, BLOCK);
        go(disk, "look at record", n);
        fill(record, n);
        if (memcmp(found, record, BLOCK) != 0) {
            print("record %lu is not what was flushed\n", n);
            power_off(1);
        }
    }
    return last;
}

static void write_record(struct disk *disk, uint64_t n) {
    uint64_t sector = (1 + n % slots) * (BLOCK / SECTOR);
    uint64_t blocks = disk->sectors / (BLOCK / SECTOR);
    fill(junk, ~n);
    fill(record, n);
    // Under way at the same time, to the same place: the later one is to stay.
    disk_add(disk, DISK_WRITE, sector, junk, BLOCK);
    disk_add(disk, DISK_WRITE, sector, record, BLOCK);
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t at = 1 + slots + mix(n, WORDS + i) % (blocks - 1 - slots);
        fill(scratch[i], mix(n, 2 * WORDS + i));
        disk_add(disk, DISK_WRITE, at * (BLOCK / SECTOR), scratch[i], BLOCK);
    }
    disk_add(disk, DISK_FLUSH, 0, NULL, 0);
    go(disk, "record", n);
    super[0] = MAGIC;
    super[1] = n;
    disk_add(disk, DISK_WRITE, 0, super, SECTOR);
    disk_add(disk, DISK_FLUSH, 0, NULL, 0);
    go(disk, "superblock", n);
}

int main(void) {
    disks_start();
    for (uint32_t i = 0; i < disks_count; i++)
        introduce(i);
    struct disk *first = &disks[0];
    slots = first->sectors / (BLOCK / SECTOR) / 2;
    if (disks_count == 0 || first->read_only || slots < 4) {
        print("the first disk is missing, read-only or too small\n");
        power_off(2);
    }
    uint64_t n = look_back(first);
    uint64_t end = orders[0] == 0 ? ~0UL : n + orders[0];
    while (n < end) {
        n++;
        write_record(first, n);
        for (uint32_t i = 1; i < disks_count; i++) {
            if (disks[i].read_only)
                continue;
            other[0] = n;
            disk_add(&disks[i], DISK_WRITE, 0, other, SECTOR);
            disk_add(&disks[i], DISK_FLUSH, 0, NULL, 0);
            go(&disks[i], "other disk", n);
        }
        print("flushed %lu\n", n);
    }
    print("done %lu\n", n);
    power_off(0);
}
