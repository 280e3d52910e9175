/* suggestion.h - "did you mean": the nearest of some names to one that is unknown. */
#ifndef TWINED_CONFIG_SUGGESTION_H
#define TWINED_CONFIG_SUGGESTION_H

#include <stddef.h>

struct suggestion {
	const char *wanted;
	const char *best;	/* NULL: nothing near yet */
	unsigned distance;	/* of best, or the first that is too far */
};

/*
 * How many letters must be put in, left out, exchanged, or swapped with their neighbour, to make
 * one name of the other, in any case of letters. limit when it is that many or more.
 */
unsigned edit_distance(const char *from, const char *to, unsigned limit);

/* Begins a search; wanted and what is offered must live as long as it. */
struct suggestion suggestion_new(const char *wanted);
void suggestion_offer(struct suggestion *suggestion, const char *name);

/* Writes `, did you mean "listen"?`, or nothing. Returns buffer. */
const char *suggestion_format(const struct suggestion *suggestion, char *buffer, size_t size);

#endif
