// Timer interrupts, one a millisecond, hit a tight loop; each mixes the exact
// place where it hit (interrupted pc, iteration, the loop's own value) into a
// checksum. Two runs that print the same checksum took all 200 interrupts at
// the same instructions; a slip by one changes it.
#include "print.h"

#define INTERRUPTS 200

struct ticks {
    uint64_t checksum;
    uint64_t iterations;
    uint64_t value;
};

// ticker.S: runs the loop until that many interrupts have hit it, the first at
// mtime `first`, then one every `interval` ticks.
void ticker_run(struct ticks *result, uint64_t interrupts, uint64_t first, uint64_t interval);

int main(void) {
    struct ticks ticks;
    print("ticker: %d timer interrupts, one a millisecond\n", INTERRUPTS);
    ticker_run(&ticks, INTERRUPTS, read64(CLINT_MTIME) + TICKS_PER_MS, TICKS_PER_MS);
    print("ticker: %lu iterations, value %016lx\n", ticks.iterations, ticks.value);
    print("ticker: checksum %016lx\n", ticks.checksum);
    return 0;
}
