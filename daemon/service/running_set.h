/* running_set.h - the listeners that run, and how they become those of another configuration. */
#ifndef TWINED_SERVICE_RUNNING_SET_H
#define TWINED_SERVICE_RUNNING_SET_H

#include <stddef.h>

#include "config/config.h"
#include "net/listener.h"

/* A listener that runs, and the section it came from. Sorted by name. */
struct running {
	struct listener_config *config;
	struct listener *listener;
};

struct running_set {
	struct running *items;
	size_t count;
};

/* What listeners run on. */
struct running_place {
	struct reactor *const *reactors;
	size_t reactor_count;
	const struct port_list *passed;		/* sockets from systemd */
	struct connection_budget *budget;
	struct resolver *resolver;
};

/*
 * Makes the set equal to the configuration: what is equal is not touched, and every new socket is
 * bound before anything changes. On -1 errors says why (or, empty, that memory is short), and the
 * set is as before. The configuration stays the caller's.
 */
int running_set_apply(struct running_set *set, const struct config *config,
		      const struct running_place *place, struct config_errors *errors);

/* Closes the listeners and frees them; connections go on. */
void running_set_free(struct running_set *set);

#endif
