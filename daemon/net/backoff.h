/* backoff.h - how long to wait before something is tried again: longer each time, no two alike. */
#ifndef TWINED_NET_BACKOFF_H
#define TWINED_NET_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint64_t min_ms, max_ms;	/* 1 <= min <= max */
	uint64_t base_ms;		/* of the wait before; 0: there was none */
	uint64_t random;
};

void backoff_init(struct backoff *backoff, uint64_t min_ms, uint64_t max_ms, uint64_t seed);

/*
 * The next wait, from min to max: the base doubles each time, and chance adds up to half of it, so
 * that those who have lost the same peer do not come back at once. At max chance takes away up to a
 * quarter.
 */
uint64_t backoff_next(struct backoff *backoff);

/* The next wait is a first one again. */
void backoff_reset(struct backoff *backoff);

#endif
