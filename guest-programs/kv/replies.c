#include "replies.h"
#include "memory.h"

#define BUCKETS 256

struct reply {
    uint64_t id;
    uint64_t fingerprint;
    uint8_t len;        // 0: see long_number
    uint8_t long_number; // in long_replies
    char result[REPLY_SHORT_MAX];
};

struct long_reply {
    const struct reply *owner;
    uint64_t id; // the owner may have been overwritten by a short one since
    uint16_t len;
    char result[REPLY_LONG_MAX];
};

// Clients are numbered from 1 in the links; 0 means none.
struct client {
    uint64_t address; // ip << 16 | port
    uint64_t kept;    // bit i: replies[i] is set
    uint64_t heard;   // when last, on the clock of requests
    uint8_t next;     // in the same bucket
};

static uint8_t buckets[BUCKETS];
static struct client clients[CLIENTS_MAX];
static uint32_t clients_begun;
static uint64_t clock;
static struct reply replies[CLIENTS_MAX][WINDOW];
static struct long_reply long_replies[LONG_MAX];
static uint32_t long_next;

static uint8_t *bucket_of(uint64_t address) {
    return &buckets[address * 0x9e3779b97f4a7c15 >> 56];
}

static struct client *oldest_unlinked(void) {
    struct client *oldest = &clients[0];
    for (struct client *c = clients; c < clients + CLIENTS_MAX; c++)
        if (c->heard < oldest->heard)
            oldest = c;
    uint8_t number = (uint8_t)(oldest - clients + 1);
    uint8_t *link = bucket_of(oldest->address);
    while (*link != number)
        link = &clients[*link - 1].next;
    *link = oldest->next;
    return oldest;
}

struct client *replies_client(uint32_t ip, uint16_t port) {
    uint64_t address = (uint64_t)ip << 16 | port;
    uint8_t *bucket = bucket_of(address);
    struct client *client;
    clock++;
    for (uint8_t number = *bucket; number != 0; number = client->next) {
        client = &clients[number - 1];
        if (client->address == address) {
            client->heard = clock;
            return client;
        }
    }
    client = clients_begun < CLIENTS_MAX ? &clients[clients_begun++] : oldest_unlinked();
    client->address = address;
    client->kept = 0;
    client->heard = clock;
    client->next = *bucket;
    *bucket = (uint8_t)(client - clients + 1);
    return client;
}

const char *replies_find(const struct client *client, uint64_t id, uint64_t fingerprint,
                         size_t *len) {
    uint64_t at = id % WINDOW;
    const struct reply *reply = &replies[client - clients][at];
    if (!(client->kept >> at & 1) || reply->id != id || reply->fingerprint != fingerprint)
        return NULL;
    if (reply->len != 0) {
        *len = reply->len;
        return reply->result;
    }
    const struct long_reply *kept = &long_replies[reply->long_number];
    if (kept->owner != reply || kept->id != id)
        return NULL;
    *len = kept->len;
    return kept->result;
}

void replies_keep(struct client *client, uint64_t id, uint64_t fingerprint, const char *result,
                  size_t len) {
    uint64_t at = id % WINDOW;
    struct reply *reply = &replies[client - clients][at];
    client->kept |= 1UL << at;
    reply->id = id;
    reply->fingerprint = fingerprint;
    if (len <= REPLY_SHORT_MAX) {
        reply->len = (uint8_t)len;
        memcpy(reply->result, result, len);
        return;
    }
    reply->len = 0;
    reply->long_number = (uint8_t)(long_next++ % LONG_MAX);
    struct long_reply *kept = &long_replies[reply->long_number];
    kept->owner = reply;
    kept->id = id;
    kept->len = (uint16_t)len;
    memcpy(kept->result, result, len);
}
