/* backoff.c - waits that double, with jitter. */
#include "net/backoff.h"

void
backoff_init(struct backoff *backoff, uint64_t min_ms, uint64_t max_ms, uint64_t seed)
{
	*backoff = (struct backoff){ .min_ms = min_ms, .max_ms = max_ms, .random = seed };
}

/* A number below `below`, which is not 0: splitmix64. */
static uint64_t
chance(struct backoff *backoff, uint64_t below)
{
	uint64_t bits = backoff->random += 0x9e3779b97f4a7c15;

	bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
	bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
	return (bits ^ bits >> 31) % below;
}

uint64_t
backoff_next(struct backoff *backoff)
{
	uint64_t min_ms = backoff->min_ms, max_ms = backoff->max_ms, wait_ms;

	if (backoff->base_ms == 0)
		backoff->base_ms = min_ms;
	else
		backoff->base_ms = backoff->base_ms < max_ms / 2 ? backoff->base_ms * 2 : max_ms;
	wait_ms = backoff->base_ms + chance(backoff, backoff->base_ms / 2 + 1);
	if (wait_ms > max_ms)
		wait_ms = max_ms - chance(backoff, max_ms / 4 + 1);
	return wait_ms > min_ms ? wait_ms : min_ms;
}

void
backoff_reset(struct backoff *backoff)
{
	backoff->base_ms = 0;
}
