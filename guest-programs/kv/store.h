// The table of keys and values: at most KEYS_MAX keys, their values in small
// blocks that all keys share. Memory is fixed; when it is used up a store says
// so and changes nothing.
#pragma once
#include "machine.h"

#define KEY_MAX 64
#define VALUE_MAX 512
#define KEYS_MAX 4096

struct item;

// How many keys there are, and how many value blocks they use.
uint32_t store_keys(void);
uint32_t store_blocks(void);

// NULL when there is no such key.
struct item *store_find(const char *key, size_t key_len);

// Copies the value and returns its length.
size_t store_value(const struct item *item, char *to);

// False when the table is full. The lengths are within their bounds.
bool store_put(const char *key, size_t key_len, const char *value, size_t value_len);

// False when there was no such key.
bool store_delete(const char *key, size_t key_len);
