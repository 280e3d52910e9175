/* check.h - is a client of one address of a listener, and says whether it is served. */
#ifndef TWINED_SERVICE_CHECK_H
#define TWINED_SERVICE_CHECK_H

#include "net/address.h"

struct probe;

/*
 * Connects (or sends a datagram), does what the protocol's probe says with the listener's settings, and
 * waits for the outcome, 3 s at most. Returns NULL and how long the answer took, or a sentence that says
 * what failed, valid until the next call.
 */
const char *check_address(enum address_kind kind, const struct sockaddr_any *address,
			  const struct probe *probe, const void *settings, double *round_trip_ms);

#endif
