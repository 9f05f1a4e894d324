// Frame layout (offsets from the Ethernet header; all big-endian):
//   0 to, 6 from, 12 type
//   ARP   14: hardware, 16 protocol, 18 sizes, 20 operation,
//             22 sender MAC, 28 sender IP, 32 target MAC, 38 target IP
//   IPv4  14: version and header words, 16 total length, 18 id, 20 flags and
//             fragment, 22 ttl, 23 protocol, 24 checksum, 26 from, 30 to
//   ICMP  34: type, 35 code, 36 checksum, 38 id, sequence, data
#include "ip.h"
#include "memory.h"
#include "net.h"
#include "wire.h"

enum { ICMP_HEADER = 8, ARP_SIZE = 28 };
enum { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806 };
enum { PROTOCOL_ICMP = 1 };
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

uint64_t ip_dropped;

static const uint8_t our_ip[4] = {10, 0, 2, 15};

static void copy_mac(uint8_t *to, const uint8_t *from) {
    for (int i = 0; i < 6; i += 2)
        *(uint16_t *)(to + i) = *(const uint16_t *)(from + i);
}

static void ethernet_header(uint8_t *out, const uint8_t *to, uint32_t type) {
    copy_mac(out, to);
    copy_mac(out + 6, net_mac);
    put16(out + 12, type);
}

static void arp_send(uint32_t operation, const uint8_t *mac, const uint8_t *ip) {
    static const uint8_t ethernet_ipv4[6] = {0, 1, 8, 0, 6, 4};
    static _Alignas(2) const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint8_t *out = net_frame();
    ethernet_header(out, operation == ARP_REQUEST ? broadcast : mac, TYPE_ARP);
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

void ip_header(uint8_t *out, const uint8_t *mac, uint32_t ip_to, uint8_t protocol, size_t len) {
    ethernet_header(out, mac, TYPE_IPV4);
    uint8_t *ip = out + ETH;
    uint32_t *word = (uint32_t *)ip;
    put16(ip, 0x4500);
    put16(ip + 2, (uint32_t)(IP_HEADER + len));
    word[1] = 0x40; // id 0, do not fragment
    put16(ip + 8, 64U << 8 | protocol);
    put16(ip + 10, 0);
    word[3] = OUR_IP;
    word[4] = ip_to;
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
    default:
        return transport_receive(ip[9], frame, total - IP_HEADER);
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
