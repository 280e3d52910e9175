/* connector_loop.h - connectors whose other end is on their own hub already. */
#ifndef TWINED_CONFIG_CONNECTOR_LOOP_H
#define TWINED_CONFIG_CONNECTOR_LOOP_H

#include "config/reading.h"

/*
 * Refuses connectors that dial a listener of the same configuration with which they share what their
 * protocol shares: every line would come back.
 */
void connector_loops_check(struct reading *reading);

#endif
