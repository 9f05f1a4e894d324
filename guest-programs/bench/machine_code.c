// An interpreter: the code of a small machine with a stack, and a loop around a switch.
#include "bench.h"

enum op { PUSH, LOAD, STORE, ADD, MUL, XOR, SHIFT, LESS, JUMP_IF, END };

struct code {
    uint8_t op;
    int32_t argument;
};

enum { I, SUM, STATE, VARIABLES };

#define TURNS 20000

// for (i = 0; i < TURNS; i++) { state = state * 5 + i; sum = (sum ^ state) + (state >> 3); }
static const struct code program[] = {
    {PUSH, 0},     {STORE, I},
    {LOAD, STATE}, {PUSH, 5},     {MUL, 0},   {LOAD, I},     {ADD, 0},   {STORE, STATE},
    {LOAD, SUM},   {LOAD, STATE}, {XOR, 0},   {LOAD, STATE}, {SHIFT, 3}, {ADD, 0},       {STORE, SUM},
    {LOAD, I},     {PUSH, 1},     {ADD, 0},   {STORE, I},
    {LOAD, I},     {PUSH, TURNS}, {LESS, 0},  {JUMP_IF, 2},
    {END, 0},
};

__attribute__((noinline)) static void interpret(const struct code *code, uint64_t *variables) {
    uint64_t stack[16];
    uint64_t *top = stack; // the first free one
    for (const struct code *at = code;; at++) {
        switch (at->op) {
        case PUSH: *top++ = (uint64_t)(int64_t)at->argument; break;
        case LOAD: *top++ = variables[at->argument]; break;
        case STORE: variables[at->argument] = *--top; break;
        case ADD: top--; top[-1] += top[0]; break;
        case MUL: top--; top[-1] *= top[0]; break;
        case XOR: top--; top[-1] ^= top[0]; break;
        case SHIFT: top[-1] >>= at->argument; break;
        case LESS: top--; top[-1] = top[-1] < top[0]; break;
        case JUMP_IF:
            if (*--top)
                at = code + at->argument - 1;
            break;
        case END: return;
        }
    }
}

uint64_t machine_code(uint64_t rounds) {
    uint64_t variables[VARIABLES] = {0, 0, 1};
    for (uint64_t round = 0; round < rounds; round++)
        interpret(program, variables);
    return variables[SUM];
}
