// What was answered lately: a client that repeats a request (its reply was
// lost, or is late) gets the first answer again, and nothing is done twice.
//
// Each of the CLIENTS_MAX clients heard from last keeps the replies to its
// ids modulo WINDOW: one that has at most WINDOW consecutive ids under way is
// never answered anew. Replies longer than REPLY_SHORT_MAX share a ring of
// LONG_MAX; one that was overwritten there is worked out again, which is
// harmless: only requests that change nothing have long replies.
#pragma once
#include "machine.h"

#define CLIENTS_MAX 128
#define WINDOW 64
#define REPLY_SHORT_MAX 46
#define LONG_MAX 64
#define REPLY_LONG_MAX 520

struct client; // an entry of the table

// The client's entry; it takes that of the client silent for longest if new.
struct client *replies_client(uint32_t ip, uint16_t port);

// The result kept for this id and text, its length in `len`; or NULL.
const char *replies_find(const struct client *client, uint64_t id, uint64_t fingerprint,
                         size_t *len);

// Keeps a result: not empty, at most REPLY_LONG_MAX bytes.
void replies_keep(struct client *client, uint64_t id, uint64_t fingerprint, const char *result,
                  size_t len);
