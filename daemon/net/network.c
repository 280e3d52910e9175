/* network.c - who counts as one peer (a /32 or a /64), and a token bucket for what it may do. */
#include "net/network.h"

#include <endian.h>
#include <string.h>
#include <sys/random.h>

struct network
network_of(const union peer_address *peer)
{
	struct network network = { 0 };

	if (peer->sa.sa_family == AF_INET6) {
		memcpy(&network.bits, &peer->in6.sin6_addr, sizeof network.bits);
		network.bits = be64toh(network.bits);
	} else if (peer->sa.sa_family == AF_INET) {
		/* No IPv6 peer is within ff00::/8, which is multicast. */
		network.bits = 0xffffffff00000000 | be32toh(peer->in.sin_addr.s_addr);
	}
	return network;
}

bool
network_equal(const struct network *a, const struct network *b)
{
	return a->bits == b->bits;
}

uint32_t
network_hash(const struct network *network)
{
	static _Thread_local uint64_t key;
	static uint64_t shared_key;
	uint64_t hash;

	if (key == 0) {
		/* Whoever comes first draws the key for all threads. */
		uint64_t drawn = 0, none = 0;

		if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn)
			drawn = (uint64_t)(uintptr_t)&key;
		drawn |= 1;
		key = __atomic_compare_exchange_n(&shared_key, &none, drawn, false,
						  __ATOMIC_RELAXED, __ATOMIC_RELAXED)
			      ? drawn
			      : none;
	}
	hash = (network->bits ^ key) * 0x9e3779b97f4a7c15;
	hash = (hash ^ hash >> 29 ^ key >> 17) * 0xbf58476d1ce4e5b9;
	return (uint32_t)(hash >> 32);
}

/*
 * The bucket as a moment: the one at which it will be full again. Each event puts it off by
 * period_ms/count ms, and it is never further off than a whole period.
 */
void
bucket_fill(struct bucket *bucket, const struct rate *rate, uint64_t now_ms)
{
	bucket->full_at = now_ms * (uint64_t)rate->count;
}

int64_t
bucket_take(struct bucket *bucket, const struct rate *rate, uint64_t now_ms)
{
	uint64_t count = (uint64_t)rate->count, event = (uint64_t)rate->period_ms;
	uint64_t now = now_ms * count, burst = event * count;
	uint64_t full_at = bucket->full_at > now ? bucket->full_at : now;

	if (count == 0)
		return 0;
	if (full_at + event > now + burst)
		return (int64_t)((full_at + event - now - burst + count - 1) / count);
	bucket->full_at = full_at + event;
	return 0;
}

void
bucket_return(struct bucket *bucket, const struct rate *rate)
{
	bucket->full_at -= (uint64_t)rate->period_ms;
}
