#include "crunch.h"
#include "memory.h"

#define NUMBERS_MAX 131072

static uint8_t composite[NUMBERS_MAX];

// Primes below a bound that grows with the round: byte stores at many strides.
uint64_t sieve(uint64_t round) {
    size_t bound = NUMBERS_MAX - 1000 + round % 1000;
    memset(composite, 0, bound);
    uint64_t count = 0;
    uint64_t sum = 0;
    for (size_t n = 2; n < bound; n++) {
        if (composite[n])
            continue;
        count++;
        sum += n * count;
        for (size_t m = n * n; m < bound; m += n)
            composite[m] = 1;
    }
    return sum;
}
