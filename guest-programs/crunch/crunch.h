// One file a kernel. Each takes the round's number, so that no two rounds do
// the same work, and returns a value that depends on all it computed.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t sieve(uint64_t round);
uint64_t hashes(uint64_t round);
uint64_t matrices(uint64_t round);
uint64_t sorts(uint64_t round);
uint64_t records(uint64_t round);

// SHA-256 of `len` bytes, `len` at most HASH_INPUT_MAX.
#define HASH_INPUT_MAX 1024
void sha256(const uint8_t *text, size_t len, uint8_t digest[32]);

static inline uint64_t next_random(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}
