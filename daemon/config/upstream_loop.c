/* upstream_loop.c - follows upstreams from listener to listener. */
#include "config/upstream_loop.h"

#include "config/door.h"
#include "config/listener_check.h"
#include "config/route.h"
#include "config/sentence.h"

/* Places are listeners. */
struct loops {
	struct reading *reading;
	struct section_config *const *listeners;
	struct doors doors;
	struct routes routes;
};

/* All listeners that an upstream of one leads to. */
static int
upstream_follow(struct loops *loops, size_t from, const char *key, const struct address *address)
{
	const char *name = loops->listeners[from]->name;
	const struct door *door = NULL;

	while ((door = doors_next(&loops->doors, address, door)) != NULL) {
		const struct placed *placed = reading_find_named(loops->reading, "listener", name);
		const struct step step = {
			.from = from,
			.to = door->listener,
			.owner = placed,
			.address = address,
			.key = key,
		};

		if (step.to == from)
			key_fault(&loops->reading->faults, placed, key,
				  sentence_about(
					  address->text,
					  "is this listener itself: it would be its own client"));
		else if (routes_add(&loops->routes, &step) < 0)
			return -1;
	}
	return 0;
}

static int
upstreams_follow(struct loops *loops, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *key;
		const struct upstream_list *list = section_upstreams(loops->listeners[i], &key);

		for (size_t k = 0; list != NULL && k < list->count; k++)
			if (upstream_follow(loops, i, key, &list->items[k].address) < 0)
				return -1;
	}
	return 0;
}

static void
step_refuse(void *arg, const struct step *step, const char *way)
{
	const struct loops *loops = arg;

	key_fault(&loops->reading->faults, step->owner, step->key,
		  sentence_about(step->address->text, "leads back to this listener, by way of %s",
				 way));
}

void
upstream_loops_check(struct reading *reading, struct section_config *const *listeners,
		     size_t count)
{
	struct loops loops = { .reading = reading, .listeners = listeners };

	if (doors_make(&loops.doors, listeners, count) < 0 || upstreams_follow(&loops, count) < 0
	    || routes_find_back(&loops.routes, step_refuse, &loops) < 0)
		reading->faults.out_of_memory = true;
	doors_free(&loops.doors);
	routes_free(&loops.routes);
}
