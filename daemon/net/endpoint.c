/* endpoint.c - what all connections of one listener (or connector) on one reactor have in
 * common. */
#include "net/endpoint.h"

#include "net/arrival.h"
#include "net/reactor.h"
#include "net/transport.h"

void
endpoint_enter(struct endpoint *endpoint)
{
	struct endpoint **first = reactor_endpoints(endpoint->reactor);

	endpoint->next = *first;
	endpoint->link = first;
	if (*first != NULL)
		(*first)->link = &endpoint->next;
	*first = endpoint;
}

void
endpoint_leave(struct endpoint *endpoint)
{
	*endpoint->link = endpoint->next;
	if (endpoint->next != NULL)
		endpoint->next->link = endpoint->link;
}

/*
 * Calls fn for every transport. The lists stay as they are: what is closed goes at the end of the
 * turn.
 */
static void
each_transport(struct reactor *reactor, void (*fn)(struct transport *transport))
{
	for (struct endpoint *at = *reactor_endpoints(reactor); at != NULL; at = at->next)
		for (struct transport *t = at->transports; t != NULL; t = transport_next(t))
			fn(t);
}

/* Nothing is left but transports. */
static void
stop_others(struct reactor *reactor)
{
	for (struct endpoint *next, *at = *reactor_endpoints(reactor); at != NULL; at = next) {
		next = at->next;
		arrivals_stop(at);
		if (at->stop != NULL)
			at->stop(at);
	}
}

void
endpoints_stop(struct reactor *reactor)
{
	stop_others(reactor);
	each_transport(reactor, transport_stop);
}

void
endpoints_close_delivered(struct reactor *reactor)
{
	each_transport(reactor, transport_close_delivered);
}

static void
abort_for_shutdown(struct transport *transport)
{
	transport_abort(transport, REASON_SHUTDOWN);
}

void
endpoints_abort(struct reactor *reactor)
{
	stop_others(reactor);
	each_transport(reactor, abort_for_shutdown);
}

size_t
endpoints_count(struct reactor *reactor)
{
	size_t count = 0;

	for (struct endpoint *at = *reactor_endpoints(reactor); at != NULL; at = at->next)
		for (struct transport *t = at->transports; t != NULL; t = transport_next(t))
			count++;
	return count;
}
