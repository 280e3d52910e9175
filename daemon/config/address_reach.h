/* address_reach.h - whether dialling an address leads to one that is listened on. */
#ifndef TWINED_CONFIG_ADDRESS_REACH_H
#define TWINED_CONFIG_ADDRESS_REACH_H

#include <stdbool.h>

#include "config/address_identity.h"

/*
 * Writes what two addresses have in common when the one may lead to the other: the kind and the
 * port, or the name of a unix socket. False: nothing leads there that we know of.
 */
bool address_reach_key(const struct address *address, char key[static ADDRESS_IDENTITY_MAX]);

/*
 * Of two addresses with the same key: whether dialling the first reaches the second on this
 * machine; interface: the second one's bind_device, NULL: none. Of a name only localhost is known.
 */
bool address_reaches(const struct address *dialled, const struct address *bound,
		     const char *interface);

#endif
