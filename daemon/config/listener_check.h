/* listener_check.h - what only shows when all values of a listener are there. */
#ifndef TWINED_CONFIG_LISTENER_CHECK_H
#define TWINED_CONFIG_LISTENER_CHECK_H

#include "config/reading.h"
#include "config/section_config.h"

/* Adds a fault about a key of a section, at its line; of an inherited one, at the section's. */
void key_fault(struct faults *faults, const struct placed *placed, const char *key,
	       const char *sentence);

/* Refuses addresses that the protocol, which must be known, cannot be spoken over. */
void listener_transports_check(struct faults *faults, const struct placed *placed,
			       const struct section_config *listener);

/*
 * Has the protocol of a section look at its settings together; listen: a listener's addresses, NULL
 * of a connector.
 */
void protocol_check(struct faults *faults, const struct placed *placed,
		    const struct section_config *section, const struct address_list *listen);

/* Looks at the values together, which must all be good ones. */
void listener_check(struct faults *faults, const struct placed *placed,
		    const struct section_config *listener);

#endif
