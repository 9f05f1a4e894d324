// Memory, for digests and snapshots: sweeps that leave hardly a page of 40 MB
// as it was, and quiet stretches that write to a single page, in turn. The
// time is asked for at each turn and does not reach the checksum, so that the
// output is the same everywhere. About 0.5 billion instructions.
#include "machine.h"
#include "print.h"

#define WORDS (40UL << 20 >> 3)
#define LINE_WORDS 8
#define ROUNDS 16
#define QUIET_STEPS (6UL << 20)

static uint64_t memory[WORDS];

// One word of each cache line, mixed with one from far away.
static uint64_t sweep(uint64_t seed) {
    for (size_t i = 0; i < WORDS; i += LINE_WORDS) {
        size_t far = (i * 40503 + seed) % WORDS;
        seed = (seed ^ memory[far]) * 0x9e3779b97f4a7c15 + i;
        memory[i + (seed & (LINE_WORDS - 1))] = seed;
    }
    return seed;
}

// Nothing but arithmetic, and now and then a store to the first page.
static uint64_t quiet(uint64_t seed) {
    for (uint64_t step = 0; step < QUIET_STEPS; step++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        if ((step & 0xffff) == 0)
            memory[seed & 511] += step;
    }
    return seed;
}

int main(void) {
    uint64_t seed = 1;
    for (int round = 0; round < ROUNDS; round++) {
        (void)csr_read(time);
        seed = round % 2 == 0 ? sweep(seed) : quiet(seed | 1);
    }
    print("churn: %016lx\n", seed);
    return 0;
}
