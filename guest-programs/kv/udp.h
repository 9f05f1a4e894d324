// UDP on one port.
#pragma once
#include "machine.h"

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

// The program's own: writes the reply's text, at most UDP_TEXT_MAX bytes, and
// returns its length. A datagram to another port, or a broken one, is dropped
// without an answer.
size_t datagram_answer(const struct datagram *datagram, char *reply);
