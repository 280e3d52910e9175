/* transport.c - one stream connection: how it begins, ends in order, and times out. */
#include "net/transport.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/address.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/outbox.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/transport_private.h"

enum { QUIET_MS = 100 };

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
			log_info("%s: %s: closed: %s, %llu bytes in, %llu out, %.3f s", endpoint->name,
				 transport_peer_text(transport), reason_word(transport->reason),
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

void
transport_close(struct transport *transport, enum reason reason)
{
	struct reactor *reactor = transport->endpoint->reactor;

	if (transport->closed)
		return;
	transport->closed = true;
	/* What cuts off unsent bytes is the reason, whatever came first. */
	if (!transport->losing || (transport_has_unsent(transport) && !transport->resetting))
		transport->reason = reason;
	reactor_unset_deadline(reactor, &transport->deadline);
	outbox_forget(reactor_outbox(reactor), transport);
	if (transport->interest != 0)
		reactor_unwatch(&transport->event);
	transport->interest = 0;
	outbox_close(reactor_outbox(reactor), transport_fd(transport));
	if (transport->unsent != NULL)
		evbuffer_free(transport->unsent);
	transport->unsent = NULL;
	transport_drop_inlet(transport);
	transport_leave_outlet(transport);
	transport_count_full_read(transport, false);
	/* One that is queued to go on is lost when its turn comes. */
	if (!transport->queued)
		reactor_defer(reactor, &transport->turn);
	transport->queued = true;
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

void
transport_fail(struct transport *transport, int error)
{
	log_debug("%s: %s: %s", transport->endpoint->name, transport_peer_text(transport),
		  strerror(error));
	transport_abort(transport, error == ECONNRESET || error == EPIPE ? REASON_PEER_RESET
				   : error == ENOMEM || error == ENOBUFS ? REASON_NO_RESOURCES
									 : REASON_ERROR);
}

/* The first moment at which a time-out can expire; 0: none. */
static uint64_t
transport_first_timeout(const struct transport *transport)
{
	const struct endpoint *endpoint = transport->endpoint;
	uint64_t first = UINT64_MAX, at;

	if (transport->resetting && !transport_has_unsent(transport))
		return reactor_now_ms();	/* looks again at every tick of the wheel */
	if (transport->read_side == READ_DROPPING && transport->write_side == WRITE_ENDED
	    && endpoint->linger_timeout_ms != 0)
		return transport->progress_ms + (uint64_t)endpoint->linger_timeout_ms;
	if (transport_output_waits(transport) && endpoint->write_timeout_ms != 0)
		first = transport->progress_ms + (uint64_t)endpoint->write_timeout_ms;
	if (transport->idle_timeout_ms != 0) {
		at = transport->active_ms + (uint64_t)transport->idle_timeout_ms;
		first = at < first ? at : first;
	}
	return first == UINT64_MAX ? 0 : first;
}

void
transport_update_deadline(struct transport *transport)
{
	uint64_t at_ms = transport_first_timeout(transport);

	if (at_ms != 0
	    && (!wheel_timer_is_set(&transport->deadline.timer)
		|| transport->deadline.timer.deadline_ms > at_ms))
		reactor_set_deadline(transport->endpoint->reactor, &transport->deadline, at_ms);
}

uint64_t
transport_acknowledged(const struct transport *transport)
{
	int waiting = 0;

	if (ioctl(transport_fd(transport), TIOCOUTQ, &waiting) < 0 || waiting <= 0)
		return transport->sent;
	/* A unix socket counts what its buffers take, which is more. */
	return (uint64_t)waiting < transport->sent ? transport->sent - (uint64_t)waiting : 0;
}

void
transport_note_progress(struct transport *transport)
{
	transport->progress_ms = transport->active_ms = reactor_now_ms();
	transport->acknowledged = transport_acknowledged(transport);
}

static void
deadline_reached(void *arg)
{
	struct transport *transport = arg;
	const struct endpoint *endpoint = transport->endpoint;
	uint64_t now_ms = reactor_now_ms(), at_ms;

	transport_look(transport);
	if (transport->closed)
		return;
	at_ms = transport_first_timeout(transport);
	if (at_ms == 0 || at_ms > now_ms) {
		transport_update_deadline(transport);
		return;
	}
	if (transport->resetting && !transport_has_unsent(transport)) {
		transport_settle(transport);
		return;
	}
	if (transport->read_side == READ_DROPPING && transport->write_side == WRITE_ENDED) {
		if (transport->reason == REASON_DONE)
			transport->reason = REASON_LINGER_TIMEOUT;
		transport_close(transport, REASON_LINGER_TIMEOUT);
	} else if (transport_output_waits(transport) && endpoint->write_timeout_ms != 0
		   && transport->progress_ms + (uint64_t)endpoint->write_timeout_ms <= now_ms) {
		/* A slow reader makes room long before the socket is said to be writable again. */
		if (transport_acknowledged(transport) > transport->acknowledged) {
			transport_note_progress(transport);
			transport_update_deadline(transport);
		} else {
			transport_abort(transport, REASON_WRITE_TIMEOUT);
		}
	} else if (!transport->losing && !transport_is_silent(transport, transport->idle_timeout_ms)) {
		transport_update_deadline(transport);
	} else if (transport->protocol->silent != NULL && !transport->losing) {
		transport->protocol->silent(transport);
	} else if (transport->losing || transport_output_waits(transport)) {
		transport_abort(transport, REASON_IDLE_TIMEOUT);
	} else {
		transport_lose(transport, REASON_IDLE_TIMEOUT);
	}
}

void
transport_settle(struct transport *transport)
{
	if (transport->closed)
		return;
	if (transport->resetting && !transport_has_unsent(transport)) {
		int64_t limit_ms = transport->endpoint->linger_timeout_ms != 0
					   ? transport->endpoint->linger_timeout_ms
					   : transport->idle_timeout_ms;

		if (transport->reset_seen || transport_acknowledged(transport) == transport->sent
		    || (limit_ms != 0
			&& reactor_now_ms() - transport->progress_ms >= (uint64_t)limit_ms))
			transport_abort(transport, transport->reason);
		else
			reactor_set_deadline(transport->endpoint->reactor, &transport->deadline,
					     reactor_now_ms() + WHEEL_TICK_MS);
		return;
	}
	if (transport->write_side == WRITE_ENDING && !transport_has_unsent(transport)) {
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
	transport_send_letter(transport);
	if (transport->closed || transport->write_side != WRITE_OPEN)
		return;
	transport->write_side = WRITE_ENDING;
	transport->want_drained = false;
	transport_settle(transport);
}

/* Nothing more is to be read or written but what is unsent: false if that was settled before. */
static bool
begin_loss(struct transport *transport, enum reason reason)
{
	transport_send_letter(transport);
	if (transport->closed || transport->losing)
		return false;
	transport->losing = true;
	transport->reason = reason;
	if (transport->read_side == READ_OPEN)
		transport->read_side = READ_DROPPING;
	transport_leave_outlet(transport);
	if (transport->write_side == WRITE_OPEN)
		transport->write_side = WRITE_ENDING;
	transport->want_drained = false;
	transport->progress_ms = reactor_now_ms();
	return true;
}

void
transport_lose(struct transport *transport, enum reason reason)
{
	if (!begin_loss(transport, reason))
		return;
	transport_update_deadline(transport);
	transport_settle(transport);
}

void
transport_reset(struct transport *transport, enum reason reason)
{
	if (!begin_loss(transport, reason))
		return;
	transport->resetting = true;
	transport_settle(transport);
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
	transport->deadline.fn = deadline_reached;
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

void
transport_set_idle_timeout(struct transport *transport, int64_t ms)
{
	if (transport->closed)
		return;
	transport->idle_timeout_ms = ms;
	transport->active_ms = reactor_now_ms();
	transport_update_deadline(transport);
}

void
transport_share_activity(struct transport *transport, const struct transport *other)
{
	if (transport->closed)
		return;
	if (transport->active_ms < other->active_ms)
		transport->active_ms = other->active_ms;
	transport_update_deadline(transport);
}

int64_t
transport_idle_timeout(const struct transport *transport)
{
	return transport->idle_timeout_ms;
}

void
transport_stopped(struct transport *transport)
{
	transport->stopping = false;
	if (transport->protocol->stopping != NULL)
		transport->protocol->stopping(transport);
	else
		transport_lose(transport, REASON_SHUTDOWN);
}

void
transport_stop(struct transport *transport)
{
	int waiting = 0;

	if (transport->closed || transport->stopping)
		return;
	if (transport->read_side == READ_OPEN && !transport->paused)
		ioctl(transport_fd(transport), FIONREAD, &waiting);
	transport->stopping = true;
	transport->stop_at = transport->received + (uint64_t)waiting;
	if (waiting == 0)
		transport_stopped(transport);
}

void
transport_close_delivered(struct transport *transport)
{
	if (transport->closed || transport->write_side != WRITE_ENDED
	    || transport->read_side != READ_DROPPING || transport->endpoint->pumped)
		return;
	/* To close on a peer that still sends would be a reset, before it has read what it was owed. */
	if (reactor_now_ms() - transport->active_ms < QUIET_MS)
		return;
	if (transport_acknowledged(transport) == transport->sent)
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
	} else if (!transport->closed && getsockname(transport_fd(transport), &own.u.sa, &own.length) == 0
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

	return peer_format(ADDRESS_TCP, &transport->peer, text);
}
