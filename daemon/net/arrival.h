/* arrival.h - a connection that still owes its PROXY header: reads that, and nothing behind it. */
#ifndef TWINED_NET_ARRIVAL_H
#define TWINED_NET_ARRIVAL_H

#include "net/address.h"
#include "net/reason.h"

struct arrival;
struct endpoint;
struct proxy_header;

/* How long a header may take: longer than the 3 s after which a lost packet is sent again. */
enum { ARRIVAL_TIMEOUT_MS = 5000 };

/*
 * An arrival ends: the descriptor is given back, with the header, or with a refusal (else
 * REASON_COUNT) and perhaps header->wrong, which says more.
 */
typedef void arrival_ended_fn(struct endpoint *endpoint, int fd, const union peer_address *peer,
			      enum reason refusal, const struct proxy_header *header);

/*
 * Takes a connected socket over until its header has come; in the endpoint's thread, as the next.
 * ended is called once: within this call if the header is there already, else from the loop.
 */
void arrival_begin(struct endpoint *endpoint, int fd, const union peer_address *peer,
		   arrival_ended_fn *ended);

/* For a stop: takes those headers of the endpoint's that have come, and ends the other arrivals. */
void arrivals_stop(struct endpoint *endpoint);

#endif
