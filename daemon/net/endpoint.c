/* endpoint.c - what all connections of one listener (or connector) on one reactor have in common. */
#include "net/endpoint.h"

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

/* The lists stay as they are meanwhile: transports and endpoints go at the end of a turn. */
void
endpoints_stop(struct reactor *reactor)
{
	for (struct endpoint *at = *reactor_endpoints(reactor); at != NULL; at = at->next)
		for (struct transport *t = at->transports; t != NULL; t = transport_next(t))
			transport_stop(t);
}

void
endpoints_abort(struct reactor *reactor)
{
	for (struct endpoint *at = *reactor_endpoints(reactor); at != NULL; at = at->next)
		for (struct transport *t = at->transports; t != NULL; t = transport_next(t))
			transport_abort(t, REASON_SHUTDOWN);
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
