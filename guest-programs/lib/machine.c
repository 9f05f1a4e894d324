// Power-off, and the two CSRs whose answers come from the host.
#include "machine.h"
#include "trap.h"

void power_off(int status) {
    write32(FINISHER, status == 0 ? FINISHER_PASS : FINISHER_FAIL | (uint32_t)status << 16);
    for (;;)
        wfi();
}

bool host_id(uint64_t *id) {
    uint64_t value = 0;
    trap_skip_begin();
    asm volatile("csrr %0, 0xcc0" : "+r"(value)::"memory");
    *id = value;
    return !trap_skip_end();
}

// One read of `seed` (Zkr): bits 31:30 say BIST, WAIT, ES16 (16 bits of
// entropy below) or DEAD. It must be read by an instruction that writes.
enum { SEED_ES16 = 2, SEED_DEAD = 3, SEED_TRIES_MAX = 10000 };

bool entropy64(uint64_t *bits) {
    uint64_t gathered = 0;
    int have = 0;
    for (int tries = 0; have < 4; tries++) {
        uint64_t seed = 0;
        trap_skip_begin();
        asm volatile("csrrw %0, 0x015, x0" : "+r"(seed)::"memory");
        if (trap_skip_end())
            return false;
        uint64_t opst = seed >> 30 & 3;
        if (opst == SEED_DEAD || tries == SEED_TRIES_MAX)
            return false;
        if (opst == SEED_ES16) {
            gathered = gathered << 16 | (seed & 0xffff);
            have++;
        }
    }
    *bits = gathered;
    return true;
}
