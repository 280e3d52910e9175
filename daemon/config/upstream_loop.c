/* upstream_loop.c - follows upstreams from listener to listener. */
#include "config/upstream_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/door.h"
#include "config/listener_check.h"
#include "config/sentence.h"

/* An upstream of one listener that is another one, or the same. */
struct step {
	size_t from, to;
	const struct address *address;
	const char *row;
};

enum color { UNSEEN, ON_THE_WAY, DONE };

struct loops {
	struct reading *reading;
	struct listener_config *const *listeners;
	size_t count;
	struct doors doors;
	struct step *steps;		/* sorted by from */
	size_t step_count;
	size_t *first;			/* of a listener's steps, the next one's being the end */
	size_t *next;			/* the step to be taken next */
	size_t *way;			/* listeners, from the first to where we are */
	enum color *colors;
};

static int
step_add(struct loops *loops, const struct step *step)
{
	size_t count = loops->step_count;

	if ((count & (count - 1)) == 0) {
		struct step *steps =
			reallocarray(loops->steps, count == 0 ? 1 : count * 2, sizeof *steps);
		if (steps == NULL)
			return -1;
		loops->steps = steps;
	}
	loops->steps[loops->step_count++] = *step;
	return 0;
}

/* All listeners that an upstream of one leads to. */
static int
steps_add(struct loops *loops, size_t from, const char *row, const struct address *address)
{
	const struct door *door = NULL;

	while ((door = doors_next(&loops->doors, address, door)) != NULL) {
		struct step step = {
			.from = from, .to = door->listener, .address = address, .row = row
		};

		if (step_add(loops, &step) < 0)
			return -1;
	}
	return 0;
}

static int
steps_make(struct loops *loops)
{
	for (size_t i = 0; i < loops->count; i++) {
		const struct listener_config *listener = loops->listeners[i];
		const struct option *row = listener->common.protocol != NULL
						   ? listener->common.protocol->options
						   : NULL;

		loops->first[i] = loops->next[i] = loops->step_count;
		for (; row != NULL && row->name != NULL; row++) {
			const struct upstream_list *list =
				(const void *)((const char *)listener->settings + row->offset);

			for (size_t k = 0; row->type == OPTION_UPSTREAMS && k < list->count; k++)
				if (steps_add(loops, i, row->name, &list->items[k].address) < 0)
					return -1;
		}
	}
	loops->first[loops->count] = loops->step_count;
	return 0;
}

/* The listeners on the way back from one to itself, in words: "[listener:b] and [listener:c]". */
static const char *
way_format(const struct loops *loops, size_t from, size_t depth, char *buffer, size_t size)
{
	enum { SHOWN = 3 };
	size_t used = 0, others = depth - from - 1;

	buffer[0] = '\0';
	for (size_t i = 0; i < others && i < SHOWN && used < size; i++)
		used += (size_t)snprintf(buffer + used, size - used, "%s[listener:%s]",
					 i == 0            ? ""
					 : i + 1 == others ? " and "
							   : ", ",
					 loops->listeners[loops->way[from + 1 + i]]->name);
	if (others > SHOWN && used < size)
		snprintf(buffer + used, size - used, " and %zu more", others - SHOWN);
	return buffer;
}

/*
 * Tells of a loop where it begins: at the first of its listeners on the way, depth being the way's
 * length.
 */
static void
loop_refuse(const struct loops *loops, const struct step *last, size_t depth)
{
	const struct step *step = last;
	char section[64], others[320];
	size_t from = depth - 1;

	while (loops->way[from] != last->to)
		from--;
	if (from != depth - 1)
		step = &loops->steps[loops->next[last->to] - 1];
	snprintf(section, sizeof section, "listener:%s", loops->listeners[step->from]->name);
	key_fault(&loops->reading->faults, reading_find(loops->reading, section), step->row,
		  from == depth - 1
			  ? sentence_about(step->address->text,
					   "is this listener itself: it would be its own client")
			  : sentence_about(step->address->text,
					   "leads back to this listener, by way of %s",
					   way_format(loops, from, depth, others, sizeof others)));
}

/* Goes every step that can be gone from a listener, once. */
static void
loops_follow(struct loops *loops, size_t start)
{
	size_t depth = 1;

	loops->way[0] = start;
	loops->colors[start] = ON_THE_WAY;
	while (depth > 0) {
		size_t at = loops->way[depth - 1];

		if (loops->next[at] == loops->first[at + 1]) {
			loops->colors[at] = DONE;
			depth--;
			continue;
		}
		const struct step *step = &loops->steps[loops->next[at]++];
		if (loops->colors[step->to] == ON_THE_WAY) {
			loop_refuse(loops, step, depth);
		} else if (loops->colors[step->to] == UNSEEN) {
			loops->colors[step->to] = ON_THE_WAY;
			loops->way[depth++] = step->to;
		}
	}
}

void
upstream_loops_check(struct reading *reading, struct listener_config *const *listeners,
		     size_t count)
{
	struct loops loops = { .reading = reading, .listeners = listeners, .count = count };

	loops.first = calloc(count + 1, sizeof *loops.first);
	loops.next = calloc(count + 1, sizeof *loops.next);
	loops.way = calloc(count + 1, sizeof *loops.way);
	loops.colors = calloc(count + 1, sizeof *loops.colors);
	if (loops.first == NULL || loops.next == NULL || loops.way == NULL || loops.colors == NULL
	    || doors_make(&loops.doors, listeners, count) < 0 || steps_make(&loops) < 0)
		reading->faults.out_of_memory = true;
	else
		for (size_t i = 0; i < count; i++)
			if (loops.colors[i] == UNSEEN)
				loops_follow(&loops, i);
	doors_free(&loops.doors);
	free(loops.steps);
	free(loops.first);
	free(loops.next);
	free(loops.way);
	free(loops.colors);
}
