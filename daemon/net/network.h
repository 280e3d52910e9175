/* network.h - who counts as one peer (a /32 or a /64), and a token bucket for what it may do. */
#ifndef TWINED_NET_NETWORK_H
#define TWINED_NET_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/option.h"
#include "net/address.h"

/*
 * An IPv4 address or the first 64 bits of an IPv6 address; IPv4 is told apart by its mapped prefix.
 */
struct network {
	uint64_t bits;
};

struct network network_of(const union peer_address *peer);
bool network_equal(const struct network *a, const struct network *b);

/* A hash that a sender cannot foresee: keyed at the start of the process. */
uint32_t network_hash(const struct network *network);

/* What is left of a rate: the burst is one period's count. Times are the reactor's, in ms. */
struct bucket {
	uint64_t full_at;	/* in units of 1/count ms, so that nothing is rounded away */
};

void bucket_fill(struct bucket *bucket, const struct rate *rate, uint64_t now_ms);

/* Takes one: 0, or in how many ms there will be one. A rate of count 0 is no limit. */
int64_t bucket_take(struct bucket *bucket, const struct rate *rate, uint64_t now_ms);
void bucket_return(struct bucket *bucket, const struct rate *rate);

#endif
