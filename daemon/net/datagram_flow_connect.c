/* datagram_flow_connect.c - gives a flow its socket, if need be in the place of other flows. */
#include <errno.h>
#include <unistd.h>

#include "net/datagram_flow_private.h"
#include "net/datagram_socket.h"
#include "net/limits.h"
#include "net/listener.h"
#include "net/tally.h"

/* Of so many flows one goes when local ports are short: other programs need some, too. */
enum { PORTS_SHARE = 64 };

/* Whether an error says that there are too many sockets. */
static bool
is_short(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EAGAIN:		/* local ports */
	case EADDRINUSE:
		return true;
	default:
		return false;
	}
}

/* Makes and watches the socket: 0, or an errno. */
static int
flow_dial(struct datagram_flow *flow, const struct sockaddr_any *to)
{
	int fd = datagram_socket_connect(to, flow->flows->settings.source, NULL,
					 &flow->port->rules.settings->socket);

	if (fd < 0)
		return errno;
	if (reactor_watch(flow->port->endpoint.reactor, &flow->event, fd, EV_READ | EV_PERSIST,
			  flow_ready, flow)
	    == 0)
		return 0;
	close(fd);
	return ENOMEM;
}

/* Takes one of the descriptors that flows may have, if need be from other flows. */
static bool
take_descriptor(struct datagram_flow *flow)
{
	while (limits_take_flow(flow->port->limits) < 0)
		if (flows_evict(flow->flows, 1) == 0)
			return false;
	return true;
}

int
datagram_flow_connect(struct datagram_flow *flow, const struct sockaddr_any *to)
{
	struct datagram_flows *flows = flow->flows;
	unsigned share = (unsigned)(flow_table_count(&flows->table) / PORTS_SHARE) + 1;
	int error = EMFILE;

	if (take_descriptor(flow)) {
		error = flow_dial(flow, to);
		if (is_short(error) && flows_evict(flows, share) > 0)
			error = flow_dial(flow, to);
		if (error == 0) {
			flow->connected = flow->just_connected = true;
			flow->to_unix = to->u.sa.sa_family == AF_UNIX;
			flow->segment_max = flow->to_unix ? 0 : UINT16_MAX;
			flow->sent = flow->answered = false;
			return 0;
		}
		limits_leave_flow(flow->port->limits);
	}
	if (is_short(error))
		flow->unsent = DROP_FULL;
	errno = is_short(error) ? EMFILE : error;
	return -1;
}
