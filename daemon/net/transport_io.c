/* transport_io.c - the bytes of a transport: what is sent at once, what waits, what is read. */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/endpoint.h"
#include "net/protocol.h"
#include "net/tally.h"
#include "net/transport_private.h"

enum {
	/*
	 * What one recv(2) takes at most, and so what a peer that does not read can make us hold: with
	 * the evbuffer's own header it is 64 KiB.
	 */
	READ_SIZE = 64 * 1024 - 128,
	/* What is thrown away at once: TCP does not even copy it. */
	DROP_SIZE = REACTOR_SCRATCH_SIZE,
};

static size_t
pieces_length(const struct iovec *pieces, int count)
{
	size_t length = 0;

	for (int i = 0; i < count; i++)
		length += pieces[i].iov_len;
	return length;
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
		sent = 0;
	transport->full = sent >= 0 && (size_t)sent < pieces_length(pieces, count);
	if (sent > 0) {
		transport->active_ms = reactor_now_ms();
		transport->progress_ms = transport->active_ms;
		transport->sent += (uint64_t)sent;
		if (transport->accepted)
			transport->endpoint->counters->bytes_out += (uint64_t)sent;
	}
	return sent;
}

/*
 * The peer is gone, as sending has found out, and the socket does not tell it again. What it had sent before is
 * read all the same; the end of that is then the reset.
 */
static void
transport_send_failed(struct transport *transport, int error)
{
	int unread = 0;

	if ((error == ECONNRESET || error == EPIPE) && transport->read_side == READ_OPEN)
		ioctl(transport_fd(transport), FIONREAD, &unread);
	if (unread <= 0) {
		transport_fail(transport, error);
		return;
	}
	transport->reset_seen = true;
	transport->want_drained = false;
	if (transport->unsent != NULL)
		evbuffer_free(transport->unsent);
	transport->unsent = NULL;
	transport->unread = UNREAD_SOME;
	transport_update_interest(transport);
}

bool
transport_can_write(const struct transport *transport)
{
	return !transport->closed && !transport->reset_seen && transport->write_side == WRITE_OPEN;
}

void
transport_write(struct transport *transport, const void *bytes, size_t length)
{
	struct iovec piece = { .iov_base = (void *)bytes, .iov_len = length };
	ssize_t sent = 0;

	if (!transport_can_write(transport) || length == 0)
		return;
	if (transport->unsent == NULL) {
		sent = transport_send(transport, &piece, 1);
		if (sent < 0) {
			transport_send_failed(transport, errno);
			return;
		}
		if ((size_t)sent == length)
			return;
		transport->unsent = evbuffer_new();
		transport_note_progress(transport);
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
	size_t offered = pieces_length(pieces, count);
	ssize_t sent;

	if (!transport_can_write(transport))
		return 0;
	if (transport->unsent != NULL)
		return 0;
	if (offered == 0)
		return 0;
	sent = transport_send(transport, pieces, count);
	if (sent < 0) {
		transport_send_failed(transport, errno);
		return 0;
	}
	if ((size_t)sent < offered)
		transport_want_drained(transport);
	return (size_t)sent;
}

void
transport_want_drained(struct transport *transport)
{
	if (!transport_can_write(transport) || transport->want_drained)
		return;
	transport->want_drained = true;
	transport_note_progress(transport);
	transport_update_deadline(transport);
	transport_update_interest(transport);
}

size_t
transport_pending(const struct transport *transport)
{
	return transport->unsent == NULL ? 0 : evbuffer_get_length(transport->unsent);
}

void
transport_flush(struct transport *transport)
{
	if (transport->unsent != NULL) {
		struct evbuffer_iovec pieces[8];
		int count = evbuffer_peek(transport->unsent, -1, NULL, pieces, 8);
		ssize_t sent = transport_send(transport, (struct iovec *)pieces, count < 8 ? count : 8);

		if (sent < 0) {
			transport_send_failed(transport, errno);
			return;
		}
		evbuffer_drain(transport->unsent, (size_t)sent);
		if (evbuffer_get_length(transport->unsent) != 0) {
			transport_update_interest(transport);
			return;
		}
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
	transport_note_end(transport);
	if (!dropping && transport->protocol->read_ended != NULL)
		transport->protocol->read_ended(transport);
	else
		transport_end_write(transport);
	transport_settle(transport);
}

/* What one recv(2) brings: as recv, with EINTR hidden. */
static ssize_t
transport_receive(struct transport *transport, uint8_t *bytes, size_t size, int flags)
{
	ssize_t length;

	do
		length = recv(transport_fd(transport), bytes, size, flags);
	while (length < 0 && errno == EINTR);
	if (length > 0) {
		transport->active_ms = reactor_now_ms();
		transport->received += (uint64_t)length;
		if (transport->accepted)
			transport->endpoint->counters->bytes_in += (uint64_t)length;
	}
	if (length > 0)
		transport_note_read(transport, (size_t)length == size);
	return length;
}

void
transport_read(struct transport *transport)
{
	bool drops = transport->read_side == READ_DROPPING || transport->protocol->data_received == NULL;
	uint8_t *scratch = reactor_scratch(transport->endpoint->reactor);
	ssize_t length = drops ? transport_receive(transport, scratch, DROP_SIZE, MSG_TRUNC)	/* tcp(7) */
			       : transport_receive(transport, scratch, READ_SIZE, 0);

	if (length > 0) {
		if (!drops)
			transport->protocol->data_received(transport, scratch, (size_t)length);
		if (transport->stopping && transport->received >= transport->stop_at)
			transport_stopped(transport);
	} else if (length == 0 && transport->reset_seen) {
		transport_fail(transport, ECONNRESET);
	} else if (length == 0) {
		transport_read_end(transport);
	} else if (errno != EAGAIN) {
		transport_fail(transport, errno);
	} else {
		transport->unread = UNREAD_NONE;
	}
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

bool
transport_is_still(struct transport *transport, int64_t ms)
{
	if (transport->closed || !transport_output_waits(transport))
		return false;
	if (transport_acknowledged(transport) > transport->acknowledged)
		transport_note_progress(transport);
	return reactor_now_ms() - transport->progress_ms >= (uint64_t)ms;
}

void
transport_pause(struct transport *transport)
{
	transport->paused = true;
	transport_update_interest(transport);
}

void
transport_hold(struct transport *transport)
{
	transport->held = true;
	transport_pause(transport);
}

void
transport_resume(struct transport *transport)
{
	transport->paused = transport->held = false;
	transport_update_interest(transport);
}
