// A key-value server on UDP port 9000 over virtio-net: the guest that must
// not forget what it has acknowledged. requests.c has the protocol. It sleeps
// in wfi when there is nothing to do and never polls.
#include "ip.h"
#include "net.h"
#include "print.h"
#include "requests.h"
#include "udp.h"

// Replies leave together, but no more than so many wait for one another.
#define BURST_MAX 8

int main(void) {
    if (!net_start()) {
        print("kv: no virtio-net in slot 0\n");
        return 1;
    }
    print("kv: listening on %s:%d\n", IP_TEXT, UDP_PORT);
    arp_announce();
    net_flush();
    for (;;) {
        const uint8_t *frame;
        size_t len;
        int burst = 0;
        while (burst < BURST_MAX && !halt_requested && (frame = net_take(&len)) != NULL) {
            ip_receive(frame, len);
            net_give_back(frame);
            burst++;
        }
        net_flush();
        if (halt_requested) {
            net_drain();
            print("kv: halted\n");
            return 0;
        }
        if (burst < BURST_MAX)
            net_wait();
    }
}
