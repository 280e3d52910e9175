/* conflict.h - addresses that two listeners want. */
#ifndef TWINED_CONFIG_CONFLICT_H
#define TWINED_CONFIG_CONFLICT_H

#include "config/reading.h"
#include "net/listener.h"

struct claim {
	char *identity;
	const char *text;		/* of the address, as written */
	const char *interface;		/* bind_device; NULL: every one */
	struct placed placed;
};

/* All zero: empty. */
struct conflicts {
	struct claim *claims;
	size_t count;
};

/* Adds the addresses of a listener, which must live until the check. */
void conflicts_add(struct conflicts *conflicts, struct faults *faults, const struct placed *placed,
		   const struct listener_settings *listener);

/*
 * Refuses every address but the first of those that are the same, and frees what was added. IP
 * addresses on two interfaces are two.
 */
void conflicts_check(struct conflicts *conflicts, struct faults *faults);

#endif
