// A chain of SHA-256 digests (FIPS 180-4), each over the last one and a text.
#include "bench.h"

#define HASH_INPUT_MAX 1024
static void sha256(const uint8_t *text, size_t len, uint8_t digest[32]);
#include "sha256.h"

uint64_t hash_chain(uint64_t rounds) {
    uint8_t text[HASH_INPUT_MAX];
    uint64_t state = 1;
    for (int i = 0; i < HASH_INPUT_MAX; i++)
        text[i] = (uint8_t)(next_random(&state) >> 32);
    for (uint64_t round = 0; round < rounds; round++)
        sha256(text, HASH_INPUT_MAX - round % 32, text);
    uint64_t result;
    memcpy(&result, text, sizeof result);
    return result;
}
