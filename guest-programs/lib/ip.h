// ARP, IPv4 and ICMP echo, as far as a server with one address needs them.
// Absent: options, fragments, routing (what is said to a peer goes to the
// Ethernet address that it was heard from) and any state per peer.
#pragma once
#include "machine.h"

#define IP_TEXT "10.0.2.15"
#define OUR_IP (10U | 0U << 8 | 2U << 16 | 15U << 24) // as loaded from memory

// Where the headers of a frame begin or what they take.
enum { ETH = 14, IP_HEADER = 20, TRANSPORT = ETH + IP_HEADER };

// Tells the neighbours who has our address.
void arp_announce(void);

// Looks at a received frame and sends what it asks for. Whatever is not for
// us, broken or unknown is dropped without an answer.
void ip_receive(const uint8_t *frame, size_t len);

// Writes the Ethernet and IP headers of a frame at `out`, around `len` bytes.
void ip_header(uint8_t *out, const uint8_t *mac, uint32_t ip_to, uint8_t protocol, size_t len);

// The same for a reply to `frame`.
static inline void ip_reply(uint8_t *out, const uint8_t *frame, uint8_t protocol, size_t len) {
    ip_header(out, frame + 6, *(const uint32_t *)(frame + 26), protocol, len);
}

// How many frames were dropped.
extern uint64_t ip_dropped;

// The program's own: takes a good IP packet to our address, neither a fragment
// nor ICMP, with `len` bytes from `frame` + TRANSPORT, and says whether it knew
// what to do with it.
bool transport_receive(uint8_t protocol, const uint8_t *frame, size_t len);
