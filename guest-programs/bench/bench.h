// The kernels: each computes for so many rounds and returns a checksum over its results. They touch no device
// and no CSR, so they also build for a host.
#pragma once
#include <stddef.h>
#include <stdint.h>

uint64_t empty(uint64_t rounds);
uint64_t integers(uint64_t rounds);
uint64_t sieve(uint64_t rounds);
uint64_t hash_chain(uint64_t rounds);
uint64_t quicksort(uint64_t rounds);
uint64_t strings(uint64_t rounds);
uint64_t table_1m(uint64_t rounds);
uint64_t table_28m(uint64_t rounds);
uint64_t machine_code(uint64_t rounds);
uint64_t recursion(uint64_t rounds);
uint64_t matrix(uint64_t rounds);
uint64_t matrix_fused(uint64_t rounds);
uint64_t nbody(uint64_t rounds);

// xorshift64: the same numbers everywhere. The state must not be 0.
static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static inline uint64_t mix(uint64_t sum, uint64_t value) { return (sum ^ value) * 0x100000001b3 + 1; }

static inline uint64_t bits_of(double value) {
    union {
        double value;
        uint64_t bits;
    } both = {.value = value};
    return both.bits;
}
