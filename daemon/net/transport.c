/* transport.c - one stream connection: how it begins and goes, and who it is. */
#include "net/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/address.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/transport_private.h"

/* Says that the transport is gone, and frees it. */
static void
transport_free(struct transport *transport)
{
	struct endpoint *endpoint = transport->endpoint;
	struct counters *counters = endpoint->counters;

	if (transport->protocol->connection_lost != NULL)
		transport->protocol->connection_lost(transport, transport->reason);
	*transport->link = transport->next;
	if (transport->next != NULL)
		transport->next->link = transport->link;
	if (transport->accepted) {
		counters->open--;
		counters->closed[transport->reason]++;
		if (!endpoint->dialled)
			log_info("%s: %s: closed: %s, %llu bytes in, %llu out, %.3f s",
				 endpoint->name, transport_peer_text(transport),
				 reason_word(transport->reason),
				 (unsigned long long)transport->received,
				 (unsigned long long)transport->sent,
				 (double)(reactor_now_ms() - transport->made_ms) / 1000);
		if (endpoint->transport_gone != NULL)
			endpoint->transport_gone(endpoint, transport);
	}
	free(transport);
	if (endpoint->transports == NULL && endpoint->all_gone != NULL)
		endpoint->all_gone(endpoint);
}

/* The end of a turn. */
static void
turn_deferred(struct deferred *deferred)
{
	struct transport *transport =
		(struct transport *)((char *)deferred - offsetof(struct transport, turn));

	transport->queued = false;
	if (transport->closed)
		transport_free(transport);
	else
		transport_go_on(transport);
}

/* Where a transport that has it keeps what its peer has dialled: behind the state. */
static union peer_address *
carried_local(const struct transport *transport)
{
	size_t alignment = _Alignof(union peer_address);
	size_t offset = (transport->protocol->state_size + alignment - 1) / alignment * alignment;

	return (union peer_address *)(transport->state + offset);
}

struct transport *
transport_new(struct endpoint *endpoint, const struct protocol *protocol, int fd,
	      const union peer_address *peer)
{
	return transport_new_carried(endpoint, protocol, fd, peer, NULL);
}

struct transport *
transport_new_carried(struct endpoint *endpoint, const struct protocol *protocol, int fd,
		      const union peer_address *peer, const union peer_address *local)
{
	size_t room = local != NULL ? sizeof *local + _Alignof(union peer_address) : 0;
	struct transport *transport = calloc(1, sizeof *transport + protocol->state_size + room);

	if (transport != NULL)
		transport->endpoint = endpoint;
	if (transport == NULL || transport_watch(transport, fd) != 0) {
		free(transport);
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	transport->protocol = protocol;
	transport->deadline.fn = transport_deadline_reached;
	transport->deadline.arg = transport;
	transport->turn.fn = turn_deferred;
	transport->idle_timeout_ms = endpoint->idle_timeout_ms;
	transport->made_ms = transport->active_ms = transport->progress_ms = reactor_now_ms();
	if (peer != NULL)
		transport->peer = *peer;
	if (local != NULL) {
		transport->carried = true;
		*carried_local(transport) = *local;
	}
	transport->next = endpoint->transports;
	transport->link = &endpoint->transports;
	if (transport->next != NULL)
		transport->next->link = &transport->next;
	endpoint->transports = transport;
	transport->accepted = endpoint->dialled
			      || (endpoint->factory != NULL
				  && protocol == factory_protocol(endpoint->factory));
	transport->is_unix = transport->accepted ? endpoint->kind == ADDRESS_UNIX
						 : transport->peer.sa.sa_family == AF_UNSPEC;
	if (transport->accepted) {
		endpoint->counters->accepted++;
		endpoint->counters->open++;
		if (!endpoint->dialled)
			log_info("%s: %s: open", endpoint->name, transport_peer_text(transport));
	}
	transport_update_deadline(transport);
	if (protocol->connection_made != NULL)
		protocol->connection_made(transport);
	return transport;
}

void *
transport_state(struct transport *transport)
{
	return transport->state;
}

const void *
transport_settings(const struct transport *transport)
{
	return factory_settings(transport->endpoint->factory);
}

struct factory *
transport_factory(const struct transport *transport)
{
	return transport->endpoint->factory;
}

struct endpoint *
transport_endpoint(const struct transport *transport)
{
	return transport->endpoint;
}

struct reactor *
transport_reactor(const struct transport *transport)
{
	return transport->endpoint->reactor;
}

bool
transport_is_paused(const struct transport *transport)
{
	return transport->paused;
}

bool
transport_peer_has_ended(const struct transport *transport)
{
	return transport->read_side == READ_ENDED;
}

bool
transport_is_losing(const struct transport *transport)
{
	return transport->losing || transport->closed;
}

bool
transport_is_closed(const struct transport *transport)
{
	return transport->closed;
}

struct transport *
transport_next(const struct transport *transport)
{
	return transport->next;
}

const char *
transport_place(const struct transport *transport)
{
	return transport->endpoint->name;
}

const union peer_address *
transport_peer(const struct transport *transport)
{
	return &transport->peer;
}

void
transport_local(const struct transport *transport, union peer_address *local)
{
	struct sockaddr_any own;

	*local = (union peer_address){ 0 };
	own.length = sizeof own.u;
	if (transport->carried) {
		*local = *carried_local(transport);
	} else if (!transport->closed
		   && getsockname(transport_fd(transport), &own.u.sa, &own.length) == 0
		   && own.u.sa.sa_family != AF_UNIX) {
		memcpy(local, &own.u, sizeof *local);
		address_unmap(local);
	}
}

pid_t
transport_peer_process(const struct transport *transport)
{
	struct ucred peer = { 0 };
	socklen_t length = sizeof peer;

	if (transport->closed
	    || getsockopt(transport_fd(transport), SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return 0;
	return peer.pid;
}

const char *
transport_peer_text(const struct transport *transport)
{
	static _Thread_local char text[ADDRESS_TEXT_MAX];

	if (transport->endpoint->peer_text != NULL)
		return transport->endpoint->peer_text;
	return peer_format(ADDRESS_TCP, &transport->peer, text);
}
