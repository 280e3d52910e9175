/* running_connectors.h - the connectors that run, and how they become those of another configuration. */
#ifndef TWINED_SERVICE_RUNNING_CONNECTORS_H
#define TWINED_SERVICE_RUNNING_CONNECTORS_H

#include <stddef.h>

#include "config/config.h"
#include "net/connector.h"

struct running_place;

/* A connector that runs, and the section it came from. */
struct running_connector {
	struct section_config *config;
	struct connector *connector;
};

/* Sorted by name. */
struct running_connectors {
	struct running_connector *items;
	size_t count;
};

/*
 * Makes the connectors of a configuration that are not as they run already, and leaves all in next:
 * 0, or -1 and errors says why. In either case running_connectors_swap or
 * running_connectors_abandon follows.
 */
int running_connectors_prepare(const struct running_connectors *now, const struct config *config,
			       const struct running_place *place, struct running_connectors *next,
			       struct config_errors *errors);

/* Puts the new ones in the place of the old ones: those end, and these dial. */
void running_connectors_swap(struct running_connectors *now, const struct running_connectors *next,
			     const struct running_place *place);

/* Frees what was prepared and does not run. */
void
running_connectors_abandon(const struct running_connectors *now, struct running_connectors *next);

/* For a stop: dials no more and frees them; connections go on. */
void running_connectors_free(struct running_connectors *connectors);

#endif
