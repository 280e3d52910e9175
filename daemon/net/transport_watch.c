/* transport_watch.c - what a transport waits for: with edges where there are any, else by levels. */
#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/endpoint.h"
#include "net/protocol.h"
#include "net/transport_private.h"

enum { LOOK_MS = 100 };

static void transport_on_event(evutil_socket_t fd, short what, void *arg);

static bool
transport_has_edges(const struct transport *transport)
{
	return (transport->interest & EV_ET) != 0;
}

/* Whether what comes is read now. */
static bool
transport_reads(const struct transport *transport)
{
	return transport->read_side == READ_DROPPING
	       || (transport->read_side == READ_OPEN && !transport->paused
		   && (transport->unsent == NULL || transport->protocol->own_flow_control)
		   && (transport->outlet == 0 || transport_outlet(transport)->held == 0));
}

/* Registers an event for a socket that has none. */
static int
transport_register(struct transport *transport, int fd, unsigned interest)
{
	if (reactor_watch(transport->endpoint->reactor, &transport->event, fd,
			  (short)(interest | EV_PERSIST), transport_on_event, transport)
	    != 0)
		return -1;
	transport->interest = interest & 0xff;
	return 0;
}

/* Registers it anew for something else. */
static void
transport_reregister(struct transport *transport, unsigned interest)
{
	if (transport->interest != 0)
		reactor_unwatch(&transport->event);
	transport->interest = 0;
	if (interest != 0 && transport_register(transport, transport_fd(transport), interest) != 0)
		transport_abort(transport, REASON_NO_RESOURCES);
}

int
transport_watch(struct transport *transport, int fd)
{
	return transport_register(transport, fd,
				  reactor_has_edges(transport->endpoint->reactor)
					  ? EV_READ | EV_CLOSED | EV_ET
					  : EV_READ);
}

void
transport_queue(struct transport *transport)
{
	if (!transport->queued)
		reactor_postpone(transport->endpoint->reactor, &transport->turn);
	transport->queued = true;
}

/* Whether there is something to do that no edge will tell of. */
static bool
transport_has_more_to_do(const struct transport *transport)
{
	return (transport->unread == UNREAD_SOME && transport_reads(transport))
	       || (!transport->full && transport_output_waits(transport));
}

void
transport_update_interest(struct transport *transport)
{
	bool output_waits = transport_output_waits(transport);
	unsigned interest;

	if (transport->closed)
		return;
	if (!transport_has_edges(transport)) {
		interest = (transport_reads(transport) ? EV_READ : 0u)
			   | (output_waits ? EV_WRITE : 0u);
		if (interest != transport->interest)
			transport_reregister(transport, interest);
		return;
	}
	/*
	 * Once a TCP socket has been waited for to take more, that costs nothing any more: the
	 * kernel only tells who has been refused. A unix socket tells of each read of its peer.
	 */
	interest = transport->interest;
	if (output_waits && transport->full)
		interest |= EV_WRITE;
	else if (!output_waits && transport->is_unix)
		interest &= ~(unsigned)EV_WRITE;
	if (interest != transport->interest)
		transport_reregister(transport, interest);
	if (!transport->closed && transport_has_more_to_do(transport))
		transport_queue(transport);
}

/* Has the socket looked at LOOK_MS from now, unless that is so. */
static void
transport_look_later(struct transport *transport)
{
	uint64_t at_ms = reactor_now_ms() + LOOK_MS;
	struct deadline *deadline = &transport->deadline;

	if (transport->looking)
		return;
	transport->looking = true;
	if (!wheel_timer_is_set(&deadline->timer) || deadline->timer.deadline_ms > at_ms)
		reactor_set_deadline(transport->endpoint->reactor, deadline, at_ms);
}

void
transport_note_read(struct transport *transport, bool full)
{
	transport_count_full_read(transport, full);
	if (!transport_has_edges(transport))
		return;
	transport->unread = full || transport->end_seen ? UNREAD_SOME : UNREAD_HARDLY;
	if (transport->unread == UNREAD_HARDLY)
		transport_look_later(transport);
}

/*
 * The edge of a peer that has gone meanwhile has passed. Most connections end before that is looked
 * for.
 */
void
transport_note_end(struct transport *transport)
{
	if (transport_has_edges(transport))
		transport_look_later(transport);
}

/*
 * Nothing is read, now or any more: has the peer gone altogether? While our side is open, a hang-up
 * says so. What it has sent before comes first.
 */
static void
transport_check_peer(struct transport *transport)
{
	struct pollfd state = { .fd = transport_fd(transport) };
	int error = 0, unread = 0;
	socklen_t length = sizeof error;

	if (poll(&state, 1, 0) <= 0)
		return;
	if (transport->read_side == READ_OPEN)
		ioctl(transport_fd(transport), FIONREAD, &unread);
	if ((state.revents & POLLERR) && (unread == 0 || transport->held)) {
		getsockopt(transport_fd(transport), SOL_SOCKET, SO_ERROR, &error, &length);
		transport_fail(transport, error != 0 ? error : ECONNRESET);
	} else if (transport->reset_seen && unread == 0) {
		transport_fail(transport, ECONNRESET);
	} else if ((state.revents & POLLHUP) && unread == 0
		   && transport->write_side != WRITE_ENDED) {
		transport_close(transport, REASON_PEER_CLOSED);		/* a unix peer, in order */
	}
}

void
transport_look(struct transport *transport)
{
	if (!transport->looking)
		return;
	transport->looking = false;
	if (!transport_reads(transport))
		transport_check_peer(transport);
	else if (transport->unread == UNREAD_HARDLY) {
		transport_read(transport);
		transport_update_interest(transport);
	}
}

void
transport_go_on(struct transport *transport)
{
	if (!transport->full && transport_output_waits(transport))
		transport_flush(transport);
	if (!transport->closed && transport->unread == UNREAD_SOME && transport_reads(transport))
		transport_read(transport);
	transport_update_interest(transport);
}

/* An edge says that there is something, or that the peer has gone. */
static void
transport_on_edge(struct transport *transport, short what)
{
	if (what & EV_CLOSED)
		transport->end_seen = true;
	transport->unread = UNREAD_SOME;
	if (transport_reads(transport)) {
		if (transport->queued)
			return;
		transport_read(transport);
		/* The last bytes and the end of stream mostly come as one: that saves a turn. */
		if (transport->end_seen && !transport->closed && transport_reads(transport))
			transport_read(transport);
		transport_update_interest(transport);
	} else if (!transport->looking) {
		transport_check_peer(transport);
		if (!transport->closed)
			transport_look_later(transport);
	}
}

static void
transport_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct transport *transport = arg;

	(void)fd;
	if (what & EV_WRITE)
		transport->full = false;
	/* With edges, what is registered for writing may say so at any time. */
	if ((what & EV_WRITE) && transport_output_waits(transport) && !transport->queued)
		transport_flush(transport);
	/* Sending may have closed it, or made it stop reading. */
	if (transport->closed || !(what & (EV_READ | EV_CLOSED)))
		return;
	if (transport_has_edges(transport))
		transport_on_edge(transport, what);
	else if (transport_reads(transport))
		transport_read(transport);
}
