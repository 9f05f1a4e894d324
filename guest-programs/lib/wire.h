// Numbers in network order, and the Internet checksum.
#pragma once
#include "machine.h"

static inline uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static inline void put16(uint8_t *at, uint32_t v) { at[0] = (uint8_t)(v >> 8), at[1] = (uint8_t)v; }

// For fields that are aligned to 2 only.
static inline uint32_t load32(const uint8_t *at) {
    return *(const uint16_t *)at | (uint32_t)*(const uint16_t *)(at + 2) << 16;
}

// The Internet checksum (RFC 1071) is summed in the memory's own byte order;
// only its result is stored, and that is in memory order too.
static inline uint64_t sum_add(uint64_t sum, uint64_t word) {
    sum += word;
    return sum + (sum < word);
}

static inline uint16_t sum_fold(uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

// The bytes of a last, partial word: buffers may be read past the text's end.
static inline uint64_t last_word(const uint64_t *at, size_t bytes) {
    return *at & ~(~0UL << 8 * bytes);
}

static inline uint64_t sum_bytes(uint64_t sum, const uint8_t *at, size_t len) {
    const uint64_t *word = (const uint64_t *)at;
    for (; len >= 8; len -= 8)
        sum = sum_add(sum, *word++);
    if (len > 0)
        sum = sum_add(sum, last_word(word, len));
    return sum;
}

static inline uint64_t sum_ip_header(const uint8_t *ip) {
    const uint32_t *word = (const uint32_t *)ip;
    return (uint64_t)word[0] + word[1] + word[2] + word[3] + word[4];
}
