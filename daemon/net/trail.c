/* trail.c - what the connections of a connector leave at a path to each other. */
#include "net/trail.h"

#include <stdatomic.h>
#include <stdlib.h>

struct trail {
	atomic_uint refs;
	atomic_uint writers;
	atomic_bool inside, begun;
};

struct trail *
trail_new(void)
{
	struct trail *trail = calloc(1, sizeof *trail);

	if (trail != NULL)
		atomic_init(&trail->refs, 1);
	return trail;
}

struct trail *
trail_ref(struct trail *trail)
{
	atomic_fetch_add_explicit(&trail->refs, 1, memory_order_relaxed);
	return trail;
}

void
trail_unref(struct trail *trail)
{
	if (trail != NULL && atomic_fetch_sub_explicit(&trail->refs, 1, memory_order_acq_rel) == 1)
		free(trail);
}

void
trail_enter(struct trail *trail)
{
	atomic_fetch_add_explicit(&trail->writers, 1, memory_order_relaxed);
}

void
trail_leave(struct trail *trail)
{
	atomic_fetch_sub_explicit(&trail->writers, 1, memory_order_release);
}

bool
trail_is_written(const struct trail *trail)
{
	return atomic_load_explicit(&trail->writers, memory_order_acquire) > 0;
}

bool
trail_is_inside(const struct trail *trail)
{
	return atomic_load_explicit(&trail->inside, memory_order_relaxed);
}

void
trail_set_inside(struct trail *trail, bool inside)
{
	atomic_store_explicit(&trail->inside, inside, memory_order_relaxed);
}

bool
trail_take_begun(struct trail *trail)
{
	return atomic_exchange_explicit(&trail->begun, false, memory_order_relaxed);
}

void
trail_set_begun(struct trail *trail, bool begun)
{
	atomic_store_explicit(&trail->begun, begun, memory_order_relaxed);
}
