// Traps. trap_entry (crt0.S) saves the registers and calls trap(), which sends
// interrupts to the program's interrupt() and treats exceptions as the end of
// the program, unless the program said that one may come.
#pragma once
#include "machine.h"

struct trap_frame {
    uint64_t x[32];
    uint64_t pc;
};

void trap(struct trap_frame *frame, uint64_t cause, uint64_t tval);

// The program's own; the library's weak one reports the interrupt and fails.
void interrupt(uint64_t cause);

// Between the two an exception is noted and its (4-byte) instruction skipped;
// the second says whether there was one.
void trap_skip_begin(void);
bool trap_skip_end(void);
