/* reply_rate.c - how many datagrams one network is answered: a table of buckets of fixed size. */
#include "net/reply_rate.h"

#include <stdlib.h>

/*
 * A network has its bucket in one set of WAYS. A new one takes over the bucket that is fullest,
 * with what is missing in it: a full bucket is as good as none, and no crowd of made-up sources can
 * give anybody a fresh burst.
 */
enum { SETS = 4096, WAYS = 4 };

struct entry {
	struct network network;
	struct bucket bucket;
};

struct reply_rate {
	struct rate rate;
	struct entry entries[SETS][WAYS];
};

struct reply_rate *
reply_rate_new(const struct rate *rate)
{
	struct reply_rate *table = calloc(1, sizeof *table);

	if (table != NULL)
		table->rate = *rate;
	return table;
}

void
reply_rate_free(struct reply_rate *table)
{
	free(table);
}

bool
reply_rate_take(struct reply_rate *table, const union peer_address *peer, uint64_t now_ms)
{
	struct network network = network_of(peer);
	struct entry *set = table->entries[network_hash(&network) % SETS], *chosen = &set[0];

	for (unsigned i = 0; i < WAYS; i++) {
		if (network_equal(&set[i].network, &network)) {
			chosen = &set[i];
			break;
		}
		if (set[i].bucket.full_at < chosen->bucket.full_at)
			chosen = &set[i];
	}
	chosen->network = network;
	return bucket_take(&chosen->bucket, &table->rate, now_ms) == 0;
}
