/* connector_loop.h - connectors that lines would come back by. */
#ifndef TWINED_CONFIG_CONNECTOR_LOOP_H
#define TWINED_CONFIG_CONNECTOR_LOOP_H

#include "config/reading.h"

/*
 * Refuses connectors that lead to their own hub, and those that make a ring with others, as far as
 * that shows without looking names up: lines would go round for ever. All sections must be good.
 */
void connector_loops_check(struct reading *reading);

#endif
