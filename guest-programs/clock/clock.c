// Reads the `time` CSR many times and checks that it never runs backwards.
// Every read is a question to the host, so the checksum over all of them is
// the same in a replay only if each was answered as it was recorded.
#include "print.h"

#define READS 100000

int main(void) {
    uint64_t first = csr_read(time);
    uint64_t last = first;
    uint64_t checksum = 0;
    print("clock: %d reads of time\n", READS);
    for (int i = 0; i < READS; i++) {
        uint64_t now = csr_read(time);
        if (now < last) {
            print("clock: read %d went back from %lu to %lu\n", i, last, now);
            return 1;
        }
        last = now;
        checksum = (checksum ^ now) * 0x100000001b3;
    }
    print("clock: %lu ticks passed\n", last - first);
    print("clock: checksum %016lx\n", checksum);
    return 0;
}
