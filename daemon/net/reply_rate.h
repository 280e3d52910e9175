/* reply_rate.h - how many datagrams one network is answered: a table of buckets of fixed size. */
#ifndef TWINED_NET_REPLY_RATE_H
#define TWINED_NET_REPLY_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/network.h"

struct reply_rate;

/* NULL with errno. Some 400 KiB, of which what is not used is not touched. */
struct reply_rate *reply_rate_new(const struct rate *rate);
void reply_rate_free(struct reply_rate *table);

/* Takes one answer to a network: whether it may go out. */
bool reply_rate_take(struct reply_rate *table, const union peer_address *peer, uint64_t now_ms);

#endif
