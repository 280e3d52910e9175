/* section_fill.h - makes the settings of a listener or connector of its keys. */
#ifndef TWINED_CONFIG_SECTION_FILL_H
#define TWINED_CONFIG_SECTION_FILL_H

#include "config/assign.h"
#include "config/reading.h"

/* What is to be filled, and with what. */
struct filling {
	struct reading *reading;
	const struct placed *placed;
	enum section_type type;
	const struct option *table;	/* of the common keys */
	void *common;			/* what it fills */
	char **common_texts;
	const struct protocol *protocol;	/* NULL: not known */
	void *settings;			/* what its options fill */
	char **texts;
};

/*
 * The protocol that a section will have; NULL when its key is missing or wrong, which is told
 * later.
 */
const struct protocol *section_protocol(const struct reading *reading, const struct placed *placed);

/* Checks the keys and sets all fields: a key's value, what [defaults] says, or the default. */
void section_fill(const struct filling *filling);

#endif
