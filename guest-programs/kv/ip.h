// ARP, IPv4, ICMP echo and UDP, as far as a server on one port needs them.
// Absent: options, fragments, routing (a reply goes to the Ethernet address
// that the request came from) and any state per peer.
#pragma once
#include "machine.h"

#define IP_TEXT "10.0.2.15"
#define UDP_PORT 9000
#define UDP_TEXT_MAX 1472 // what fits a frame

// What came in one datagram. The text is aligned to 8 bytes.
struct datagram {
    uint32_t ip; // of the sender, in network order
    uint16_t port;
    const char *text;
    size_t len;
    uint64_t fingerprint; // depends on every byte and the length
    bool plain;           // only bytes from 0x20 to 0x7e
};

// Tells the neighbours who has our address.
void arp_announce(void);

// Looks at a received frame and sends what it asks for. Whatever is not for
// us, broken or unknown is dropped without an answer. A datagram to our port
// goes to datagram_answer.
void ip_receive(const uint8_t *frame, size_t len);

// How many frames were dropped.
extern uint64_t ip_dropped;

// The program's own: writes the reply's text, at most UDP_TEXT_MAX bytes, and
// returns its length.
size_t datagram_answer(const struct datagram *datagram, char *reply);
