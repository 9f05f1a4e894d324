// kv with a journal: what changes anything is on the disk, flushed, before it
// is answered; after a restart it is done again. Record n is sector n:
//
//   0   8  "DISKKV\0\1"
//   8   8  n, from 0
//   16  4  the client's address, in network order
//   20  4  its port
//   24  4  length of the text
//   32  .. the text of the request, at most 480 bytes
//
// Beside the journal, blocks are written without a wait, and records
// are read back: a disk that forgets or mixes up is found out.
#include "disk.h"
#include "ip.h"
#include "memory.h"
#include "net.h"
#include "print.h"
#include "../kv/requests.h"
#include "../kv/udp.h"

#define BURST_MAX 8
#define MAGIC 0x0100564b4b534944UL
#define TEXT_MAX 480

#define JOURNAL_SECTORS 2048
#define SCRATCH_SECTOR 2048
#define SCRATCH_SECTORS 8
#define SCRATCH_BLOCKS 64

enum { PLACE_WRITE = 0, PLACE_FLUSH = 1, PLACE_READ = 2, PLACE_SCRATCH = 3, SCRATCHES = 4 };

struct record {
    uint64_t magic, number;
    uint32_t ip, port, len, unused;
    char text[TEXT_MAX];
};

size_t kv_answer(const struct datagram *datagram, char *reply);

static _Alignas(8) struct record record, back;
static _Alignas(8) uint8_t scratch[SCRATCHES][SCRATCH_SECTORS * SECTOR_SIZE];
static uint64_t records, scratches;
static char forgotten[UDP_TEXT_MAX];

static _Noreturn void give_up(const char *why, uint64_t number) {
    print("diskkv: record %lu %s\n", number, why);
    power_off(1);
}

// A disk may fail now and then; it is asked again.
static void read_record(uint64_t number) {
    do
        disk_read(PLACE_READ, number, &back, SECTOR_SIZE);
    while (!disk_wait(PLACE_READ));
}

static void write_scratch(uint64_t number) {
    int at = (int)(number % SCRATCHES);
    uint64_t block = number * 7 % SCRATCH_BLOCKS;
    disk_write(PLACE_SCRATCH + at, SCRATCH_SECTOR + block * SCRATCH_SECTORS, scratch[at],
               sizeof scratch[at]);
}

static void scribble(void) {
    int at = (int)(scratches % SCRATCHES);
    while (scratches >= SCRATCHES && !disk_wait(PLACE_SCRATCH + at))
        write_scratch(scratches - SCRATCHES);
    memset(scratch[at], (int)(scratches & 0xff), sizeof scratch[at]);
    write_scratch(scratches++);
}

static void keep(const struct datagram *datagram) {
    if (records == JOURNAL_SECTORS)
        give_up("finds the journal full", records);
    memset(&record, 0, sizeof record);
    record.magic = MAGIC;
    record.number = records;
    record.ip = datagram->ip;
    record.port = datagram->port;
    record.len = (uint32_t)datagram->len;
    memcpy(record.text, datagram->text, datagram->len);
    bool kept;
    do {
        disk_write(PLACE_WRITE, records, &record, SECTOR_SIZE);
        scribble();
        kept = disk_wait(PLACE_WRITE);
        if (kept) {
            disk_flush(PLACE_FLUSH);
            scribble();
            kept = disk_wait(PLACE_FLUSH);
        }
    } while (!kept);
    records++;
    uint64_t earlier = (records * 2654435761UL >> 7) % records;
    read_record(earlier);
    if (back.magic != MAGIC || back.number != earlier)
        give_up("is not what was written", earlier);
}

static bool changes(const struct datagram *datagram) {
    const char *at = datagram->text, *end = at + datagram->len;
    while (at < end && *at != ' ')
        at++;
    return end - at > 4 && (memcmp(at, " SET", 4) == 0 || memcmp(at, " INC", 4) == 0 ||
                            memcmp(at, " DEL", 4) == 0);
}

size_t datagram_answer(const struct datagram *datagram, char *reply) {
    if (datagram->len <= TEXT_MAX && changes(datagram))
        keep(datagram);
    return kv_answer(datagram, reply);
}

static uint64_t fingerprint(const char *text, size_t len) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * 0x100000001b3;
    return hash;
}

// Does again what the journal holds.
static void recover(void) {
    for (;; records++) {
        read_record(records);
        if (back.magic != MAGIC || back.number != records || back.len > TEXT_MAX)
            break;
        struct datagram datagram = {back.ip, (uint16_t)back.port, back.text, back.len,
                                    fingerprint(back.text, back.len), false};
        kv_answer(&datagram, forgotten);
    }
}

int main(void) {
    if (!net_start() || !disk_start()) {
        print("diskkv: no virtio-net in slot 0 or no virtio-blk in slot 3\n");
        return 1;
    }
    if (disk_sectors() < SCRATCH_SECTOR + SCRATCH_BLOCKS * SCRATCH_SECTORS) {
        print("diskkv: a disk of %lu sectors is too small\n", disk_sectors());
        return 1;
    }
    recover();
    print("diskkv: %lu records, listening on %s:%d\n", records, IP_TEXT, UDP_PORT);
    arp_announce();
    net_flush();
    for (;;) {
        const uint8_t *frame;
        size_t len;
        int burst = 0;
        while (burst < BURST_MAX && !halt_requested && (frame = net_take(&len)) != NULL) {
            ip_receive(frame, len);
            net_give_back(frame);
            burst++;
        }
        net_flush();
        if (halt_requested) {
            net_drain();
            print("diskkv: halted\n");
            return 0;
        }
        if (burst < BURST_MAX) {
            net_wait();
            disk_poll();
        }
    }
}
