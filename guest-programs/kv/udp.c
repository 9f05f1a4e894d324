// UDP at offset 34 of the frame: from port, 36 to port, 38 length, 40 checksum, 42 text.
#include "udp.h"
#include "ip.h"
#include "net.h"
#include "wire.h"

enum { UDP_HEADER = 8, PROTOCOL_UDP = 17 };

// Addresses, protocol and length as UDP's checksum covers them, and the header.
static uint64_t sum_udp_header(const uint8_t *ip) {
    const uint32_t *word = (const uint32_t *)ip;
    const uint32_t *udp = (const uint32_t *)(ip + IP_HEADER);
    uint64_t length = udp[1] & 0xffff;
    return (uint64_t)word[3] + word[4] + (PROTOCOL_UDP << 8) + length + udp[0] + udp[1];
}

// One pass over a datagram's text: its part of the checksum, its fingerprint,
// and whether a byte needs a closer look (is not from 0x20 to 0x7e).
struct scan {
    uint64_t sum;
    uint64_t fingerprint;
    bool plain;
};

#define EVERY_BYTE(b) ((b)*0x0101010101010101UL)

static struct scan scan_text(const uint8_t *text, size_t len, uint64_t sum) {
    const uint64_t *word = (const uint64_t *)text;
    uint64_t hash = len * 0x9e3779b97f4a7c15;
    uint64_t odd = 0;
    size_t left = len;
    while (left > 0) {
        uint64_t w;
        uint64_t seen;
        if (left >= 8) {
            w = *word++;
            seen = w;
            left -= 8;
        } else {
            w = last_word(word, left);
            seen = w | EVERY_BYTE(0x20UL) << 8 * left;
            left = 0;
        }
        sum = sum_add(sum, w);
        // Bit 7 of a byte below 0x20, of 0x7f, or above; never of another
        // unless one of these is below it in the word.
        odd |= (seen - EVERY_BYTE(0x20UL)) | (seen + EVERY_BYTE(1UL)) | seen;
        hash = (hash ^ w) * 0xd6e8feb86659fd93;
        hash ^= hash >> 32;
    }
    return (struct scan){sum, hash, (odd & EVERY_BYTE(0x80UL)) == 0};
}

bool transport_receive(uint8_t protocol, const uint8_t *frame, size_t len) {
    const uint8_t *udp = frame + TRANSPORT;
    if (protocol != PROTOCOL_UDP || len < UDP_HEADER || get16(udp + 2) != UDP_PORT)
        return false;
    size_t udp_len = get16(udp + 4);
    if (udp_len < UDP_HEADER || udp_len > len)
        return false;
    size_t text_len = udp_len - UDP_HEADER;
    struct scan scan = scan_text(udp + UDP_HEADER, text_len, sum_udp_header(frame + ETH));
    if (get16(udp + 6) != 0 && sum_fold(scan.sum) != 0xffff)
        return false;

    struct datagram datagram = {
        .ip = *(const uint32_t *)(frame + 26),
        .port = get16(udp),
        .text = (const char *)udp + UDP_HEADER,
        .len = text_len,
        .fingerprint = scan.fingerprint,
        .plain = scan.plain,
    };
    uint8_t *out = net_frame();
    size_t out_len = UDP_HEADER + datagram_answer(&datagram, (char *)out + 42);
    ip_reply(out, frame, PROTOCOL_UDP, out_len);
    uint8_t *reply = out + TRANSPORT;
    put16(reply, UDP_PORT);
    put16(reply + 2, datagram.port);
    put16(reply + 4, (uint32_t)out_len);
    put16(reply + 6, 0);
    uint64_t sum = sum_bytes(sum_udp_header(out + ETH), reply + UDP_HEADER, out_len - UDP_HEADER);
    uint16_t checksum = (uint16_t)~sum_fold(sum);
    *(uint16_t *)(reply + 6) = checksum == 0 ? 0xffff : checksum; // 0 would mean none
    net_send(ETH + IP_HEADER + out_len);
    return true;
}

