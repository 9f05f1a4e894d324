// Hash tables with open addressing, one that a second-level cache holds and one that none does: what a guest's
// loads from everywhere cost, above all their address translation.
#include "bench.h"

#define SLOT_BYTES 16
#define SLOTS_1M (1UL << 16)
#define SLOTS_28M (28UL * (1 << 20) / SLOT_BYTES)
#define LOOKUPS 100000

struct slot {
    uint64_t key; // 0 for none
    uint64_t value;
};

static struct slot slots[SLOTS_28M];

// Like random numbers, to 0 up to `count`.
static inline uint64_t place(uint64_t key, uint64_t count) {
    return (key * 0x9e3779b97f4a7c15 >> 32) * count >> 32;
}

static inline struct slot *find(uint64_t key, uint64_t count) {
    uint64_t at = place(key, count);
    while (slots[at].key != 0 && slots[at].key != key)
        at = at + 1 == count ? 0 : at + 1;
    return &slots[at];
}

static uint64_t table(uint64_t count, uint64_t rounds) {
    for (uint64_t at = 0; at < count; at++)
        slots[at] = (struct slot){0, 0};
    uint64_t sum = 0, state = count, keys = count / 2;
    for (uint64_t n = 0; n < rounds * LOOKUPS; n++) {
        uint64_t key = next_random(&state) % keys + 1;
        struct slot *slot = find(key, count);
        slot->key = key;
        slot->value += n;
        sum += slot->value;
    }
    return sum;
}

uint64_t table_1m(uint64_t rounds) { return table(SLOTS_1M, rounds); }
uint64_t table_28m(uint64_t rounds) { return table(SLOTS_28M, rounds); }
