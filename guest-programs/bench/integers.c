// Loops over integers in registers: shifts, sums, products, branches that depend on the numbers.
#include "bench.h"

#define NUMBERS 100000

uint64_t empty(uint64_t rounds) { return rounds; }

// The lengths of Collatz's sequences, and sums with a multiplication and a division now and then.
uint64_t integers(uint64_t rounds) {
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t longest = 0;
        for (uint64_t n = 1; n < NUMBERS / 10; n++) {
            uint64_t steps = 0;
            for (uint64_t x = n + round; x != 1; steps++)
                x = x & 1 ? 3 * x + 1 : x >> 1;
            longest = steps > longest ? steps : longest;
        }
        uint64_t state = round + 1;
        for (uint32_t n = 1; n < NUMBERS; n++) {
            uint64_t random = next_random(&state);
            sum += random * n;
            sum = sum << 7 | sum >> 57;
            if ((random & 15) == 0)
                sum ^= random / n;
        }
        sum = mix(sum, longest);
    }
    return sum;
}
