// Text to the console (the UART, polled) and numbers to text.
#pragma once
#include "machine.h"

void print_byte(char byte);

// A small printf: %s, %c, %d (int), %u (unsigned), %lu, %ld, %lx and %016lx.
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Write a number at `to` and return the end of it. At most 20 bytes.
char *put_u64(char *to, uint64_t value);
char *put_i64(char *to, int64_t value);
// Exactly 16 digits.
char *put_hex64(char *to, uint64_t value);
