/* address_identity.h - which addresses of a file are one and the same, however they are written. */
#ifndef TWINED_CONFIG_ADDRESS_IDENTITY_H
#define TWINED_CONFIG_ADDRESS_IDENTITY_H

#include "net/address.h"

/*
 * Writes a text that two addresses share when they cannot both be bound, as far as that can be told
 * without looking names up. Returns NULL for one that any number of listeners may have: port 0.
 * Returns buffer otherwise.
 */
enum { ADDRESS_IDENTITY_MAX = 320 };
const char *
address_identity(const struct address *address, char buffer[static ADDRESS_IDENTITY_MAX]);

/*
 * The port number of a TCP or UDP address; 0: picked at the start, or a service that is not known.
 */
unsigned address_port(const struct address *address);

#endif
