// What a guest can learn that it could not compute: the host CPU's id and
// entropy. On a machine without lockstep's CSR (or without `seed`) the read
// traps, and the program says so and goes on.
#include "print.h"

int main(void) {
    uint64_t value;
    for (int i = 0; i < 4; i++) {
        if (host_id(&value))
            print("identity: host %lu\n", value);
        else
            print("identity: no host id on this machine\n");
        if (entropy64(&value))
            print("identity: entropy %016lx\n", value);
        else
            print("identity: no entropy on this machine\n");
    }
    return 0;
}
