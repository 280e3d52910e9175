/* balance.c - which of several upstreams is next, by their shares and by what they have to do. */
#include "protocols/balance.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

/* The finalizer of MurmurHash3: every bit of the input changes half of those of the result. */
static inline uint64_t
mix(uint64_t bits)
{
	bits = (bits ^ bits >> 33) * 0xff51afd7ed558ccd;
	bits = (bits ^ bits >> 33) * 0xc4ceb9fe1a85ec53;
	return bits ^ bits >> 33;
}

uint64_t
balance_random(uint64_t *state)
{
	return mix(*state += 0x9e3779b97f4a7c15);
}

uint64_t
balance_key(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (const char *at = text; *at != '\0'; at++)
		hash = (hash ^ (uint8_t)*at) * 0x100000001b3;
	return mix(hash);
}

uint64_t
balance_client(const union peer_address *client)
{
	union peer_address peer = *client;
	uint64_t halves[2] = { 0 };

	address_unmap(&peer);
	if (peer.sa.sa_family == AF_INET6)
		memcpy(halves, &peer.in6.sin6_addr, sizeof halves);
	else if (peer.sa.sa_family == AF_INET)
		memcpy(halves, &peer.in.sin_addr, sizeof peer.in.sin_addr);
	return mix(be64toh(halves[0]) ^ mix(be64toh(halves[1])));
}

static inline bool
may_pick(const struct candidates *among, size_t i)
{
	return among->items[i].share != 0
	       && (among->tried == NULL || !(among->tried[i / 64] >> i % 64 & 1));
}

/* Which of two has less to do for its share: below 0 the first, 0 neither. */
static inline int64_t
compare_load(struct candidate a, struct candidate b)
{
	return (int64_t)a.open * b.share - (int64_t)b.open * a.share;
}

/*
 * Smooth weighted round robin: each is owed its share of every turn, and whoever is owed most is
 * taken, for the shares of all. equal: among those only that have as little to do; NULL: among all.
 */
static inline size_t
pick_in_turn(struct candidates among, const struct candidate *equal)
{
	const struct candidate load = equal != NULL ? *equal : (struct candidate){ 0 };
	size_t best = BALANCE_NONE;
	int64_t total = 0, most = INT64_MIN;

	for (size_t i = among.first; i < among.end; i++) {
		struct candidate *candidate = &among.items[i];

		if (!may_pick(&among, i) || (equal != NULL && compare_load(*candidate, load) != 0))
			continue;
		total += candidate->share;
		candidate->turn += candidate->share;
		if (candidate->turn > most) {
			most = candidate->turn;
			best = i;
		}
	}
	if (best != BALANCE_NONE)
		among.items[best].turn -= total;
	return best;
}

static size_t
pick_least_loaded(struct candidates among)
{
	struct candidate least = { .open = 1 };		/* as much to do as none can have */

	for (size_t i = among.first; i < among.end; i++)
		if (compare_load(among.items[i], least) < 0 && may_pick(&among, i))
			least = among.items[i];
	return pick_in_turn(among, &least);
}

static size_t
pick_at_random(struct candidates among, uint64_t draw)
{
	uint64_t total = 0;

	for (size_t i = among.first; i < among.end; i++)
		if (may_pick(&among, i))
			total += among.items[i].share;
	if (total == 0)
		return BALANCE_NONE;
	draw %= total;
	for (size_t i = among.first;; i++) {
		if (!may_pick(&among, i))
			continue;
		if (draw < among.items[i].share)
			return i;
		draw -= among.items[i].share;
	}
}

/*
 * -ln(1 - part), for 0 <= part < 1, without libm: halves what is left of 1 until the series is
 * short.
 */
static double
minus_log_of_rest(double part)
{
	double sum = 0, z, power, series;

	for (; part > 0.5; part = 2 * part - 1)
		sum += 0.69314718055994531;
	/* the logarithm is 2 artanh z, and z <= 1/3 */
	z = power = series = part / (2 - part);
	for (int i = 3; i < 21; i += 2) {
		power *= z * z;
		series += power / i;
	}
	return sum + 2 * series;
}

/*
 * Weighted rendezvous hashing: client and upstream together give a number in [0, 1) that is as good
 * as random, and with it a waiting time for the upstream, exponentially distributed with its share
 * for the rate. The shortest wins. One time says nothing of another, so that to leave one out moves
 * none but its own clients. A waiting time is never shorter than part/share, which spares nearly
 * every logarithm.
 */
static size_t
pick_by_source(struct candidates among, uint64_t client)
{
	size_t best = BALANCE_NONE;
	double shortest = 0;

	for (size_t i = among.first; i < among.end; i++) {
		double part, share, wait;

		if (!may_pick(&among, i))
			continue;
		part = (double)(mix(among.keys[i] ^ client) >> 11) * 0x1p-53;
		share = among.items[i].share;
		if (best != BALANCE_NONE && part >= shortest * share)
			continue;
		wait = minus_log_of_rest(part) / share;
		if (best == BALANCE_NONE || wait < shortest) {
			best = i;
			shortest = wait;
		}
	}
	return best;
}

size_t
balance_pick(enum balance balance, const struct candidates *among, uint64_t draw)
{
	switch (balance) {
	case BALANCE_LEAST_CONN:
		return pick_least_loaded(*among);
	case BALANCE_RANDOM:
		return pick_at_random(*among, draw);
	case BALANCE_SOURCE:
		return pick_by_source(*among, draw);
	default:
		return pick_in_turn(*among, NULL);
	}
}

void
balance_settle(const struct candidates *among)
{
	int64_t total = 0;

	for (size_t i = among->first; i < among->end; i++)
		total += among->items[i].share;
	for (size_t i = among->first; i < among->end; i++) {
		int64_t *turn = &among->items[i].turn;

		*turn = *turn > total ? total : *turn < -total ? -total : *turn;
	}
}
