/* route.h - steps from place to place that sections make, and which of them lead back. */
#ifndef TWINED_CONFIG_ROUTE_H
#define TWINED_CONFIG_ROUTE_H

#include "config/reading.h"

struct step {
	size_t from, to;		/* two places, which the caller numbers from 0 */
	const struct placed *owner;	/* the section that makes it, in the array of all */
	const struct address *address;	/* by which address */
	const char *key;		/* of which key */
};

/* All zero: none. */
struct routes {
	struct step *steps;
	size_t count;
};

/* 0, or -1 without memory. */
int routes_add(struct routes *routes, const struct step *step);
void routes_free(struct routes *routes);

/* way: "[listener:b] and [listener:c]", the owners of the steps back; valid until it returns. */
typedef void leads_back_fn(void *arg, const struct step *step, const char *way);

/*
 * Tells of each step, in their order, that leads back to where it begins, with the shortest way. A
 * way takes no step of the section by whose step it has come just before; and, so that a loop is
 * told of its first section only, none of sections before that. 0, or -1 without memory.
 */
int routes_find_back(const struct routes *routes, leads_back_fn *leads_back, void *arg);

#endif
