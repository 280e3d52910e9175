/* balance.h - which of several upstreams is next, by their shares and by what they have to do. */
#ifndef TWINED_PROTOCOLS_BALANCE_H
#define TWINED_PROTOCOLS_BALANCE_H

#include <stddef.h>
#include <stdint.h>

#include "net/address.h"
#include "protocols/proxy_settings.h"

/* The share of an upstream of weight 1 that serves with its whole weight. */
enum { BALANCE_SHARE = 256 };

/* Where there is no candidate. */
#define BALANCE_NONE SIZE_MAX

/*
 * What is known of an upstream when one is picked. All of them are looked at for every client, so
 * this is kept small, in one array.
 */
struct candidate {
	int64_t turn;		/* round_robin: how many shares it is owed; 0 at first */
	uint32_t share;		/* 0: it is not to be picked */
	uint32_t open;		/* least_conn: how many connections it has */
};

/* Some of an array of candidates: from first to before end. */
struct candidates {
	struct candidate *items;
	const uint64_t *keys;	/* balance_key of each */
	size_t first, end;
	const uint64_t *tried;	/* a bit for each that is not to be picked again; NULL: none */
};

/*
 * The index of the next one, or BALANCE_NONE. draw: for random a random number, for source the
 * client (balance_client); else unused.
 *
 * round_robin is smooth: of weights 3 and 1, every 4 in a row get 3 and 1. least_conn takes the
 * least open/share, and among equals goes as round_robin. random takes each as often as its share
 * says. source always takes the same one for the same client; one that comes, goes or changes its
 * share by a part of all shares moves that part of the clients, to or from itself, and nobody else.
 */
size_t balance_pick(enum balance balance, const struct candidates *among, uint64_t draw);

/* Keeps what is owed within bounds after shares have changed. */
void balance_settle(const struct candidates *among);

/*
 * What stands for an upstream and for a client's address (without its port) in BALANCE_SOURCE: the
 * same in every process and on every machine. A new version that changed them would move every
 * client.
 */
uint64_t balance_key(const char *text);
uint64_t balance_client(const union peer_address *client);

/* The next number of a random sequence; state is any seed at first. */
uint64_t balance_random(uint64_t *state);

#endif
