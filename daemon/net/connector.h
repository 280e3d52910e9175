/* connector.h - dials addresses until one answers (RFC 8305), and makes a transport of it. */
#ifndef TWINED_NET_CONNECTOR_H
#define TWINED_NET_CONNECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

struct connector;
struct endpoint;
struct protocol;
struct transport;

/* What to dial, and whom to tell. The addresses live until one of the two callbacks or the cancelling. */
struct dial {
	const struct sockaddr_any *addresses;
	size_t count;			/* at least 1 */
	size_t first;			/* begins with this one, goes on round the list */
	int64_t timeout_ms;		/* for each attempt; 0: what the system waits */
	const union peer_address *source;	/* to dial from, as long as addresses; NULL or family 0: any */
	/*
	 * The transport is made, its protocol's connection_made has been called, index says which address
	 * it was. It may be NULL: no memory.
	 */
	void (*connected)(void *arg, struct transport *transport, size_t index);
	/* Every address failed, the last one with this errno. */
	void (*failed)(void *arg, int error);
	void *arg;
};

/*
 * Dials; on the endpoint's reactor. Returns a connector that is gone once a callback has been called;
 * NULL when that has happened already, within this call.
 */
struct connector *connector_dial(struct endpoint *endpoint, const struct protocol *protocol,
				 const struct dial *dial);

/* Gives up; neither callback is called. */
void connector_cancel(struct connector *connector);

#endif
