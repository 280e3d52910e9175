/* rotation.c - one after another, and a wait when all have failed. */
#include "net/rotation.h"

void
rotation_init(struct rotation *rotation, size_t count, uint64_t min_ms, uint64_t max_ms,
	      uint64_t seed)
{
	*rotation = (struct rotation){ .count = count };
	backoff_init(&rotation->backoff, min_ms, max_ms, seed);
}

bool
rotation_is_last(const struct rotation *rotation)
{
	return rotation->failed + 1 >= rotation->count;
}

uint64_t
rotation_begin(struct rotation *rotation)
{
	rotation->at = 0;
	rotation->failed = 0;
	return backoff_next(&rotation->backoff);
}

uint64_t
rotation_fail(struct rotation *rotation)
{
	if (rotation_is_last(rotation))
		return rotation_begin(rotation);
	rotation->at = (rotation->at + 1) % rotation->count;
	rotation->failed++;
	return 0;
}

void
rotation_forgive(struct rotation *rotation)
{
	rotation->failed = 0;
	backoff_reset(&rotation->backoff);
}
