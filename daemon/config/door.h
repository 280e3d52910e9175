/* door.h - where listeners can be dialled, found by what is dialled. */
#ifndef TWINED_CONFIG_DOOR_H
#define TWINED_CONFIG_DOOR_H

#include "config/address_identity.h"
#include "config/section_config.h"

struct door {
	char key[ADDRESS_IDENTITY_MAX];	/* what a dialled address must have in common with it */
	const struct address *address;
	const char *interface;		/* bind_device; NULL: every one */
	size_t listener;		/* its place among the listeners */
};

/* All zero: none. */
struct doors {
	struct door *items;		/* sorted by key */
	size_t count;
};

/* The addresses of listeners, which must outlive them: 0, or -1 without memory. */
int doors_make(struct doors *doors, struct section_config *const *listeners, size_t count);
void doors_free(struct doors *doors);

/*
 * The next door that an address leads to, as far as that shows without looking names up; before:
 * the one that was found last, NULL: none yet. NULL when there is no more.
 */
const struct door *doors_next(const struct doors *doors, const struct address *dialled,
			      const struct door *before);

#endif
