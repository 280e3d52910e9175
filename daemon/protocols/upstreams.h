/* upstreams.h - the upstreams of a proxy: where their names lead, which is down, and which is
 * next. */
#ifndef TWINED_PROTOCOLS_UPSTREAMS_H
#define TWINED_PROTOCOLS_UPSTREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

struct factory;
struct proxy_settings;
struct upstream;

/*
 * Those of one kind, streams or datagrams, of one factory. Shared by all its reactors: a mutex is
 * taken for a moment when a client is given an upstream and when that ends, never for its bytes.
 * For any thread, unless said.
 */
struct upstreams;

/*
 * Makes those of the kind that the settings have, which may be none; the settings outlive them.
 * Addresses that need no look-up are there at once. name: the listener's, for the log. NULL with
 * errno.
 */
struct upstreams *upstreams_new(const struct proxy_settings *settings, const char *name,
				bool datagrams);
void upstreams_free(struct upstreams *upstreams);

/*
 * Begins and ends to look names up and to check, on the factory's reactor (factory_started,
 * factory_stopped).
 */
void upstreams_start(struct upstreams *upstreams, struct factory *factory);
void upstreams_stop(struct upstreams *upstreams);

/* Where an upstream's name leads: immutable, references are counted, from any thread. */
struct places {
	unsigned refs;			/* atomic */
	size_t count;			/* at least 1 */
	size_t preferred;		/* so many, of the family that is preferred, come first */
	struct sockaddr_any items[];
};

void places_unref(struct places *places);

/* One client's choice, and what it has tried before. All zero to begin with. */
struct choice {
	struct upstream *upstream;	/* NULL: none */
	struct places *places;		/* referenced; where to dial it */
	size_t first;			/* the place to begin with */
	uint64_t *tried;		/* a bit for each upstream tried; NULL: none yet */
	uint32_t epoch;			/* of its health, when it was picked */
	bool trial;			/* whether it comes up depends on this one */
};

enum pick {
	PICK_OK,		/* choice->upstream is to be dialled */
	PICK_NONE,		/* every one has been tried, or there is none */
	PICK_UNRESOLVED,	/* none is left but some whose names are still being looked up */
};

/*
 * Picks an upstream that the choice has not tried: by balance among those that serve, else among
 * the backups that serve, and when every one is down among all. What has been picked counts as a
 * connection of it until choice_refused or choice_end. client: the peer's address.
 */
enum pick upstreams_pick(struct upstreams *upstreams, const union peer_address *client,
			 struct choice *choice);

/*
 * A number that changes when there may be more to pick from: one has come up, or a name has been
 * answered. Who waits for one need not wait any longer then.
 */
unsigned upstreams_changes(const struct upstreams *upstreams);

/* A datagram has been sent to what was picked; before choice_connected. */
void choice_sent(const struct choice *choice);

/*
 * What was picked has answered: it serves. All but choice->upstream is freed: a choice of that
 * alone is as good for choice_end, so that an established pair keeps one pointer.
 */
void choice_connected(struct choice *choice);

/* What was picked has not answered, for this errno; another may be picked. */
void choice_refused(struct choice *choice, int error);

/* Forgets what has been tried: every one may be picked anew. */
void choice_forget(struct choice *choice);

/* Ends a choice, connected or not, and frees what it holds but the struct. */
void choice_end(struct choice *choice);

/* "tcp://10.0.0.5:80", as in the file; lives as long as the upstreams. */
const char *upstream_text(const struct upstream *upstream);

/* What there is to say of each, for the summary in the log and the status. */
struct upstream_report {
	const char *text;
	const char *state;	/* "up", "down", "unresolved", "drained" (weight 0) */
	bool backup;
	uint64_t open;		/* connections or flows now */
	uint64_t connected;	/* since the start */
	uint64_t refused;	/* attempts and checks that failed */
};

/* Calls fn for each, in the order of the file. */
void upstreams_report(struct upstreams *upstreams,
		      void (*fn)(void *arg, const struct upstream_report *report), void *arg);

#endif
