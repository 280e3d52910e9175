/* section_fill.h - makes the settings of a listener or connector of its keys. */
#ifndef TWINED_CONFIG_SECTION_FILL_H
#define TWINED_CONFIG_SECTION_FILL_H

#include "config/reading.h"
#include "config/section_config.h"

/*
 * The protocol that a section will have; NULL when its key is missing or wrong, which is told
 * later.
 */
const struct protocol *section_protocol(const struct reading *reading, const struct placed *placed);

/* Checks the keys and sets all fields: a key's value, what [defaults] says, or the default. */
void section_fill(struct reading *reading, const struct placed *placed,
		  struct section_config *section);

#endif
