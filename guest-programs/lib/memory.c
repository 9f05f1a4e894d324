// The four functions that a freestanding compiler may call on its own. Eight
// bytes at a time where both sides are aligned, else byte by byte. Built
// without the optimisation that would turn these loops into calls of
// themselves.
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if ((((uintptr_t)d | (uintptr_t)s) & 7) == 0)
        for (; n >= 8; n -= 8, d += 8, s += 8)
            *(uint64_t *)d = *(const uint64_t *)s;
    while (n-- > 0)
        *d++ = *s++;
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    uint8_t *d = to;
    const uint8_t *s = from;
    if (d < s) {
        while (n-- > 0)
            *d++ = *s++;
    } else {
        while (n-- > 0)
            d[n] = s[n];
    }
    return to;
}

void *memset(void *to, int byte, size_t n) {
    uint8_t *d = to;
    while (n > 0 && ((uintptr_t)d & 7) != 0) {
        *d++ = (uint8_t)byte;
        n--;
    }
    uint64_t word = (uint8_t)byte * 0x0101010101010101UL;
    for (; n >= 8; n -= 8, d += 8)
        *(uint64_t *)d = word;
    while (n-- > 0)
        *d++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const uint8_t *x = a;
    const uint8_t *y = b;
    for (; n > 0; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}
