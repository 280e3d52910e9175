/* rotation.h - which of some addresses is dialled next, and after what wait. */
#ifndef TWINED_NET_ROTATION_H
#define TWINED_NET_ROTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/backoff.h"

/*
 *   first ── failed ─▶ second ── failed ─▶ ... last ── failed ─▶ a wait, longer each time ─┐
 *     ▲                                                                                   │
 *     └───────────────────────────────────────────────────────────────────────────────────┘
 *
 * So many have to fail for a wait as there are, with whichever it began; then the first is next.
 */
struct rotation {
	size_t count;			/* of the addresses, at least 1 */
	size_t at;			/* which is dialled, or is next */
	size_t failed;			/* how many have since the last wait */
	struct backoff backoff;
};

/* The waits are as those of backoff_init. */
void rotation_init(struct rotation *rotation, size_t count, uint64_t min_ms, uint64_t max_ms,
		   uint64_t seed);

/* Whether there will be a wait if this one fails. */
bool rotation_is_last(const struct rotation *rotation);

/* This one has failed: the next is to be dialled after so many milliseconds. */
uint64_t rotation_fail(struct rotation *rotation);

/* This one has done well: no other has failed, and the next wait is a first one again. */
void rotation_forgive(struct rotation *rotation);

/* The first one is to be dialled after so many milliseconds, which are a wait. */
uint64_t rotation_begin(struct rotation *rotation);

#endif
