/* running_set.h - the listeners and connectors that run, and how they become those of another configuration. */
#ifndef TWINED_SERVICE_RUNNING_SET_H
#define TWINED_SERVICE_RUNNING_SET_H

#include <stddef.h>

#include "config/config.h"
#include "net/listener.h"
#include "service/running_connectors.h"

/* A listener that runs, and the section it came from. Sorted by name. */
struct running {
	struct section_config *config;
	struct listener *listener;
};

struct running_set {
	struct running *items;
	size_t count;
	struct running_connectors connectors;
};

/* What they run on. */
struct running_place {
	struct reactor *const *reactors;
	size_t reactor_count;
	const struct port_list *passed;		/* sockets from systemd */
	struct connection_budget *budget;
	struct resolver *resolver;
	struct commons *commons;
};

/*
 * Makes the set equal to the configuration: what is equal is not touched, and every new socket is
 * bound before anything changes. On -1 errors says why (or, empty, that memory is short), and the
 * set is as before. The configuration stays the caller's.
 */
int running_set_apply(struct running_set *set, const struct config *config,
		      const struct running_place *place, struct config_errors *errors);

/* For a stop: closes listeners and connectors and frees them; connections go on. */
void running_set_free(struct running_set *set);

/* Adds an error line about a section; without memory their number alone tells. */
void running_add_error(struct config_errors *errors, const struct section_config *section,
		       const char *sentence);

/* The factory of what runs for a section; NULL with errno. */
struct factory *running_factory(const struct running_place *place, struct section_config *section);

#endif
