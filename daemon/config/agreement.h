/* agreement.h - what sections that share something by name must say alike. */
#ifndef TWINED_CONFIG_AGREEMENT_H
#define TWINED_CONFIG_AGREEMENT_H

#include "config/reading.h"
#include "config/section_config.h"

/* A section that shares something; what it points to must live until the check. */
struct party {
	struct placed placed;
	const struct section_config *section;
	const char *name;		/* of what it shares */
};

/* All zero: empty. */
struct agreements {
	struct party *parties;
	size_t count;
};

/* Adds a section, if its protocol shares anything. */
void agreements_add(struct agreements *agreements, struct faults *faults,
		    const struct placed *placed, const struct section_config *section);

/* Refuses what differs from the first section of the same name, and frees what was added. */
void agreements_check(struct agreements *agreements, struct faults *faults);

#endif
