// TCP for a server on one port: connections that peers open, data in order both
// ways, a window in each direction, retransmission by the guest's clock, an
// orderly end from either side (RFC 9293; 5961 for resets out of the blue).
//
// Absent on purpose: opening connections, segments kept out of order (they are
// dropped and come again), congestion control, round-trip estimates, window
// scaling, urgent data, keep-alives.
#pragma once
#include "machine.h"

#define TCP_PORT 9000
#define TCP_CONNECTIONS_MAX 512
#define TCP_IN_MAX 4096    // bytes received and not consumed, at most
#define TCP_OUT_MAX 16384  // bytes said and not acknowledged, at most; a power of 2

// FREE: in no table. OPENING: a SYN was heard. OPEN: until both sides have
// ended. LINGERING: over, and answers what the peer repeats (TIME-WAIT).
enum tcp_state { FREE, OPENING, OPEN, LINGERING };

// Sequence numbers count up modulo 2^32 and are compared by their difference.
// The byte with sequence number n is at out[n % TCP_OUT_MAX].
struct tcp {
    struct tcp *next_in_bucket;
    struct tcp *next_due; // in the queue of those to be served
    enum tcp_state state;
    bool due;
    uint8_t mac[6];
    uint32_t ip; // of the peer, as in memory
    uint16_t port;

    uint16_t segment_max;      // what the peer takes in one segment
    uint32_t acknowledged;     // below it the peer has everything
    uint32_t next;             // to be sent next
    uint32_t sent;             // beyond the last that was ever sent
    uint32_t end;              // beyond what was said
    uint32_t window;           // what the peer takes beyond `acknowledged`
    uint32_t window_seq;       // the segment that told so: its number
    uint32_t window_ack;       // and what it acknowledged
    bool finished;             // we say no more: a FIN stands at `end`
    bool finished_first;
    bool probe;                // one byte goes out although the window is closed

    uint32_t expected; // the peer's next byte
    uint32_t promised; // beyond the window that the peer knows of
    bool peer_finished;
    bool answer_due; // something must be acknowledged

    uint32_t ticks; // until the timer fires; 0: it is off
    uint32_t tries;

    uint32_t in_len;
    uint64_t owed, said; // the program's own
    uint8_t in[TCP_IN_MAX];
    uint8_t out[TCP_OUT_MAX];
};

struct tcp_counts {
    uint64_t opened, refused, resets, out_of_order, timeouts, segments_in, segments_out;
    uint32_t open;
};
extern struct tcp_counts tcp_counts;

void tcp_start(void);

// To be called when time may have passed; costs nothing when no timer is due.
void tcp_tick(void);

// Serves the connections on which something has happened, as far as frames can
// be sent. False when some are still waiting for that.
bool tcp_serve(void);

// Bytes that can be said now.
uint32_t tcp_room(const struct tcp *tcp);
// Says them: no more than there is room for.
void tcp_say(struct tcp *tcp, const void *bytes, uint32_t len);
// Says no more.
void tcp_finish(struct tcp *tcp);

// The program's own: looks at tcp->in, says what there is to say, and returns
// how many bytes of it are done with. Called again when more has come, and when
// there is room again.
size_t tcp_heard(struct tcp *tcp);
