// Counters over TCP port 9000: each line is a request, each answer a line, in
// order; so whatever is lost, repeated or out of order shows in the numbers. It
// sleeps in wfi when there is nothing to do and never polls.
//
//   incr NAME   the number after adding 1; a new name counts as 0
//   get NAME    the number
//   echo TEXT   TEXT
//   bulk N      N bytes: the number of each eight in seven hex digits and a
//               line end, from 0; up to 2^31
//   stat        the guest's own counts, name=number
//   quit        says "bye" and ends the connection
//
// A client that ends its side gets the answers that are due, then the end. What
// is no request is answered by "error" and why; a line over 200 bytes ends the
// connection, too. Requests may be sent without waiting for answers.
#include "ip.h"
#include "memory.h"
#include "names.h"
#include "net.h"
#include "print.h"
#include "tcp.h"

#define BURST_MAX 16
#define LINE_MAX 200
// No answer but bulk's is longer.
#define ANSWER_MAX 256
#define BULK_MAX (1UL << 31)

static char *put_text(char *to, const char *text) {
    while (*text != '\0')
        *to++ = *text++;
    return to;
}

// The text after `verb` and a space, or NULL when the line is another request.
static const char *after(const char *verb, const char *line, const char *end) {
    while (*verb != '\0')
        if (line == end || *line++ != *verb++)
            return NULL;
    return line < end && *line == ' ' ? line + 1 : NULL;
}

static bool is(const char *verb, const char *line, const char *end) {
    while (*verb != '\0')
        if (line == end || *line++ != *verb++)
            return false;
    return line == end;
}

static bool number_of(const char *text, const char *end, uint64_t *number) {
    *number = 0;
    for (const char *at = text; at < end; at++) {
        if (*at < '0' || *at > '9' || *number > BULK_MAX)
            return false;
        *number = *number * 10 + (uint64_t)(*at - '0');
    }
    return text < end && *number <= BULK_MAX;
}

static char *put_stat(char *to) {
    to = put_u64(put_text(to, "open="), tcp_counts.open);
    to = put_u64(put_text(to, " opened="), tcp_counts.opened);
    to = put_u64(put_text(to, " refused="), tcp_counts.refused);
    to = put_u64(put_text(to, " reset="), tcp_counts.resets);
    to = put_u64(put_text(to, " timeouts="), tcp_counts.timeouts);
    to = put_u64(put_text(to, " disorder="), tcp_counts.out_of_order);
    to = put_u64(put_text(to, " in="), tcp_counts.segments_in);
    return put_u64(put_text(to, " out="), tcp_counts.segments_out);
}

// Answers one line; the answer ends at the place that is returned.
static char *answer(struct tcp *tcp, const char *line, const char *end, char *to) {
    const char *rest;
    if ((rest = after("incr", line, end)) != NULL || (rest = after("get", line, end)) != NULL) {
        size_t len = (size_t)(end - rest);
        if (len == 0 || len > NAME_MAX)
            return put_text(to, "error: a name has 1 to 32 bytes\n");
        uint64_t *count = name_count(rest, len);
        if (count == NULL)
            return put_text(to, "error: no room for more names\n");
        *count += *line == 'i';
        to = put_u64(to, *count);
    } else if ((rest = after("echo", line, end)) != NULL) {
        memcpy(to, rest, (size_t)(end - rest));
        to += end - rest;
    } else if ((rest = after("bulk", line, end)) != NULL) {
        tcp->said = 0;
        if (number_of(rest, end, &tcp->owed))
            return to;
        tcp->owed = 0;
        return put_text(to, "error: bulk takes a number up to 2147483648\n");
    } else if (is("stat", line, end)) {
        to = put_stat(to);
    } else if (is("quit", line, end)) {
        tcp_say(tcp, "bye\n", 4);
        tcp_finish(tcp);
        return to;
    } else {
        return put_text(to, "error: incr, get, echo, bulk, stat or quit\n");
    }
    *to++ = '\n';
    return to;
}

// The eight bytes number `n` of bulk, as they lie in memory.
static uint64_t bulk_word(uint32_t n) {
    uint64_t digits = 0; // the lowest of the number in the highest byte
    for (int at = 6; at >= 0; at--, n >>= 4)
        digits |= (uint64_t)(uint8_t) "0123456789abcdef"[n & 15] << 8 * at;
    return digits | (uint64_t)'\n' << 56;
}

static void say_bulk(struct tcp *tcp) {
    static uint64_t words[64];
    while (tcp->owed > 0) {
        uint64_t len = tcp->owed < sizeof words ? tcp->owed : sizeof words;
        if (tcp_room(tcp) < len)
            return;
        for (uint64_t at = 0; at < len; at += 8)
            words[at / 8] = bulk_word((uint32_t)((tcp->said + at) / 8));
        tcp_say(tcp, words, (uint32_t)len);
        tcp->said += len;
        tcp->owed -= len;
    }
}

size_t tcp_heard(struct tcp *tcp) {
    static char text[ANSWER_MAX];
    const char *start = (const char *)tcp->in, *line = start, *stop = start + tcp->in_len;
    for (;;) {
        say_bulk(tcp);
        if (tcp->owed > 0 || tcp_room(tcp) < ANSWER_MAX)
            break;
        const char *end = line;
        while (end < stop && *end != '\n')
            end++;
        if (end - line > LINE_MAX) {
            tcp_say(tcp, "error: a line has up to 200 bytes\n", 34);
            tcp_finish(tcp);
            break;
        }
        if (end == stop) {
            // A line without an end is no request.
            if (tcp->peer_finished)
                tcp_finish(tcp);
            break;
        }
        const char *text_end = end > line && end[-1] == '\r' ? end - 1 : end;
        tcp_say(tcp, text, (uint32_t)(answer(tcp, line, text_end, text) - text));
        line = end + 1;
    }
    return (size_t)(line - start);
}

int main(void) {
    if (!net_start()) {
        print("counter: no virtio-net in slot 0\n");
        return 1;
    }
    tcp_start();
    print("counter: listening on %s:%d\n", IP_TEXT, TCP_PORT);
    arp_announce();
    net_flush();
    for (;;) {
        const uint8_t *frame;
        size_t len;
        int burst = 0;
        while (burst < BURST_MAX && (frame = net_take(&len)) != NULL) {
            ip_receive(frame, len);
            net_give_back(frame);
            burst++;
        }
        tcp_tick();
        bool all_said = tcp_serve();
        net_flush();
        // Frames that have left make room for more; without any it is net_wait
        // that waits for them.
        if (all_said ? burst < BURST_MAX : net_room() == 0)
            net_wait();
    }
}
