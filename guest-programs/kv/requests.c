// A request is one line of ASCII; words are parted by one space. An id is a
// decimal number up to 2^63; a request whose id cannot be read is answered
// with id 0. Results:
//
//   PING           PONG
//   SET key value  OK            the value is the rest of the text, maybe empty
//   GET key        VALUE value, or NONE
//   INCR key       VALUE number  an absent key counts as 0
//   DEL key        OK, or NONE
//   TIME           guest time in nanoseconds
//   CPU            the host's CPU id
//   RAND           64 bits of entropy, 16 hex digits
//   STAT           counters, name=number
//   HALT           OK, and the machine powers off
//   otherwise      ERR and why
//
// A repeated request (same client, id and text) gets the first reply again.
#include "requests.h"
#include "ip.h"
#include "memory.h"
#include "print.h"
#include "replies.h"
#include "store.h"
#include "udp.h"

#define ID_MAX (1UL << 63)
#define ID_DIGITS_MAX 19
#define VERB(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

bool halt_requested;

static struct {
    uint64_t requests, repeats, errors;
    uint64_t sets, gets, incrs, dels;
} count;

// The rest of a text that is being read.
struct text {
    const char *at;
    const char *end;
};

static char *put(char *to, const char *text) {
    while (*text != '\0')
        *to++ = *text++;
    return to;
}

static char *put_error(char *to, const char *why) {
    count.errors++;
    return put(put(to, "ERR "), why);
}

// Reads up to the next space or the end; the space is skipped. `more` says
// that there was one.
static struct text next_word(struct text *rest, bool *more) {
    struct text word = {rest->at, rest->at};
    while (word.end < rest->end && *word.end != ' ')
        word.end++;
    *more = word.end < rest->end;
    rest->at = word.end + *more;
    return word;
}

static size_t length(struct text text) { return (size_t)(text.end - text.at); }

// A decimal number with an optional '-', within 64 bits.
static const char *read_number(const char *at, size_t len, int64_t *number) {
    const char *end = at + len;
    bool negative = at < end && *at == '-';
    at += negative;
    if (at == end)
        return "not a number";
    uint64_t limit = (uint64_t)INT64_MAX + negative;
    uint64_t value = 0;
    for (; at < end; at++) {
        uint64_t digit = (uint64_t)*at - '0';
        if (digit > 9)
            return "not a number";
        if (value > (limit - digit) / 10)
            return "number too large";
        value = value * 10 + digit;
    }
    *number = (int64_t)(negative ? 0 - value : value);
    return NULL;
}

static char *do_set(struct text key, struct text value, char *to) {
    if (length(value) > VALUE_MAX)
        return put_error(to, "value too long");
    if (!store_put(key.at, length(key), value.at, length(value)))
        return put_error(to, "full");
    count.sets++;
    return put(to, "OK");
}

static char *do_get(struct text key, char *to) {
    count.gets++;
    struct item *item = store_find(key.at, length(key));
    if (item == NULL)
        return put(to, "NONE");
    to = put(to, "VALUE ");
    return to + store_value(item, to);
}

static char *do_incr(struct text key, char *to) {
    char value[VALUE_MAX];
    int64_t number = 0;
    struct item *item = store_find(key.at, length(key));
    if (item != NULL) {
        const char *error = read_number(value, store_value(item, value), &number);
        if (error != NULL)
            return put_error(to, error);
    }
    if (number == INT64_MAX)
        return put_error(to, "number too large");
    char *end = put_i64(value, number + 1);
    if (!store_put(key.at, length(key), value, (size_t)(end - value)))
        return put_error(to, "full");
    count.incrs++;
    to = put(to, "VALUE ");
    return put_i64(to, number + 1);
}

static char *do_del(struct text key, char *to) {
    count.dels++;
    return put(to, store_delete(key.at, length(key)) ? "OK" : "NONE");
}

static char *do_cpu(char *to) {
    uint64_t id;
    return host_id(&id) ? put_u64(to, id) : put_error(to, "no host id here");
}

static char *do_rand(char *to) {
    uint64_t bits;
    return entropy64(&bits) ? put_hex64(to, bits) : put_error(to, "no entropy here");
}

static char *put_count(char *to, const char *name, uint64_t value) {
    return put_u64(put(to, name), value);
}

static char *do_stat(char *to) {
    to = put_count(to, "requests=", count.requests);
    to = put_count(to, " gets=", count.gets);
    to = put_count(to, " sets=", count.sets);
    to = put_count(to, " incrs=", count.incrs);
    to = put_count(to, " dels=", count.dels);
    to = put_count(to, " repeats=", count.repeats);
    to = put_count(to, " errors=", count.errors);
    to = put_count(to, " dropped=", ip_dropped);
    to = put_count(to, " keys=", store_keys());
    return put_count(to, " blocks=", store_blocks());
}

static char *do_halt(char *to) {
    halt_requested = true;
    return put(to, "OK");
}

static char *execute(struct text rest, char *to) {
    bool more;
    struct text word = next_word(&rest, &more);
    uint32_t verb = 0;
    if (length(word) > 4)
        return put_error(to, "unknown verb");
    for (const char *c = word.at; c < word.end; c++)
        verb = verb << 8 | (uint8_t)*c;
    switch (verb) {
    case 0:
        return put_error(to, "no verb");
    case VERB('P', 'I', 'N', 'G'):
        return more ? put_error(to, "usage: PING") : put(to, "PONG");
    case VERB('T', 'I', 'M', 'E'):
        return more ? put_error(to, "usage: TIME") : put_u64(to, csr_read(time) * NS_PER_TICK);
    case VERB(0, 'C', 'P', 'U'):
        return more ? put_error(to, "usage: CPU") : do_cpu(to);
    case VERB('R', 'A', 'N', 'D'):
        return more ? put_error(to, "usage: RAND") : do_rand(to);
    case VERB('S', 'T', 'A', 'T'):
        return more ? put_error(to, "usage: STAT") : do_stat(to);
    case VERB('H', 'A', 'L', 'T'):
        return more ? put_error(to, "usage: HALT") : do_halt(to);
    default:
        break;
    }

    struct text key = next_word(&rest, &more);
    const char *usage = NULL;
    switch (verb) {
    case VERB(0, 'S', 'E', 'T'):
        usage = more ? NULL : "usage: SET key value";
        break;
    case VERB(0, 'G', 'E', 'T'):
        usage = more ? "usage: GET key" : NULL;
        break;
    case VERB('I', 'N', 'C', 'R'):
        usage = more ? "usage: INCR key" : NULL;
        break;
    case VERB(0, 'D', 'E', 'L'):
        usage = more ? "usage: DEL key" : NULL;
        break;
    default:
        return put_error(to, "unknown verb");
    }
    if (length(key) > KEY_MAX)
        return put_error(to, "key too long");
    if (usage != NULL)
        return put_error(to, usage);
    if (length(key) == 0)
        return put_error(to, "no key");
    switch (verb) {
    case VERB(0, 'S', 'E', 'T'):
        return do_set(key, rest, to);
    case VERB(0, 'G', 'E', 'T'):
        return do_get(key, to);
    case VERB('I', 'N', 'C', 'R'):
        return do_incr(key, to);
    default:
        return do_del(key, to);
    }
}

static bool read_id(struct text word, uint64_t *id) {
    uint64_t value = 0;
    if (length(word) == 0 || length(word) > ID_DIGITS_MAX)
        return false;
    for (const char *c = word.at; c < word.end; c++) {
        uint64_t digit = (uint64_t)*c - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    *id = value;
    return value <= ID_MAX;
}

static bool is_ascii(struct text text) {
    for (const char *c = text.at; c < text.end; c++)
        if (*c < ' ' || *c > '~')
            return false;
    return true;
}

size_t datagram_answer(const struct datagram *datagram, char *reply) {
    struct text rest = {datagram->text, datagram->text + datagram->len};
    count.requests++;
    // A line end at the end, as netcat sends it, is no part of the request.
    if (!datagram->plain) {
        if (rest.at < rest.end && rest.end[-1] == '\n')
            rest.end--;
        if (rest.at < rest.end && rest.end[-1] == '\r')
            rest.end--;
    }
    uint64_t id;
    bool more;
    struct text whole = rest;
    struct text word = next_word(&rest, &more);
    if (!read_id(word, &id))
        return (size_t)(put_error(put(reply, "0 "), length(whole) == 0 ? "empty" : "bad id") -
                        reply);

    char *to = reply;
    for (const char *c = word.at; c < word.end; c++)
        *to++ = *c;
    *to++ = ' ';
    struct client *client = replies_client(datagram->ip, datagram->port);
    size_t len;
    const char *kept = replies_find(client, id, datagram->fingerprint, &len);
    if (kept != NULL) {
        count.repeats++;
        memcpy(to, kept, len);
        return (size_t)(to + len - reply);
    }
    char *end = datagram->plain || is_ascii(whole) ? execute(rest, to) : put_error(to, "not ASCII");
    len = (size_t)(end - to);
    replies_keep(client, id, datagram->fingerprint, to, len);
    return (size_t)(end - reply);
}
