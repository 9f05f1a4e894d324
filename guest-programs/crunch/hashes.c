#include "crunch.h"
#include "sha256.h"

// A chain of digests, each over the last one and fresh numbers.
uint64_t hashes(uint64_t round) {
    uint8_t text[HASH_INPUT_MAX];
    uint64_t seed = round + 1;
    for (int i = 0; i < HASH_INPUT_MAX; i++)
        text[i] = (uint8_t)(next_random(&seed) >> 32);
    for (int i = 0; i < 32; i++)
        sha256(text, HASH_INPUT_MAX - (size_t)i, text);
    uint64_t result;
    memcpy(&result, text, sizeof result);
    return result;
}
