/* transport_end.c - how a transport ends: in order, with a reset, or because the daemon stops. */
#include <errno.h>
#include <event2/buffer.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/endpoint.h"
#include "net/outbox.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/transport_private.h"

enum { QUIET_MS = 100 };

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
	if (transport->read_side == READ_OPEN)
		ioctl(transport_fd(transport), FIONREAD, &waiting);
	transport->stopping = true;
	transport->stop_at = transport->received + (uint64_t)waiting;
	if (waiting == 0 || transport->paused)
		transport_stopped(transport);
}

void
transport_close_delivered(struct transport *transport)
{
	if (transport->closed || transport->write_side != WRITE_ENDED
	    || transport->read_side != READ_DROPPING || transport->endpoint->pumped)
		return;
	/*
	 * To close on a peer that still sends would be a reset, before it has read what it was
	 * owed.
	 */
	if (reactor_now_ms() - transport->active_ms < QUIET_MS)
		return;
	if (transport_acknowledged(transport) == transport->sent)
		transport_close(transport, transport->reason);
}
