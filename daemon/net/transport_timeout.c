/* transport_timeout.c - what a transport is given time for, and when that is over. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/endpoint.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/transport_private.h"

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

bool
transport_is_silent(struct transport *transport, int64_t ms)
{
	uint64_t acknowledged;

	if (transport->closed)
		return true;
	if (reactor_now_ms() - transport->active_ms < (uint64_t)ms)
		return false;
	acknowledged = transport_acknowledged(transport);
	if (acknowledged == transport->sent || acknowledged <= transport->acknowledged)
		return true;
	transport_note_progress(transport);
	return false;
}

uint64_t
transport_way_ms(const struct transport *transport)
{
	struct tcp_info info = { 0 };
	socklen_t length = sizeof info;
	uint64_t us = 0;

	if (getsockopt(transport_fd(transport), IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return 0;
	if (info.tcpi_min_rtt != UINT32_MAX)
		us += 2 * (uint64_t)info.tcpi_min_rtt;
	if (info.tcpi_unacked > 0)
		us += 2 * ((uint64_t)info.tcpi_rto >> (info.tcpi_backoff & 31));
	return us / 1000;
}

bool
transport_is_delivered(const struct transport *transport)
{
	return !transport->closed && !transport_has_unsent(transport)
	       && transport_acknowledged(transport) == transport->sent;
}

void
transport_deadline_reached(void *arg)
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
	} else if (!transport->losing
		   && !transport_is_silent(transport, transport->idle_timeout_ms)) {
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
