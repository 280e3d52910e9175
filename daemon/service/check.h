/* check.h - is a client of one address of a listener, and says whether it is served. */
#ifndef TWINED_SERVICE_CHECK_H
#define TWINED_SERVICE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "net/address.h"

struct section_config;

struct check_result {
	double round_trip_ms;		/* until the answer, or the connection */
	bool was_accepted;		/* a stream: there was a connection */
	char failure[800];		/* empty: OK */
	char remark[800];		/* more about either; empty: nothing */
};

/*
 * Connects (or sends a datagram), does what the probe of the listener's protocol says, and waits
 * for the outcome, 3 s at most. Where the protocol hands on to somebody else, asks the running
 * twined to whom. max_connections is that of its daemon.
 */
void check_address(const struct section_config *listener, int64_t max_connections,
		   enum address_kind kind, const struct sockaddr_any *address,
		   struct check_result *result);

#endif
