#include "crunch.h"

// What ordinary programs do most: linked records, short strings compared and
// copied, small numbers formatted and read back, calls through pointers.

#define RECORDS 400
#define NAME_MAX 16

struct record {
    struct record *next;
    uint32_t kind;
    uint32_t count;
    char name[NAME_MAX];
};

static struct record pool[RECORDS];

static int name_compare(const char *a, const char *b) {
    while (*a != '\0' && *a == *b)
        a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}

static void name_format(char *to, uint64_t number) {
    static const char stem[] = "rec-";
    for (const char *s = stem; *s != '\0'; s++)
        *to++ = *s;
    for (int digit = 0; digit < 6; digit++, number /= 10)
        *to++ = (char)('0' + number % 10);
    *to = '\0';
}

static uint64_t name_number(const char *name) {
    uint64_t number = 0;
    for (name += 4; *name != '\0'; name++)
        number = number * 10 + (uint64_t)(*name - '0');
    return number;
}

static uint64_t add(uint64_t a, uint64_t b) { return a + b; }
static uint64_t scale(uint64_t a, uint64_t b) { return a * (b | 1); }
static uint64_t fold(uint64_t a, uint64_t b) { return (a << 9 | a >> 55) ^ b; }

static uint64_t (*const operations[])(uint64_t, uint64_t) = {add, scale, fold};

// Builds a list sorted by name, then walks it several times.
uint64_t records(uint64_t round) {
    uint64_t seed = round + 29;
    struct record *first = NULL;
    for (int i = 0; i < RECORDS; i++) {
        struct record *r = &pool[i];
        uint64_t random = next_random(&seed);
        r->kind = (uint32_t)(random % 3);
        r->count = (uint32_t)(random >> 40);
        name_format(r->name, random >> 20 & 0xfffff);
        struct record **at = &first;
        while (*at != NULL && name_compare((*at)->name, r->name) < 0)
            at = &(*at)->next;
        r->next = *at;
        *at = r;
    }
    uint64_t result = round;
    for (int walk = 0; walk < 20; walk++)
        for (struct record *r = first; r != NULL; r = r->next) {
            result = operations[r->kind](result, name_number(r->name) + r->count);
            r->kind = (r->kind + 1) % 3;
        }
    return result;
}
