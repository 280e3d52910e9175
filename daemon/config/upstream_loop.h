/* upstream_loop.h - listeners whose upstreams lead back to themselves, also through others. */
#ifndef TWINED_CONFIG_UPSTREAM_LOOP_H
#define TWINED_CONFIG_UPSTREAM_LOOP_H

#include "config/reading.h"
#include "config/section_config.h"

/*
 * Refuses loops among listeners, as far as they show without looking names up: each connection
 * would make another one, until there are no more descriptors.
 */
void upstream_loops_check(struct reading *reading, struct section_config *const *listeners,
			  size_t count);

#endif
