// Items and blocks are numbered from 1, 0 means none. Both are handed out in
// order first and from a list of returned ones later, so nothing needs to be
// set up at boot: every table starts as zero.
#include "store.h"
#include "memory.h"

#define BUCKETS 4096
#define BLOCKS_MAX 4800
#define BLOCK_BYTES 62

struct item {
    uint32_t hash;
    uint16_t next; // item in the same bucket, or on the free list
    uint16_t value_len;
    uint16_t block;
    uint8_t key_len;
    char key[KEY_MAX];
};

struct block {
    uint16_t next;
    char bytes[BLOCK_BYTES];
};

static uint16_t buckets[BUCKETS];
static struct item items[KEYS_MAX + 1];
static struct block blocks[BLOCKS_MAX + 1];

static uint32_t items_begun, blocks_begun;
static uint16_t items_free, blocks_free;
static uint32_t items_used, blocks_used;

uint32_t store_keys(void) { return items_used; }
uint32_t store_blocks(void) { return blocks_used; }

static uint32_t hash_key(const char *key, size_t len) {
    uint32_t hash = 0x811c9dc5;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)key[i]) * 0x01000193;
    return hash ^ hash >> 15;
}

static size_t blocks_for(size_t value_len) {
    return (value_len + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

static uint16_t block_new(void) {
    blocks_used++;
    if (blocks_free != 0) {
        uint16_t block = blocks_free;
        blocks_free = blocks[block].next;
        return block;
    }
    return (uint16_t)++blocks_begun;
}

static void value_free(struct item *item) {
    uint16_t block = item->block;
    while (block != 0) {
        uint16_t next = blocks[block].next;
        blocks[block].next = blocks_free;
        blocks_free = block;
        blocks_used--;
        block = next;
    }
    item->block = 0;
}

static void value_write(struct item *item, const char *value, size_t len) {
    uint16_t *link = &item->block;
    item->value_len = (uint16_t)len;
    while (len > 0) {
        size_t part = len < BLOCK_BYTES ? len : BLOCK_BYTES;
        uint16_t block = *link;
        if (block == 0) {
            block = block_new();
            blocks[block].next = 0;
            *link = block;
        }
        memcpy(blocks[block].bytes, value, part);
        link = &blocks[block].next;
        value += part;
        len -= part;
    }
}

size_t store_value(const struct item *item, char *to) {
    size_t left = item->value_len;
    for (uint16_t block = item->block; left > 0; block = blocks[block].next) {
        size_t part = left < BLOCK_BYTES ? left : BLOCK_BYTES;
        memcpy(to, blocks[block].bytes, part);
        to += part;
        left -= part;
    }
    return item->value_len;
}

// The link that names the item: a bucket's or another item's. It holds 0 when
// there is no such key, and is then where to hang it.
static uint16_t *find_link(uint32_t hash, const char *key, size_t key_len) {
    uint16_t *link = &buckets[hash % BUCKETS];
    while (*link != 0) {
        struct item *item = &items[*link];
        if (item->hash == hash && item->key_len == key_len &&
            memcmp(item->key, key, key_len) == 0)
            break;
        link = &item->next;
    }
    return link;
}

struct item *store_find(const char *key, size_t key_len) {
    uint16_t number = *find_link(hash_key(key, key_len), key, key_len);
    return number == 0 ? NULL : &items[number];
}

bool store_put(const char *key, size_t key_len, const char *value, size_t value_len) {
    uint32_t hash = hash_key(key, key_len);
    uint16_t *link = find_link(hash, key, key_len);
    struct item *item = &items[*link];
    size_t have = *link == 0 ? 0 : blocks_for(item->value_len);
    size_t need = blocks_for(value_len);
    if (blocks_used - have + need > BLOCKS_MAX)
        return false;
    if (*link == 0) {
        if (items_used == KEYS_MAX)
            return false;
        items_used++;
        uint16_t number = items_free;
        if (number != 0)
            items_free = items[number].next;
        else
            number = (uint16_t)++items_begun;
        item = &items[number];
        item->hash = hash;
        item->next = 0;
        item->block = 0;
        item->key_len = (uint8_t)key_len;
        memcpy(item->key, key, key_len);
        *link = number;
    } else if (need != have) {
        value_free(item);
    }
    value_write(item, value, value_len);
    return true;
}

bool store_delete(const char *key, size_t key_len) {
    uint16_t *link = find_link(hash_key(key, key_len), key, key_len);
    uint16_t number = *link;
    if (number == 0)
        return false;
    struct item *item = &items[number];
    *link = item->next;
    value_free(item);
    item->next = items_free;
    items_free = number;
    items_used--;
    return true;
}
