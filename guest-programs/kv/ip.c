// Frame layout (offsets from the Ethernet header; all big-endian):
//   0 to, 6 from, 12 type
//   ARP   14: hardware, 16 protocol, 18 sizes, 20 operation,
//             22 sender MAC, 28 sender IP, 32 target MAC, 38 target IP
//   IPv4  14: version and header words, 16 total length, 18 id, 20 flags and
//             fragment, 22 ttl, 23 protocol, 24 checksum, 26 from, 30 to
//   UDP   34: from port, 36 to port, 38 length, 40 checksum, 42 text
//   ICMP  34: type, 35 code, 36 checksum, 38 id, sequence, data
#include "ip.h"
#include "memory.h"
#include "net.h"

enum { ETH = 14, IP_HEADER = 20, UDP_HEADER = 8, ICMP_HEADER = 8, ARP_SIZE = 28 };
enum { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806 };
enum { PROTOCOL_ICMP = 1, PROTOCOL_UDP = 17 };
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

uint64_t ip_dropped;

static const uint8_t our_ip[4] = {10, 0, 2, 15};
#define OUR_IP (10U | 0U << 8 | 2U << 16 | 15U << 24) // as loaded from memory

static uint16_t get16(const uint8_t *at) { return (uint16_t)(at[0] << 8 | at[1]); }
static void put16(uint8_t *at, uint32_t v) { at[0] = (uint8_t)(v >> 8), at[1] = (uint8_t)v; }

// For fields that are aligned to 2 only.
static uint32_t load32(const uint8_t *at) {
    return *(const uint16_t *)at | (uint32_t)*(const uint16_t *)(at + 2) << 16;
}

// The Internet checksum (RFC 1071) is summed in the memory's own byte order;
// only its result is stored, and that is in memory order too.
static uint64_t sum_add(uint64_t sum, uint64_t word) {
    sum += word;
    return sum + (sum < word);
}

static uint16_t sum_fold(uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

// The bytes of a last, partial word: buffers may be read past the text's end.
static uint64_t last_word(const uint64_t *at, size_t bytes) {
    return *at & ~(~0UL << 8 * bytes);
}

static uint64_t sum_bytes(uint64_t sum, const uint8_t *at, size_t len) {
    const uint64_t *word = (const uint64_t *)at;
    for (; len >= 8; len -= 8)
        sum = sum_add(sum, *word++);
    if (len > 0)
        sum = sum_add(sum, last_word(word, len));
    return sum;
}

static uint64_t sum_ip_header(const uint8_t *ip) {
    const uint32_t *word = (const uint32_t *)ip;
    return (uint64_t)word[0] + word[1] + word[2] + word[3] + word[4];
}

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

static void copy_mac(uint8_t *to, const uint8_t *from) {
    for (int i = 0; i < 6; i += 2)
        *(uint16_t *)(to + i) = *(const uint16_t *)(from + i);
}

static void ethernet_reply(uint8_t *out, const uint8_t *to, uint32_t type) {
    copy_mac(out, to);
    copy_mac(out + 6, net_mac);
    put16(out + 12, type);
}

static void arp_send(uint32_t operation, const uint8_t *mac, const uint8_t *ip) {
    static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};
    static _Alignas(2) const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t *out = net_frame();
    ethernet_reply(out, operation == ARP_REQUEST ? broadcast : mac, TYPE_ARP);
    memcpy(out + 14, ethernet_ipv4, 6);
    put16(out + 20, operation);
    memcpy(out + 22, net_mac, 6);
    memcpy(out + 28, our_ip, 4);
    memcpy(out + 32, mac, 6);
    memcpy(out + 38, ip, 4);
    net_send(ETH + ARP_SIZE);
}

void arp_announce(void) {
    static _Alignas(2) const uint8_t nobody[6];
    arp_send(ARP_REQUEST, nobody, our_ip);
}

static bool arp_receive(const uint8_t *frame, size_t len) {
    if (len < ETH + ARP_SIZE || get16(frame + 14) != 1 || get16(frame + 16) != TYPE_IPV4 ||
        get16(frame + 18) != 0x0604 || get16(frame + 20) != ARP_REQUEST ||
        load32(frame + 38) != OUR_IP || load32(frame + 28) == OUR_IP)
        return false;
    arp_send(ARP_REPLY, frame + 22, frame + 28);
    return true;
}

// Ethernet and IP headers of a reply to `frame`, around `len` bytes.
static void ip_reply(uint8_t *out, const uint8_t *frame, uint8_t protocol, size_t len) {
    ethernet_reply(out, frame + 6, TYPE_IPV4);
    uint8_t *ip = out + ETH;
    uint32_t *word = (uint32_t *)ip;
    put16(ip, 0x4500);
    put16(ip + 2, (uint32_t)(IP_HEADER + len));
    word[1] = 0x40; // id 0, do not fragment
    put16(ip + 8, 64U << 8 | protocol);
    put16(ip + 10, 0);
    word[3] = OUR_IP;
    word[4] = *(const uint32_t *)(frame + 26);
    *(uint16_t *)(ip + 10) = (uint16_t)~sum_fold(sum_ip_header(ip));
}

static bool icmp_receive(const uint8_t *frame, size_t len) {
    const uint8_t *icmp = frame + 34;
    if (len < ICMP_HEADER || icmp[0] != 8 || icmp[1] != 0)
        return false;
    if (sum_fold(sum_bytes(0, icmp, len)) != 0xffff)
        return false;
    uint8_t *out = net_frame();
    uint8_t *reply = out + 34;
    ip_reply(out, frame, PROTOCOL_ICMP, len);
    memcpy(reply, icmp, len);
    *(uint32_t *)reply = 0; // echo reply, checksum to come
    *(uint16_t *)(reply + 2) = (uint16_t)~sum_fold(sum_bytes(0, reply, len));
    net_send(ETH + IP_HEADER + len);
    return true;
}

static bool udp_receive(const uint8_t *frame, size_t len) {
    const uint8_t *udp = frame + 34;
    if (len < UDP_HEADER || get16(udp + 2) != UDP_PORT)
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
    uint8_t *reply = out + 34;
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

static bool ipv4_receive(const uint8_t *frame, size_t len) {
    const uint8_t *ip = frame + ETH;
    if (len < ETH + IP_HEADER || ip[0] != 0x45)
        return false;
    size_t total = get16(ip + 2);
    if (total < IP_HEADER || total > len - ETH || (get16(ip + 6) & 0x3fff) != 0 ||
        *(const uint32_t *)(ip + 16) != OUR_IP || sum_fold(sum_ip_header(ip)) != 0xffff)
        return false;
    switch (ip[9]) {
    case PROTOCOL_ICMP:
        return icmp_receive(frame, total - IP_HEADER);
    case PROTOCOL_UDP:
        return udp_receive(frame, total - IP_HEADER);
    default:
        return false;
    }
}

static bool for_us(const uint8_t *frame) {
    return load32(frame) == load32(net_mac) &&
           *(const uint16_t *)(frame + 4) == *(const uint16_t *)(net_mac + 4);
}

void ip_receive(const uint8_t *frame, size_t len) {
    bool known = false;
    if (len >= ETH && len <= FRAME_MAX) {
        uint32_t type = get16(frame + 12);
        if (type == TYPE_ARP)
            known = arp_receive(frame, len);
        else if (type == TYPE_IPV4 && for_us(frame))
            known = ipv4_receive(frame, len);
    }
    if (!known)
        ip_dropped++;
}
