/* proxy_header.h - the PROXY protocol's header, versions 1 and 2: for whom a connection was made. */
#ifndef TWINED_NET_PROXY_HEADER_H
#define TWINED_NET_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

/* The longest header that is written: the text of two IPv6 addresses. */
enum { PROXY_HEADER_MAX = 107 };

/*
 * Writes a header of that version, 1 or 2; returns its length. destination is where the source has
 * connected to. When the two are of different families, the IPv4 address is written as the IPv6 address
 * it is mapped to. Without two IP addresses (NULL, or family 0 for unix) it is a header that names nobody,
 * which every receiver has to accept: LOCAL, in version 1 UNKNOWN.
 */
size_t proxy_header_write(int version, const union peer_address *source,
			  const union peer_address *destination, uint8_t bytes[static PROXY_HEADER_MAX]);

#endif
