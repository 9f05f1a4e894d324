// Open addressing; the table is never more than half full.
#include "names.h"
#include "memory.h"

#define PLACES (2 * NAMES_MAX)

struct place {
    uint64_t count;
    uint32_t len; // 0: unused
    char name[NAME_MAX];
};

static struct place places[PLACES];
static uint32_t used;

uint64_t *name_count(const char *name, size_t len) {
    uint64_t hash = len;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)name[i]) * 0x100000001b3;
    for (uint64_t at = hash ^ hash >> 32;; at++) {
        struct place *place = &places[at % PLACES];
        if (place->len == len && memcmp(place->name, name, len) == 0)
            return &place->count;
        if (place->len == 0) {
            if (used == NAMES_MAX)
                return NULL;
            used++;
            place->len = (uint32_t)len;
            memcpy(place->name, name, len);
            return &place->count;
        }
    }
}
