// Segment layout (offsets from the TCP header; big-endian):
//   0 from port, 2 to port, 4 sequence, 8 acknowledged, 12 header length and
//   flags, 14 window, 16 checksum, 18 urgent, 20 options, then data
//
// Receiving only changes connections and puts them into a queue; what they have
// to say leaves in tcp_serve. So an acknowledgement travels with the answer, and
// one answers all segments of a burst.
#include "tcp.h"
#include "ip.h"
#include "memory.h"
#include "net.h"
#include "wire.h"

enum { PROTOCOL_TCP = 6, TCP_HEADER = 20, OPTION_END = 0, OPTION_NOP = 1, OPTION_MSS = 2 };
enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

#define SEGMENT_MAX (FRAME_MAX - TRANSPORT - TCP_HEADER)
#define SEGMENT_MAX_DEFAULT 536
#define SEGMENT_MAX_LEAST 64

#define TICK_MS 50
#define RETRY_TICKS 5      // the first retransmission, after 200 to 250 ms
#define RETRY_DOUBLINGS 4  // the longest wait is 16 times that
#define TRIES_MAX 10       // then the peer is gone
#define LINGER_TICKS 20

#define BUCKETS 1024

struct tcp_counts tcp_counts;

static struct tcp connections[TCP_CONNECTIONS_MAX];
static struct tcp *buckets[BUCKETS];
static struct tcp *unused;
static struct tcp *due_first, **due_end = &due_first;
static uint64_t secret;
static bool ticking;

// A segment, taken apart.
struct segment {
    const uint8_t *frame;
    uint32_t ip;
    uint16_t port;
    uint32_t seq, ack, window;
    uint8_t flags;
    const uint8_t *data;
    uint32_t len;
};

static uint32_t get32(const uint8_t *at) { return (uint32_t)get16(at) << 16 | get16(at + 2); }
static void put32(uint8_t *at, uint32_t v) { put16(at, v >> 16), put16(at + 2, v); }

// How far b is beyond a; negative when it is before.
static int32_t from_to(uint32_t a, uint32_t b) { return (int32_t)(b - a); }

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

// Words may lie anywhere: RAM takes misaligned ones.
static void copy(uint8_t *to, const uint8_t *from, uint32_t len) {
    for (; len >= 8; len -= 8, to += 8, from += 8)
        *(uint64_t *)to = *(const uint64_t *)from;
    while (len-- > 0)
        *to++ = *from++;
}

static uint64_t mix(uint64_t value) {
    value = (value ^ value >> 32) * 0xd6e8feb86659fd93;
    return (value ^ value >> 32) * 0xd6e8feb86659fd93;
}

// --- the table

static struct tcp **bucket_of(uint32_t ip, uint16_t port) {
    return &buckets[mix((uint64_t)ip << 16 | port) >> 32 & (BUCKETS - 1)];
}

static struct tcp *find(uint32_t ip, uint16_t port) {
    struct tcp *tcp = *bucket_of(ip, port);
    while (tcp != NULL && (tcp->ip != ip || tcp->port != port))
        tcp = tcp->next_in_bucket;
    return tcp;
}

static void touch(struct tcp *tcp) {
    if (tcp->due)
        return;
    tcp->due = true;
    tcp->next_due = NULL;
    *due_end = tcp;
    due_end = &tcp->next_due;
}

// Out of the table. It may still stand in the queue, which passes over it; until
// then it is not used again.
static void forget(struct tcp *tcp) {
    struct tcp **at = bucket_of(tcp->ip, tcp->port);
    while (*at != tcp)
        at = &(*at)->next_in_bucket;
    *at = tcp->next_in_bucket;
    tcp->state = FREE;
    tcp->ticks = 0;
    tcp_counts.open--;
    if (!tcp->due) {
        tcp->next_in_bucket = unused;
        unused = tcp;
    }
}

// --- the clock

static void tick_again(void) {
    write64(CLINT_MTIMECMP, read64(CLINT_MTIME) + TICK_MS * TICKS_PER_MS);
    ticking = true;
}

static void set_timer(struct tcp *tcp, uint32_t ticks) {
    tcp->ticks = ticks;
    if (ticks != 0 && !ticking)
        tick_again();
}

// --- sending

static uint32_t window_now(const struct tcp *tcp) { return TCP_IN_MAX - tcp->in_len; }

static uint64_t sum_pseudo_header(uint32_t ip, size_t len) {
    return (uint64_t)ip + OUR_IP + ((uint64_t)PROTOCOL_TCP << 8) +
           ((uint64_t)(len & 0xff) << 8 | len >> 8);
}

// Sends what stands in net_frame() behind a TCP header of `header` bytes.
static void send(const uint8_t *mac, uint32_t ip, uint16_t port, uint32_t seq, uint32_t ack,
                 uint32_t flags, uint32_t window, size_t header, size_t len) {
    uint8_t *out = net_frame();
    uint8_t *tcp = out + TRANSPORT;
    size_t total = header + len;
    ip_header(out, mac, ip, PROTOCOL_TCP, total);
    put16(tcp, TCP_PORT);
    put16(tcp + 2, port);
    put32(tcp + 4, seq);
    put32(tcp + 8, ack);
    put16(tcp + 12, (uint32_t)(header / 4) << 12 | flags);
    put16(tcp + 14, window);
    put32(tcp + 16, 0);
    *(uint16_t *)(tcp + 16) = (uint16_t)~sum_fold(sum_bytes(sum_pseudo_header(ip, total), tcp, total));
    net_send(ETH + IP_HEADER + total);
    tcp_counts.segments_out++;
}

static void send_of(struct tcp *tcp, uint32_t seq, uint32_t flags, size_t header, size_t len) {
    uint32_t window = window_now(tcp);
    send(tcp->mac, tcp->ip, tcp->port, seq, tcp->expected, flags | ACK, window, header, len);
    tcp->promised = tcp->expected + window;
    tcp->answer_due = false;
}

// What does not belong to any connection is reset (RFC 9293, 3.10.7.1).
static void refuse(const struct segment *segment) {
    if (segment->flags & RST)
        return;
    uint32_t taken = segment->len + (segment->flags & SYN ? 1 : 0) + (segment->flags & FIN ? 1 : 0);
    bool acks = segment->flags & ACK;
    send(segment->frame + 6, segment->ip, segment->port, acks ? segment->ack : 0,
         acks ? 0 : segment->seq + taken, acks ? RST : RST | ACK, 0, TCP_HEADER, 0);
    tcp_counts.refused++;
}

static void send_syn(struct tcp *tcp) {
    uint8_t *option = net_frame() + TRANSPORT + TCP_HEADER;
    put16(option, OPTION_MSS << 8 | 4);
    put16(option + 2, SEGMENT_MAX);
    send_of(tcp, tcp->acknowledged, SYN, TCP_HEADER + 4, 0);
    tcp->next = tcp->sent = tcp->acknowledged + 1;
    set_timer(tcp, RETRY_TICKS << least(tcp->tries, RETRY_DOUBLINGS));
}

static void copy_out(const struct tcp *tcp, uint32_t seq, uint8_t *to, uint32_t len) {
    uint32_t at = seq % TCP_OUT_MAX;
    uint32_t run = least(len, TCP_OUT_MAX - at);
    copy(to, tcp->out + at, run);
    copy(to + run, tcp->out, len - run);
}

// Everything that may leave now, as far as there are frames. False when there
// are none and something is left.
static bool speak(struct tcp *tcp) {
    if (tcp->state == OPENING) {
        if (tcp->next == tcp->acknowledged) {
            if (net_room() == 0)
                return false;
            send_syn(tcp);
        }
        return true;
    }
    for (;;) {
        uint32_t under_way = tcp->next - tcp->acknowledged;
        uint32_t left = tcp->next == tcp->end + 1 ? 0 : tcp->end - tcp->next;
        uint32_t allowed = tcp->window > under_way ? tcp->window - under_way : 0;
        if (tcp->probe && allowed == 0)
            allowed = 1;
        uint32_t len = least(least(left, allowed), tcp->segment_max);
        bool fin = tcp->finished && tcp->next != tcp->end + 1 && len == left;
        // A full segment, or all there is: no crumbs because the window is small.
        bool crumb = len < left && len < tcp->segment_max && under_way > 0;
        if ((len == 0 || crumb) && !fin)
            break;
        if (net_room() == 0)
            return false;
        copy_out(tcp, tcp->next, net_frame() + TRANSPORT + TCP_HEADER, len);
        send_of(tcp, tcp->next, (len > 0 ? PSH : 0) | (fin ? FIN : 0), TCP_HEADER, len);
        tcp->next += len + fin;
        tcp->probe = false;
        if (from_to(tcp->sent, tcp->next) > 0)
            tcp->sent = tcp->next;
    }
    uint32_t opened = tcp->expected + window_now(tcp) - tcp->promised;
    if (tcp->answer_due || opened >= TCP_IN_MAX / 2) {
        if (net_room() == 0)
            return false;
        send_of(tcp, tcp->next, 0, TCP_HEADER, 0);
    }
    if (tcp->state == OPEN) {
        bool waits = tcp->acknowledged != tcp->sent || from_to(tcp->acknowledged, tcp->end) > 0;
        if (!waits)
            tcp->ticks = 0;
        else if (tcp->ticks == 0)
            set_timer(tcp, RETRY_TICKS << least(tcp->tries, RETRY_DOUBLINGS));
    }
    return true;
}

static void reset(struct tcp *tcp) {
    if (net_room() > 0)
        send_of(tcp, tcp->next, RST, TCP_HEADER, 0);
    tcp_counts.resets++;
    forget(tcp);
}

bool tcp_serve(void) {
    while (due_first != NULL) {
        struct tcp *tcp = due_first;
        if (tcp->state == OPEN && !tcp->finished) {
            uint32_t used = (uint32_t)tcp_heard(tcp);
            tcp->in_len -= used;
            if (used > 0 && tcp->in_len > 0)
                memmove(tcp->in, tcp->in + used, tcp->in_len);
        }
        // Who says no more does not listen either.
        if (tcp->finished)
            tcp->in_len = 0;
        if (tcp->state != FREE && !speak(tcp))
            return false;
        due_first = tcp->next_due;
        if (due_first == NULL)
            due_end = &due_first;
        tcp->due = false;
        if (tcp->state == FREE) {
            tcp->next_in_bucket = unused;
            unused = tcp;
        }
    }
    return true;
}

static void timeout(struct tcp *tcp) {
    if (tcp->state == LINGERING) {
        forget(tcp);
        return;
    }
    tcp_counts.timeouts++;
    if (++tcp->tries > TRIES_MAX) {
        reset(tcp);
        return;
    }
    tcp->next = tcp->acknowledged;
    tcp->probe = tcp->window == 0;
    touch(tcp);
}

void tcp_tick(void) {
    if (!ticking || !(csr_read(mip) & MIE_MTIE))
        return;
    ticking = false;
    for (struct tcp *tcp = connections; tcp < connections + TCP_CONNECTIONS_MAX; tcp++) {
        if (tcp->ticks == 0)
            continue;
        if (--tcp->ticks == 0)
            timeout(tcp);
        else
            ticking = true;
    }
    if (ticking)
        tick_again();
    else
        write64(CLINT_MTIMECMP, ~0UL);
}

// --- receiving

static uint16_t segment_max_of(const uint8_t *option, const uint8_t *end) {
    while (option < end && *option != OPTION_END) {
        if (*option == OPTION_NOP) {
            option++;
            continue;
        }
        if (end - option < 2 || option[1] < 2 || option[1] > end - option)
            break;
        if (*option == OPTION_MSS && option[1] == 4) {
            uint32_t told = get16(option + 2);
            return (uint16_t)(told < SEGMENT_MAX_LEAST ? SEGMENT_MAX_LEAST : least(told, SEGMENT_MAX));
        }
        option += option[1];
    }
    return SEGMENT_MAX_DEFAULT;
}

static void open(const struct segment *segment) {
    struct tcp *tcp = unused;
    if (tcp == NULL)
        return; // the peer asks again, and somebody may have gone by then
    unused = tcp->next_in_bucket;
    // All but the buffers begins as zero.
    memset(tcp, 0, offsetof(struct tcp, in));
    tcp->state = OPENING;
    tcp->ip = segment->ip;
    tcp->port = segment->port;
    memcpy(tcp->mac, segment->frame + 6, 6);
    const uint8_t *header = segment->frame + TRANSPORT;
    tcp->segment_max = segment_max_of(header + TCP_HEADER, segment->data);
    uint64_t who = (uint64_t)tcp->ip << 16 | tcp->port;
    uint32_t first = (uint32_t)(mix(who ^ secret) + read64(CLINT_MTIME) / 40); // RFC 6528
    tcp->acknowledged = tcp->next = tcp->sent = first;
    tcp->end = first + 1;
    tcp->window = segment->window;
    tcp->window_seq = segment->seq;
    tcp->window_ack = first;
    tcp->expected = segment->seq + 1;
    struct tcp **bucket = bucket_of(tcp->ip, tcp->port);
    tcp->next_in_bucket = *bucket;
    *bucket = tcp;
    tcp_counts.opened++;
    tcp_counts.open++;
    touch(tcp);
}

static void challenge(struct tcp *tcp) {
    tcp->answer_due = true;
    touch(tcp);
}

// Takes what the segment acknowledges. False when it cannot be true.
static bool take_acknowledgement(struct tcp *tcp, const struct segment *segment) {
    int32_t newly = from_to(tcp->acknowledged, segment->ack);
    if (newly > from_to(tcp->acknowledged, tcp->sent))
        return false;
    if (newly < 0)
        return true;
    if (newly > 0) {
        tcp->acknowledged = segment->ack;
        if (from_to(tcp->next, tcp->acknowledged) > 0)
            tcp->next = tcp->acknowledged;
        tcp->tries = 0;
        tcp->ticks = 0; // speak() sets it anew for what is left
    }
    int32_t later = from_to(tcp->window_seq, segment->seq);
    if (later > 0 || (later == 0 && from_to(tcp->window_ack, segment->ack) >= 0)) {
        // Who keeps the window closed is there all the same.
        if (segment->window == 0)
            tcp->tries = least(tcp->tries, RETRY_DOUBLINGS);
        tcp->window = segment->window;
        tcp->window_seq = segment->seq;
        tcp->window_ack = segment->ack;
    }
    return true;
}

static void take_data(struct tcp *tcp, const struct segment *segment) {
    bool fin = segment->flags & FIN;
    int32_t old = from_to(segment->seq, tcp->expected);
    if (segment->len > 0 || fin || old != 0)
        tcp->answer_due = true;
    if (old < 0) {
        tcp_counts.out_of_order++;
        return;
    }
    if (tcp->peer_finished)
        return;
    // receive() has let through nothing that is old to its end.
    uint32_t fresh = segment->len - (uint32_t)old;
    uint32_t taken = least(fresh, window_now(tcp));
    copy(tcp->in + tcp->in_len, segment->data + old, taken);
    tcp->in_len += taken;
    tcp->expected += taken;
    if (fin && taken == fresh) {
        tcp->peer_finished = true;
        tcp->expected++;
    }
}

static void receive(struct tcp *tcp, const struct segment *segment) {
    if (segment->flags & RST) {
        int32_t ahead = from_to(tcp->expected, segment->seq);
        if (ahead == 0)
            forget(tcp);
        else if (ahead > 0 && (uint32_t)ahead < window_now(tcp))
            challenge(tcp);
        return;
    }
    if (segment->flags & SYN) {
        if (tcp->state == OPENING && segment->seq + 1 == tcp->expected) {
            tcp->next = tcp->acknowledged; // it has not heard us
            touch(tcp);
        } else if (tcp->state == LINGERING && from_to(tcp->expected, segment->seq) > 0) {
            forget(tcp);
            open(segment);
        } else {
            challenge(tcp);
        }
        return;
    }
    if (!(segment->flags & ACK))
        return;
    int32_t ahead = from_to(tcp->expected, segment->seq);
    uint32_t taken = segment->len + (segment->flags & FIN ? 1 : 0);
    bool repeated = ahead < 0 && 0U - (uint32_t)ahead >= taken;
    if (repeated || (ahead > 0 && (uint32_t)ahead >= window_now(tcp))) {
        challenge(tcp);
        return;
    }
    if (tcp->state == OPENING) {
        if (segment->ack != tcp->end) {
            refuse(segment);
            return;
        }
        tcp->state = OPEN;
        tcp->window_seq = segment->seq - 1;
    }
    if (!take_acknowledgement(tcp, segment)) {
        challenge(tcp);
        return;
    }
    take_data(tcp, segment);
    if (tcp->state == OPEN && tcp->peer_finished && tcp->finished && tcp->acknowledged == tcp->end + 1) {
        if (!tcp->finished_first) {
            forget(tcp);
            return;
        }
        tcp->state = LINGERING;
        set_timer(tcp, LINGER_TICKS);
    }
    touch(tcp);
}

bool transport_receive(uint8_t protocol, const uint8_t *frame, size_t len) {
    const uint8_t *header = frame + TRANSPORT;
    if (protocol != PROTOCOL_TCP || len < TCP_HEADER)
        return false;
    size_t header_len = (header[12] >> 4) * 4;
    uint32_t from = *(const uint32_t *)(frame + 26);
    if (header_len < TCP_HEADER || header_len > len ||
        sum_fold(sum_bytes(sum_pseudo_header(from, len), header, len)) != 0xffff)
        return false;
    struct segment segment = {
        .frame = frame,
        .ip = from,
        .port = get16(header),
        .seq = get32(header + 4),
        .ack = get32(header + 8),
        .window = get16(header + 14),
        .flags = header[13],
        .data = header + header_len,
        .len = (uint32_t)(len - header_len),
    };
    tcp_counts.segments_in++;
    if (get16(header + 2) != TCP_PORT) {
        refuse(&segment);
        return true;
    }
    struct tcp *tcp = find(segment.ip, segment.port);
    if (tcp != NULL)
        receive(tcp, &segment);
    else if ((segment.flags & (SYN | ACK | RST)) == SYN)
        open(&segment);
    else
        refuse(&segment);
    return true;
}

// --- the program's side

uint32_t tcp_room(const struct tcp *tcp) {
    return tcp->finished ? 0 : TCP_OUT_MAX - (tcp->end - tcp->acknowledged);
}

void tcp_say(struct tcp *tcp, const void *bytes, uint32_t len) {
    uint32_t at = tcp->end % TCP_OUT_MAX;
    uint32_t run = least(len, TCP_OUT_MAX - at);
    copy(tcp->out + at, bytes, run);
    copy(tcp->out, (const uint8_t *)bytes + run, len - run);
    tcp->end += len;
}

void tcp_finish(struct tcp *tcp) {
    if (!tcp->finished)
        tcp->finished_first = !tcp->peer_finished;
    tcp->finished = true;
}

void tcp_start(void) {
    for (int i = TCP_CONNECTIONS_MAX - 1; i >= 0; i--) {
        connections[i].next_in_bucket = unused;
        unused = &connections[i];
    }
    // A board without such a source has sequence numbers that can be guessed.
    if (!entropy64(&secret))
        secret = 0;
    write64(CLINT_MTIMECMP, ~0UL);
    csr_set(mie, MIE_MTIE); // wakes wfi; mstatus.MIE stays off, nothing traps
}
