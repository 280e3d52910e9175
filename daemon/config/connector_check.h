/* connector_check.h - what only shows when all values of a connector are there. */
#ifndef TWINED_CONFIG_CONNECTOR_CHECK_H
#define TWINED_CONFIG_CONNECTOR_CHECK_H

#include "config/reading.h"
#include "config/section_config.h"

/* Says that connectors cannot speak a protocol, and which they can. */
void connector_refuse_protocol(struct faults *faults, const struct placed *placed,
			       const struct protocol *protocol);

/* Looks at the values together, which must all be good ones. */
void connector_check(struct faults *faults, const struct placed *placed,
		     const struct section_config *connector);

#endif
