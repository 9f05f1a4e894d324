// Primes: stores of bytes at many strides.
#include "bench.h"
#include "memory.h"

#define BOUND 250000

static uint8_t composite[BOUND];

uint64_t sieve(uint64_t rounds) {
    uint64_t sum = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        size_t bound = BOUND - round % 1000;
        memset(composite, 0, bound);
        for (size_t n = 2; n < bound; n++) {
            if (composite[n])
                continue;
            sum += n;
            for (size_t m = n * n; m < bound; m += n)
                composite[m] = 1;
        }
        sum = mix(sum, round);
    }
    return sum;
}
