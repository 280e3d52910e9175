/* upstreams_private.h - upstreams from within: for upstreams.c and the upstream_*.c only. */
#ifndef TWINED_PROTOCOLS_UPSTREAMS_PRIVATE_H
#define TWINED_PROTOCOLS_UPSTREAMS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/deadline.h"
#include "protocols/balance.h"
#include "protocols/health.h"
#include "protocols/upstreams.h"

struct check;
struct checks;
struct lookup;
struct upstream_address;

struct upstream {
	struct upstreams *group;
	const struct upstream_address *config;
	uint32_t whole;			/* its share when it serves; 0: drained */

	/* Under the mutex. */
	struct places *places;		/* NULL: its name has no answer */
	size_t next_place;
	struct health health;
	bool is_pending;		/* its first look-up is under way */
	uint64_t connected, refused;

	/* The home reactor's. */
	struct lookup *lookup;		/* NULL: none is under way */
	struct deadline lookup_again;
	int64_t retry_ms;		/* the last pause while there was no answer */
	bool lookup_fails;		/* the last one did */
	struct check *check;		/* NULL: it is not checked */
};

struct upstreams {
	const struct proxy_settings *settings;
	const char *name;
	bool datagrams;
	size_t count;
	size_t backups;			/* where they begin: those before it are no backups */
	struct upstream *items;
	size_t *in_file;		/* the index of each, in the order of the file */

	/* The home reactor's, from the start to the stop. */
	struct factory *factory;	/* NULL: not started */
	struct checks *checks;		/* NULL: none are made */

	atomic_uint changes;		/* upstreams_changes */

	/* The rest is under the mutex, but for the keys. */
	pthread_mutex_t mutex;
	struct candidate *candidates;	/* of each item */
	uint64_t *keys;
	struct health_rules rules;
	uint64_t change_ms;		/* when shares are to be set anew; 0: at once */
	bool none_serves;		/* then those that are down are tried as if they were not */
	size_t pending;			/* how many are */
	uint64_t random;
};

/* Checks end: what is down may come back without. */
void upstreams_unchecked(struct upstreams *upstreams);

/* Whether an error is our own machine's, and tells nothing of the upstream. */
bool error_is_ours(int error);

/*
 * upstream_choice.c: a check of it has succeeded, or failed: why says how, as "Connection refused".
 */
void upstream_checked(struct upstream *upstream, bool succeeded, const char *why);

/* upstream_names.c: gives it its places, if no look-up is needed for that. 0, or -1 with errno. */
int upstream_place(struct upstream *upstream);

/* Where it leads now, with a reference; NULL: nowhere. */
struct places *upstream_places(struct upstream *upstream);

/* Its first look-up has ended, or will not be made. */
void upstream_not_pending(struct upstream *upstream);

/* Begins and ends to look its name up, unless it needs none; on the home reactor. */
void upstream_names_start(struct upstream *upstream);
void upstream_names_stop(struct upstream *upstream);

/*
 * upstream_check.c: begins and ends to check those of a group, if they are to be, on the home
 * reactor.
 */
void upstreams_checks_start(struct upstreams *upstreams);
void upstreams_checks_stop(struct upstreams *upstreams);

/* Checks it at once, if it is to be checked. */
void upstream_check_soon(struct upstream *upstream);

#endif
