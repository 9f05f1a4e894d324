// Numbers by name: a table that only grows.
#pragma once
#include "machine.h"

#define NAME_MAX 32
#define NAMES_MAX 4096

// The number of a name, 0 if it is new; NULL when there is no room for it.
uint64_t *name_count(const char *name, size_t len);
