/* connector.c - dials addresses one after another until one answers, and makes a transport of it. */
#include "net/connector.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/endpoint.h"
#include "net/reactor.h"
#include "net/socket_options.h"
#include "net/transport.h"

struct connector {
	struct endpoint *endpoint;
	const struct protocol *protocol;
	struct dial dial;
	size_t tried;			/* addresses, including the one that is being dialled */
	int fd;
	struct event event;
	struct deadline timeout;
};

enum attempt { ATTEMPT_CONNECTED, ATTEMPT_WAITS, ATTEMPT_FAILED };

static size_t
connector_index(const struct connector *connector)
{
	return (connector->dial.first + connector->tried - 1) % connector->dial.count;
}

static enum address_kind
kind_of(const struct sockaddr_any *address)
{
	return address->u.sa.sa_family == AF_UNIX ? ADDRESS_UNIX : ADDRESS_TCP;
}

static void
log_failure(const struct connector *connector, int error)
{
	const struct sockaddr_any *address = &connector->dial.addresses[connector_index(connector)];
	char text[ADDRESS_TEXT_MAX];

	log_info("%s: upstream %s: %s", connector->endpoint->name,
		 address_format(kind_of(address), &address->u.sa, address->length, text), strerror(error));
}

/* Begins to connect to one address; on failure errno says why and no descriptor is left. */
static enum attempt
attempt_begin(struct connector *connector)
{
	const struct sockaddr_any *address = &connector->dial.addresses[connector_index(connector)];
	int family = address->u.sa.sa_family, error;
	struct sockaddr_any peer;
	socklen_t length = sizeof peer.u;

	connector->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connector->fd < 0)
		return ATTEMPT_FAILED;
	if (family != AF_UNIX && connector->endpoint->socket != NULL)
		socket_options_set(connector->fd, connector->endpoint->socket, &address->u.sa);
	if (connect(connector->fd, &address->u.sa, address->length) == 0)
		return ATTEMPT_CONNECTED;
	if (errno == EINPROGRESS) {
		/* A server on this machine has answered by now: that saves a turn of the loop. */
		if (getpeername(connector->fd, &peer.u.sa, &length) == 0)
			return ATTEMPT_CONNECTED;
		return ATTEMPT_WAITS;
	}
	error = errno;
	close(connector->fd);
	connector->fd = -1;
	errno = error;
	return ATTEMPT_FAILED;
}

/* Hands the socket to a transport and ends the connector. */
static void
connector_succeed(struct connector *connector)
{
	struct dial dial = connector->dial;
	size_t index = connector_index(connector);
	const struct sockaddr_any *address = &dial.addresses[index];
	union peer_address peer = { 0 };
	struct transport *transport;

	if (address->u.sa.sa_family != AF_UNIX)
		memcpy(&peer, &address->u, sizeof peer);
	transport = transport_new(connector->endpoint, connector->protocol, connector->fd, &peer);
	free(connector);
	dial.connected(dial.arg, transport, index);
}

static void connector_ready(evutil_socket_t fd, short what, void *arg);

/* Goes on to the next address, until one waits or connects or none is left: false when it is over. */
static bool
connector_advance(struct connector *connector, int error)
{
	struct dial dial = connector->dial;

	while (connector->tried < dial.count) {
		enum attempt attempt;

		connector->tried++;
		attempt = attempt_begin(connector);
		if (attempt == ATTEMPT_CONNECTED) {
			connector_succeed(connector);
			return false;
		}
		if (attempt == ATTEMPT_WAITS) {
			if (reactor_watch(connector->endpoint->reactor, &connector->event, connector->fd,
					  EV_WRITE | EV_PERSIST, connector_ready, connector)
			    == 0) {
				if (dial.timeout_ms != 0)
					reactor_set_deadline(connector->endpoint->reactor,
							     &connector->timeout,
							     reactor_now_ms() + (uint64_t)dial.timeout_ms);
				return true;
			}
			close(connector->fd);
			errno = ENOMEM;
		}
		error = errno;
		log_failure(connector, error);
	}
	free(connector);
	dial.failed(dial.arg, error);
	return false;
}

/* Stops waiting for the address that is being dialled. */
static void
connector_unwatch(struct connector *connector)
{
	reactor_unwatch(&connector->event);
	reactor_unset_deadline(connector->endpoint->reactor, &connector->timeout);
}

static void
attempt_failed(struct connector *connector, int error)
{
	connector_unwatch(connector);
	close(connector->fd);
	log_failure(connector, error);
	connector_advance(connector, error);
}

static void
connector_ready(evutil_socket_t fd, short what, void *arg)
{
	struct connector *connector = arg;
	int error = 0;
	socklen_t length = sizeof error;

	(void)what;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error != 0) {
		attempt_failed(connector, error);
		return;
	}
	connector_unwatch(connector);
	connector_succeed(connector);
}

static void
connector_timed_out(void *arg)
{
	attempt_failed(arg, ETIMEDOUT);
}

struct connector *
connector_dial(struct endpoint *endpoint, const struct protocol *protocol, const struct dial *dial)
{
	struct connector *connector = calloc(1, sizeof *connector);

	if (connector == NULL) {
		dial->failed(dial->arg, ENOMEM);
		return NULL;
	}
	connector->endpoint = endpoint;
	connector->protocol = protocol;
	connector->dial = *dial;
	connector->timeout.fn = connector_timed_out;
	connector->timeout.arg = connector;
	return connector_advance(connector, ENOENT) ? connector : NULL;
}

void
connector_cancel(struct connector *connector)
{
	if (connector == NULL)
		return;
	connector_unwatch(connector);
	close(connector->fd);
	free(connector);
}
