/* route.c - looks from every step for the shortest way back, breadth first. */
#include "config/route.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/array.h"

static const size_t NONE = SIZE_MAX;

/* What is known of a step. */
struct mark {
	size_t next;			/* from the same place */
	size_t before;			/* on the way that it was first reached by */
	size_t start;			/* of the search that reached it last */
};

struct search {
	const struct step *steps;
	size_t *first;			/* step of a place */
	struct mark *marks;		/* of each step */
	size_t *queue;			/* of steps; and then the steps of a way */
};

int
routes_add(struct routes *routes, const struct step *step)
{
	struct step *steps = array_grow(routes->steps, routes->count, sizeof *steps);

	if (steps == NULL)
		return -1;
	routes->steps = steps;
	steps[routes->count++] = *step;
	return 0;
}

void
routes_free(struct routes *routes)
{
	free(routes->steps);
	*routes = (struct routes){ 0 };
}

static void
search_clear(struct search *search)
{
	free(search->first);
	free(search->marks);
	free(search->queue);
}

/* Makes a list of the steps from each place, in their order: 0, or -1 without memory. */
static int
search_make(struct search *search, const struct routes *routes)
{
	size_t places = 0;

	for (size_t i = 0; i < routes->count; i++)
		if (routes->steps[i].from >= places)
			places = routes->steps[i].from + 1;
	for (size_t i = 0; i < routes->count; i++)
		if (routes->steps[i].to >= places)
			places = routes->steps[i].to + 1;
	search->steps = routes->steps;
	search->first = calloc(places + 1, sizeof *search->first);
	search->marks = calloc(routes->count + 1, sizeof *search->marks);
	search->queue = calloc(routes->count + 1, sizeof *search->queue);
	if (search->first == NULL || search->marks == NULL || search->queue == NULL)
		return -1;
	for (size_t i = 0; i < places; i++)
		search->first[i] = NONE;
	for (size_t i = routes->count; i-- > 0;) {
		size_t *first = &search->first[routes->steps[i].from];

		search->marks[i] = (struct mark){ .next = *first, .start = NONE };
		*first = i;
	}
	return 0;
}

/* Whether the way that begins with a step and has come to another can go on by a third. */
static bool
can_go_on(const struct search *search, size_t start, size_t at, size_t next)
{
	const struct step *steps = search->steps;

	return steps[next].owner > steps[start].owner && steps[next].owner != steps[at].owner
	       && search->marks[next].start != start;
}

/* The last step of the way back to where a step begins; NONE: there is no way. */
static size_t
search_back(struct search *search, size_t start)
{
	const struct step *steps = search->steps;
	size_t head = 0, tail = 0;

	search->queue[tail++] = start;
	search->marks[start].start = start;
	while (head < tail) {
		size_t at = search->queue[head++], next = search->first[steps[at].to];

		for (; next != NONE; next = search->marks[next].next) {
			if (!can_go_on(search, start, at, next))
				continue;
			search->marks[next].before = at;
			search->marks[next].start = start;
			if (steps[next].to == steps[start].from)
				return next;
			search->queue[tail++] = next;
		}
	}
	return NONE;
}

/* The owners of all steps behind the first one, to the last, in words. */
static void
way_format(struct search *search, size_t start, size_t last, char *buffer, size_t size)
{
	enum { SHOWN = 3 };
	size_t length = 0, used = 0;

	for (size_t i = last; i != start; i = search->marks[i].before)
		length++;
	for (size_t i = last, at = length; i != start; i = search->marks[i].before)
		search->queue[--at] = i;
	for (size_t i = 0; i < length && i < SHOWN && used < size; i++)
		used += (size_t)snprintf(buffer + used, size - used, "%s[%s]",
					 i == 0            ? ""
					 : i + 1 == length ? " and "
							   : ", ",
					 search->steps[search->queue[i]].owner->section->name);
	if (length > SHOWN && used < size)
		snprintf(buffer + used, size - used, " and %zu more", length - SHOWN);
}

int
routes_find_back(const struct routes *routes, leads_back_fn *leads_back, void *arg)
{
	struct search search = { 0 };
	int result = search_make(&search, routes);

	for (size_t i = 0; result == 0 && i < routes->count; i++) {
		size_t last = search_back(&search, i);
		char way[320];

		if (last == NONE)
			continue;
		way_format(&search, i, last, way, sizeof way);
		leads_back(arg, &routes->steps[i], way);
	}
	search_clear(&search);
	return result;
}
