// The instructions that the cases write, and the fragments of smc.S.
#pragma once
#include "machine.h"

// 4 bytes.
static inline uint32_t li(int rd, int imm) { return (uint32_t)imm << 20 | (uint32_t)rd << 7 | 0x13; }
static inline uint32_t addi(int rd, int rs, int imm) { return li(rd, imm) | (uint32_t)rs << 15; }
static inline uint32_t xori(int rd, int rs, int imm) { return addi(rd, rs, imm) | 4 << 12; }
#define RET 0x00008067U

// 2 bytes; the immediate is 0 to 31.
static inline uint16_t c_addi(int rd, int imm) { return (uint16_t)(0x0001 | rd << 7 | imm << 2); }
static inline uint16_t c_li(int rd, int imm) { return (uint16_t)(0x4001 | rd << 7 | imm << 2); }
#define C_NOP 0x0001
#define C_RET 0x8082

enum { A0 = 10 };

// Calls the code at `at` with a0 = `a0`, and returns its a0.
uint64_t run(const void *at, uint64_t a0);

// Stores `word` over the instruction that follows the store at once; the
// instruction is `li a0, n`. Returns the n that was executed.
uint64_t patch_next(uint32_t word);
uint64_t patch_next_fenced(uint32_t word);

// A loop of `count` rounds whose `addi a0, a0, n` adds one to its own n each
// round, beginning at 1. Returns the sum.
uint64_t patch_own_loop(uint64_t count);
uint64_t patch_own_loop_fenced(uint64_t count);

// Stores of every kind: each writes `bits`, at its width, to `at`.
void store_byte(void *at, uint64_t bits);
void store_half(void *at, uint64_t bits);
void store_word(void *at, uint64_t bits);
void store_word_compressed(void *at, uint64_t bits);
void store_double(void *at, uint64_t bits);
void store_float(void *at, uint64_t bits);
void store_float_double(void *at, uint64_t bits);
void store_conditional(void *at, uint64_t bits);
void store_swap(void *at, uint64_t bits);
void store_swap_double(void *at, uint64_t bits);

// In S-mode, under the page table that satp names: stores `word` at `at`, then
// calls `code`; back in M-mode returns its a0.
uint64_t supervised(void *at, uint32_t word, const void *code);
