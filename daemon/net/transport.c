/* transport.c - one stream connection: reads for its protocol, writes what it is told, ends in order. */
#include "net/transport.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/address.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/tally.h"

/*
 * The two sides of a connection end one after the other, in either order:
 *
 *   reading   READ_OPEN ── peer's end of stream ──▶ READ_ENDED
 *                 └─ transport_lose ──▶ READ_DROPPING ─────▲      what still comes is thrown away
 *   writing   WRITE_OPEN ── end_write, lose ──▶ WRITE_ENDING ── all sent ──▶ WRITE_ENDED
 *
 * With READ_ENDED and WRITE_ENDED the connection is closed.
 */
enum {
	/*
	 * What one recv(2) takes at most, and so what a peer that does not read can make us hold: with
	 * the evbuffer's own header it is 64 KiB.
	 */
	READ_SIZE = 64 * 1024 - 128,
	/* What is thrown away at once: TCP does not even copy it. */
	DROP_SIZE = REACTOR_SCRATCH_SIZE,
	QUIET_MS = 100,
};

enum read_side { READ_OPEN, READ_DROPPING, READ_ENDED };
enum write_side { WRITE_OPEN, WRITE_ENDING, WRITE_ENDED };

struct transport {
	struct event event;		/* the socket; its flags are what we wait for */
	struct deadline deadline;	/* not later than the first time-out; looked at anew when it comes */
	struct endpoint *endpoint;
	const struct protocol *protocol;
	struct evbuffer *unsent;	/* what the socket refused; NULL when there is nothing */
	struct transport *next, **link;	/* in endpoint->transports */
	uint64_t made_ms;
	uint64_t active_ms;		/* when a byte last went either way */
	uint64_t progress_ms;		/* when output last moved, or came to wait */
	uint64_t received, sent;
	uint64_t stop_at;		/* while stopping: what was received by then is all */
	struct deferred lost;
	union peer_address peer;
	unsigned interest : 8;		/* EV_READ, EV_WRITE as registered */
	unsigned read_side : 2;
	unsigned write_side : 2;
	unsigned paused : 1;
	unsigned want_drained : 1;
	unsigned stopping : 1;		/* after stop_at bytes the connection is given up */
	unsigned accepted : 1;		/* it counts for its endpoint */
	unsigned closed : 1;
	unsigned losing : 1;		/* reason is set, and is the one to be told */
	unsigned reason : 8;
	_Alignas(max_align_t) unsigned char state[];
};

static void on_event(evutil_socket_t fd, short what, void *arg);

static int
transport_fd(const struct transport *transport)
{
	return event_get_fd(&transport->event);
}

/* Says that the transport is gone, and frees it; the end of the turn. */
static void
lost_deferred(struct deferred *deferred)
{
	struct transport *transport =
		(struct transport *)((char *)deferred - offsetof(struct transport, lost));
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
		log_info("%s: %s: closed: %s, %llu bytes in, %llu out, %.3f s", endpoint->name,
			 transport_peer_text(transport), reason_word(transport->reason),
			 (unsigned long long)transport->received, (unsigned long long)transport->sent,
			 (double)(reactor_now_ms() - transport->made_ms) / 1000);
		if (endpoint->transport_gone != NULL)
			endpoint->transport_gone(endpoint, transport);
	}
	free(transport);
	if (endpoint->transports == NULL && endpoint->all_gone != NULL)
		endpoint->all_gone(endpoint);
}

/* Gives the descriptor up; connection_lost follows at the end of the turn. */
static void
transport_close(struct transport *transport, enum reason reason)
{
	struct reactor *reactor = transport->endpoint->reactor;

	if (transport->closed)
		return;
	transport->closed = true;
	if (!transport->losing)
		transport->reason = reason;
	reactor_unset_deadline(reactor, &transport->deadline);
	if (transport->interest != 0)
		reactor_unwatch(&transport->event);
	transport->interest = 0;
	close(transport_fd(transport));
	if (transport->unsent != NULL)
		evbuffer_free(transport->unsent);
	transport->unsent = NULL;
	reactor_defer(reactor, &transport->lost);
}

void
transport_abort(struct transport *transport, enum reason reason)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (transport->closed)
		return;
	setsockopt(transport_fd(transport), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	transport_close(transport, reason);
}

/* Closes after an error of the socket. */
static void
transport_fail(struct transport *transport, int error)
{
	log_debug("%s: %s: %s", transport->endpoint->name, transport_peer_text(transport),
		  strerror(error));
	transport_abort(transport, error == ECONNRESET || error == EPIPE ? REASON_PEER_RESET
				   : error == ETIMEDOUT			 ? REASON_IDLE_TIMEOUT
				   : error == ENOMEM || error == ENOBUFS ? REASON_NO_RESOURCES
									 : REASON_ERROR);
}

/* The first moment at which a time-out can expire; 0: none. */
static uint64_t
transport_first_timeout(const struct transport *transport)
{
	const struct endpoint *endpoint = transport->endpoint;
	bool waits_for_peer = transport->unsent != NULL || transport->want_drained;
	uint64_t first = UINT64_MAX, at;

	if (transport->read_side == READ_DROPPING && transport->write_side == WRITE_ENDED
	    && endpoint->linger_timeout_ms != 0)
		return transport->progress_ms + (uint64_t)endpoint->linger_timeout_ms;
	if (waits_for_peer && endpoint->write_timeout_ms != 0)
		first = transport->progress_ms + (uint64_t)endpoint->write_timeout_ms;
	if (endpoint->idle_timeout_ms != 0) {
		at = transport->active_ms + (uint64_t)endpoint->idle_timeout_ms;
		first = at < first ? at : first;
	}
	return first == UINT64_MAX ? 0 : first;
}

/* Makes sure that the deadline is not later than the first time-out. */
static void
transport_update_deadline(struct transport *transport)
{
	uint64_t at_ms = transport_first_timeout(transport);

	if (at_ms != 0
	    && (!wheel_timer_is_set(&transport->deadline.timer)
		|| transport->deadline.timer.deadline_ms > at_ms))
		reactor_set_deadline(transport->endpoint->reactor, &transport->deadline, at_ms);
}

static void
deadline_reached(void *arg)
{
	struct transport *transport = arg;
	const struct endpoint *endpoint = transport->endpoint;
	uint64_t now_ms = reactor_now_ms(), at_ms = transport_first_timeout(transport);

	if (at_ms == 0 || at_ms > now_ms) {
		transport_update_deadline(transport);
		return;
	}
	if (transport->read_side == READ_DROPPING && transport->write_side == WRITE_ENDED) {
		if (transport->reason == REASON_DONE)
			transport->reason = REASON_LINGER_TIMEOUT;
		transport_close(transport, REASON_LINGER_TIMEOUT);
	} else if ((transport->unsent != NULL || transport->want_drained)
		   && endpoint->write_timeout_ms != 0
		   && transport->progress_ms + (uint64_t)endpoint->write_timeout_ms <= now_ms) {
		transport_abort(transport, REASON_WRITE_TIMEOUT);
	} else if (transport->losing || transport->unsent != NULL) {
		transport_abort(transport, REASON_IDLE_TIMEOUT);
	} else {
		transport_lose(transport, REASON_IDLE_TIMEOUT);
	}
}

/* Waits for exactly what can be used now. */
static void
transport_update_interest(struct transport *transport)
{
	struct reactor *reactor = transport->endpoint->reactor;
	bool output_waits = transport->unsent != NULL || transport->want_drained;
	bool reads = transport->read_side == READ_DROPPING
		     || (transport->read_side == READ_OPEN && !transport->paused
			 && (transport->unsent == NULL || transport->protocol->own_flow_control));
	unsigned interest = (reads ? EV_READ : 0u) | (output_waits ? EV_WRITE : 0u);

	/* After its end of stream a peer has but one thing to tell: that it has gone altogether. */
	if (interest == 0 && transport->read_side == READ_ENDED && reactor_has_edges(reactor))
		interest = EV_READ | EV_ET;

	if (transport->closed || interest == transport->interest)
		return;
	if (transport->interest != 0)
		reactor_unwatch(&transport->event);
	transport->interest = 0;
	if (interest == 0)
		return;
	if (reactor_watch(reactor, &transport->event, transport_fd(transport),
			  (short)(interest | EV_PERSIST), on_event, transport)
	    != 0) {
		transport_abort(transport, REASON_NO_RESOURCES);
		return;
	}
	transport->interest = interest & 0xff;
}

/* Ends the connection, or our side of it, as far as that can be done now. */
static void
transport_settle(struct transport *transport)
{
	if (transport->closed)
		return;
	if (transport->write_side == WRITE_ENDING && transport->unsent == NULL) {
		transport->write_side = WRITE_ENDED;
		transport->want_drained = false;
		transport->progress_ms = reactor_now_ms();
		if (transport->read_side != READ_ENDED)
			shutdown(transport_fd(transport), SHUT_WR);
		transport_update_deadline(transport);
	}
	if (transport->write_side == WRITE_ENDED && transport->read_side == READ_ENDED) {
		transport_close(transport, REASON_PEER_CLOSED);
		return;
	}
	transport_update_interest(transport);
}

void
transport_end_write(struct transport *transport)
{
	if (transport->closed || transport->write_side != WRITE_OPEN)
		return;
	transport->write_side = WRITE_ENDING;
	transport->want_drained = false;
	transport_settle(transport);
}

void
transport_lose(struct transport *transport, enum reason reason)
{
	if (transport->closed || transport->losing)
		return;
	transport->losing = true;
	transport->reason = reason;
	if (transport->read_side == READ_OPEN)
		transport->read_side = READ_DROPPING;
	if (transport->write_side == WRITE_OPEN)
		transport->write_side = WRITE_ENDING;
	transport->want_drained = false;
	transport_settle(transport);
}

/* What the socket takes of some pieces: the number of bytes, 0 when it is full, -1 with errno. */
static ssize_t
transport_send(struct transport *transport, const struct iovec *pieces, int count)
{
	struct msghdr message = { .msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count };
	ssize_t sent;

	do
		sent = count == 1 ? send(transport_fd(transport), pieces->iov_base, pieces->iov_len,
					 MSG_NOSIGNAL)
				  : sendmsg(transport_fd(transport), &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno == EAGAIN)
		return 0;
	if (sent > 0) {
		transport->active_ms = reactor_now_ms();
		transport->progress_ms = transport->active_ms;
		transport->sent += (uint64_t)sent;
		if (transport->accepted)
			transport->endpoint->counters->bytes_out += (uint64_t)sent;
	}
	return sent;
}

void
transport_write(struct transport *transport, const void *bytes, size_t length)
{
	struct iovec piece = { .iov_base = (void *)bytes, .iov_len = length };
	ssize_t sent = 0;

	if (transport->closed || transport->write_side != WRITE_OPEN || length == 0)
		return;
	if (transport->unsent == NULL) {
		sent = transport_send(transport, &piece, 1);
		if (sent < 0) {
			transport_fail(transport, errno);
			return;
		}
		if ((size_t)sent == length)
			return;
		transport->unsent = evbuffer_new();
		transport->progress_ms = reactor_now_ms();
	}
	if (transport->unsent == NULL
	    || evbuffer_add(transport->unsent, (const char *)bytes + sent, length - (size_t)sent) != 0) {
		transport_abort(transport, REASON_NO_RESOURCES);
		return;
	}
	transport_update_deadline(transport);
	transport_update_interest(transport);
}

size_t
transport_offer(struct transport *transport, const struct iovec *pieces, int count)
{
	size_t offered = 0;
	ssize_t sent;

	if (transport->closed || transport->write_side != WRITE_OPEN)
		return 0;
	if (transport->unsent != NULL)
		return 0;
	for (int i = 0; i < count; i++)
		offered += pieces[i].iov_len;
	if (offered == 0)
		return 0;
	sent = transport_send(transport, pieces, count);
	if (sent < 0) {
		transport_fail(transport, errno);
		return 0;
	}
	if ((size_t)sent < offered)
		transport_want_drained(transport);
	return (size_t)sent;
}

void
transport_want_drained(struct transport *transport)
{
	if (transport->closed || transport->write_side != WRITE_OPEN || transport->want_drained)
		return;
	transport->want_drained = true;
	transport->progress_ms = reactor_now_ms();
	transport_update_deadline(transport);
	transport_update_interest(transport);
}

size_t
transport_pending(const struct transport *transport)
{
	return transport->unsent == NULL ? 0 : evbuffer_get_length(transport->unsent);
}

/* Sends more of what is unsent; when all is, goes on with whatever waited for that. */
static void
transport_flush(struct transport *transport)
{
	if (transport->unsent != NULL) {
		struct evbuffer_iovec pieces[8];
		int count = evbuffer_peek(transport->unsent, -1, NULL, pieces, 8);
		ssize_t sent = transport_send(transport, (struct iovec *)pieces, count < 8 ? count : 8);

		if (sent < 0) {
			transport_fail(transport, errno);
			return;
		}
		evbuffer_drain(transport->unsent, (size_t)sent);
		if (evbuffer_get_length(transport->unsent) != 0)
			return;
		evbuffer_free(transport->unsent);
		transport->unsent = NULL;
	}
	transport->want_drained = false;
	if (transport->write_side == WRITE_OPEN && transport->protocol->drained != NULL)
		transport->protocol->drained(transport);
	transport_settle(transport);
}

/* The peer has ended its side. */
static void
transport_read_end(struct transport *transport)
{
	bool dropping = transport->read_side == READ_DROPPING;

	transport->read_side = READ_ENDED;
	if (!dropping && transport->protocol->read_ended != NULL)
		transport->protocol->read_ended(transport);
	else
		transport_end_write(transport);
	transport_settle(transport);
}

/* All that had come by the time of transport_stop has been handled. */
static void
transport_stopped(struct transport *transport)
{
	transport->stopping = false;
	if (transport->protocol->stopping != NULL)
		transport->protocol->stopping(transport);
	else
		transport_lose(transport, REASON_SHUTDOWN);
}

static void
transport_read(struct transport *transport)
{
	bool drops = transport->read_side == READ_DROPPING || transport->protocol->data_received == NULL;
	uint8_t *scratch = reactor_scratch(transport->endpoint->reactor);
	ssize_t length;

	do	/* MSG_TRUNC: tcp(7) */
		length = recv(transport_fd(transport), scratch, drops ? DROP_SIZE : READ_SIZE,
			      drops ? MSG_TRUNC : 0);
	while (length < 0 && errno == EINTR);
	if (length > 0) {
		transport->active_ms = reactor_now_ms();
		transport->received += (uint64_t)length;
		if (transport->accepted)
			transport->endpoint->counters->bytes_in += (uint64_t)length;
		if (!drops)
			transport->protocol->data_received(transport, scratch, (size_t)length);
		if (transport->stopping && transport->received >= transport->stop_at)
			transport_stopped(transport);
	} else if (length == 0) {
		transport_read_end(transport);
	} else if (errno != EAGAIN) {
		transport_fail(transport, errno);
	}
}

/* The peer has ended its side; has it gone altogether? Our side is open, so that a hang-up says so. */
static void
transport_check_peer(struct transport *transport)
{
	struct pollfd state = { .fd = transport_fd(transport) };

	if (poll(&state, 1, 0) > 0 && (state.revents & (POLLHUP | POLLERR)))
		transport_abort(transport, REASON_PEER_RESET);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct transport *transport = arg;

	(void)fd;
	if (what & EV_WRITE)
		transport_flush(transport);
	/* Sending may have closed it, or made it stop reading. */
	if (!(what & EV_READ) || !(transport->interest & EV_READ))
		return;
	if (transport->read_side == READ_ENDED)
		transport_check_peer(transport);
	else
		transport_read(transport);
}

struct transport *
transport_new(struct endpoint *endpoint, const struct protocol *protocol, int fd,
	      const union peer_address *peer)
{
	struct transport *transport = calloc(1, sizeof *transport + protocol->state_size);

	if (transport == NULL
	    || reactor_watch(endpoint->reactor, &transport->event, fd, EV_READ | EV_PERSIST, on_event,
			     transport)
		       != 0) {
		free(transport);
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	transport->interest = EV_READ;
	transport->endpoint = endpoint;
	transport->protocol = protocol;
	transport->deadline.fn = deadline_reached;
	transport->deadline.arg = transport;
	transport->lost.fn = lost_deferred;
	transport->made_ms = transport->active_ms = transport->progress_ms = reactor_now_ms();
	if (peer != NULL)
		transport->peer = *peer;
	transport->next = endpoint->transports;
	transport->link = &endpoint->transports;
	if (transport->next != NULL)
		transport->next->link = &transport->next;
	endpoint->transports = transport;
	transport->accepted = endpoint->factory != NULL && protocol == factory_protocol(endpoint->factory);
	if (transport->accepted) {
		endpoint->counters->accepted++;
		endpoint->counters->open++;
		log_info("%s: %s: open", endpoint->name, transport_peer_text(transport));
	}
	transport_update_deadline(transport);
	if (protocol->connection_made != NULL)
		protocol->connection_made(transport);
	return transport;
}

void
transport_pause(struct transport *transport)
{
	transport->paused = true;
	transport_update_interest(transport);
}

void
transport_resume(struct transport *transport)
{
	transport->paused = false;
	transport_update_interest(transport);
}

void
transport_stop(struct transport *transport)
{
	int waiting = 0;

	if (transport->closed || transport->losing || transport->stopping)
		return;
	if (transport->read_side == READ_OPEN)
		ioctl(transport_fd(transport), FIONREAD, &waiting);
	transport->stopping = true;
	transport->stop_at = transport->received + (uint64_t)waiting;
	if (waiting == 0)
		transport_stopped(transport);
}

void
transport_close_delivered(struct transport *transport)
{
	int unacknowledged = 0;

	if (transport->closed || transport->write_side != WRITE_ENDED
	    || transport->read_side != READ_DROPPING)
		return;
	/* To close on a peer that still sends would be a reset, before it has read what it was owed. */
	if (reactor_now_ms() - transport->active_ms < QUIET_MS)
		return;
	if (ioctl(transport_fd(transport), TIOCOUTQ, &unacknowledged) < 0 || unacknowledged == 0)
		transport_close(transport, transport->reason);
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
transport_is_closed(const struct transport *transport)
{
	return transport->closed;
}

struct transport *
transport_next(const struct transport *transport)
{
	return transport->next;
}

bool
transport_is_accepted(const struct transport *transport)
{
	return transport->accepted;
}

const union peer_address *
transport_peer(const struct transport *transport)
{
	return &transport->peer;
}

const char *
transport_peer_text(const struct transport *transport)
{
	static _Thread_local char text[ADDRESS_TEXT_MAX];
	enum address_kind kind = transport->peer.sa.sa_family == AF_UNSPEC ? ADDRESS_UNIX : ADDRESS_TCP;

	return address_format(kind, &transport->peer.sa, sizeof transport->peer, text);
}
