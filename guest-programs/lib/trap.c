#include "trap.h"
#include "print.h"

static volatile bool skip_allowed;
static volatile bool skipped;

void trap_skip_begin(void) {
    skipped = false;
    skip_allowed = true;
}

bool trap_skip_end(void) {
    skip_allowed = false;
    return skipped;
}

__attribute__((weak)) void interrupt(uint64_t cause) {
    print("unexpected interrupt %lu\n", cause & ~INTERRUPT);
    power_off(1);
}

void trap(struct trap_frame *frame, uint64_t cause, uint64_t tval) {
    if (cause & INTERRUPT) {
        interrupt(cause);
        return;
    }
    if (skip_allowed) {
        skipped = true;
        frame->pc += 4;
        return;
    }
    print("unexpected exception %lu at pc %lx, tval %lx\n", cause, frame->pc, tval);
    power_off(1);
}
