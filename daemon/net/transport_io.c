/* transport_io.c - the bytes of a transport: what is sent at once, what waits, what is read. */
#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/endpoint.h"
#include "net/outbox.h"
#include "net/protocol.h"
#include "net/tally.h"
#include "net/transport_private.h"

enum {
	/*
	 * What one recv(2) takes at most, and so what a peer that does not read can make us hold:
	 * with a short message before it, and the evbuffer's own header, it is 64 KiB.
	 */
	READ_SIZE = 64 * 1024 - OUTBOX_MESSAGE_MAX - 128,
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

bool
transport_can_write(const struct transport *transport)
{
	return !transport->closed && !transport->reset_seen && transport->write_side == WRITE_OPEN;
}

void
transport_note_sent(struct transport *transport, size_t sent, size_t offered)
{
	transport->full = sent < offered;
	if (sent == 0)
		return;
	transport->active_ms = reactor_now_ms();
	transport->progress_ms = transport->active_ms;
	transport->sent += sent;
	if (transport->accepted)
		transport->endpoint->counters->bytes_out += sent;
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
	if (sent >= 0)
		transport_note_sent(transport, (size_t)sent, pieces_length(pieces, count));
	return sent;
}

/*
 * The peer is gone, as sending has found out, and the socket does not tell it again. What it had
 * sent before is read all the same; the end of that is then the reset.
 */
void
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
	/* Who waits until what is unsent has gone would wait for ever: soon it is gone. */
	transport->want_drained = transport_output_waits(transport);
	transport->full = false;
	if (transport->unsent != NULL)
		evbuffer_free(transport->unsent);
	transport->unsent = NULL;
	transport_drop_inlet(transport);
	transport->unread = UNREAD_SOME;
	transport_update_interest(transport);
}

/* Adds bytes to what is unsent. */
static void
transport_keep(struct transport *transport, const void *bytes, size_t length)
{
	if (transport->unsent == NULL) {
		transport->unsent = evbuffer_new();
		transport_note_progress(transport);
	}
	if (transport->unsent == NULL || evbuffer_add(transport->unsent, bytes, length) != 0) {
		transport_abort(transport, REASON_NO_RESOURCES);
		return;
	}
	transport_update_deadline(transport);
	transport_update_interest(transport);
}

void
transport_send_or_keep(struct transport *transport, const void *bytes, size_t length)
{
	struct iovec piece = { .iov_base = (void *)bytes, .iov_len = length };
	ssize_t sent = 0;

	if (!transport_can_write(transport))
		return;
	if (!transport_has_unsent(transport))
		sent = transport_send(transport, &piece, 1);
	if (sent < 0)
		transport_send_failed(transport, errno);
	else if ((size_t)sent < length)
		transport_keep(transport, (const char *)bytes + sent, length - (size_t)sent);
}

void
transport_keep_rest(struct transport *transport, const void *bytes, size_t length, int result)
{
	size_t sent = result > 0 ? (size_t)result : 0;

	if (result < 0 && result != -EAGAIN && result != -EINTR) {
		transport_send_failed(transport, -result);
		return;
	}
	transport_note_sent(transport, sent, length);
	if (sent < length)
		transport_keep(transport, (const char *)bytes + sent, length - sent);
}

void
transport_send_letter(struct transport *transport)
{
	outbox_send(reactor_outbox(transport->endpoint->reactor), transport);
}

void
transport_write(struct transport *transport, const void *bytes, size_t length)
{
	if (!transport_can_write(transport) || length == 0)
		return;
	if (!transport_has_unsent(transport)
	    && outbox_put(reactor_outbox(transport->endpoint->reactor), transport, bytes, length))
		return;
	transport_send_letter(transport);
	transport_send_or_keep(transport, bytes, length);
}

size_t
transport_offer(struct transport *transport, const struct iovec *pieces, int count)
{
	size_t offered = pieces_length(pieces, count);
	ssize_t sent;

	transport_send_letter(transport);
	if (!transport_can_write(transport))
		return 0;
	if (transport_has_unsent(transport))
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
	return (transport->unsent == NULL ? 0 : evbuffer_get_length(transport->unsent))
	       + transport_piped(transport);
}

size_t
transport_unread(const struct transport *transport)
{
	int unread = 0;

	if (transport->closed || ioctl(transport_fd(transport), FIONREAD, &unread) < 0)
		return 0;
	return unread > 0 ? (size_t)unread : 0;
}

/* Who was not read while something was in the pipe. */
static void
transport_flush_inlet(struct transport *transport)
{
	struct transport *from = transport_inlet(transport)->from;

	if (!transport_push_inlet(transport))
		return;
	if (!transport_has_unsent(transport) && from != NULL)
		transport_update_interest(from);
}

void
transport_flush(struct transport *transport)
{
	if (transport_piped(transport) > 0) {
		transport_flush_inlet(transport);
		if (transport->closed)
			return;
		if (transport_piped(transport) > 0) {
			transport_update_interest(transport);
			return;
		}
	}
	if (transport->unsent != NULL) {
		struct evbuffer_iovec pieces[8];
		int count = evbuffer_peek(transport->unsent, -1, NULL, pieces, 8);
		ssize_t sent = transport_send(transport, (struct iovec *)pieces,
					      count < 8 ? count : 8);

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
	transport_leave_outlet(transport);
	transport_note_end(transport);
	if (!dropping && transport->protocol->read_ended != NULL)
		transport->protocol->read_ended(transport);
	else
		transport_end_write(transport);
	transport_settle(transport);
}

void
transport_note_received(struct transport *transport, size_t length)
{
	transport->active_ms = reactor_now_ms();
	transport->received += length;
	if (transport->accepted)
		transport->endpoint->counters->bytes_in += length;
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
		transport_note_received(transport, (size_t)length);
		transport_note_read(transport, (size_t)length == size);
	}
	return length;
}

void
transport_read(struct transport *transport)
{
	uint8_t *scratch = reactor_scratch(transport->endpoint->reactor);
	const struct protocol *protocol = transport->protocol;
	ssize_t length;

	if (transport->read_side == READ_DROPPING || protocol->data_received == NULL) {
		length = transport_receive(transport, scratch, DROP_SIZE, MSG_TRUNC);	/* tcp(7) */
	} else if (transport->outlet != 0) {
		length = transport_splice_in(transport);
	} else {
		length = transport_receive(transport, scratch, READ_SIZE, 0);
		if (length > 0)
			protocol->data_received(transport, scratch, (size_t)length);
	}
	if (length > 0) {
		if (transport->stopping
		    && (transport->received >= transport->stop_at || transport->paused))
			transport_stopped(transport);
	} else if (length == 0 && transport->reset_seen) {
		transport_fail(transport, ECONNRESET);
	} else if (length == 0) {
		transport_read_end(transport);
	} else if (errno == EINVAL && transport->outlet != 0) {
		transport_leave_outlet(transport);	/* of this socket, or here, it cannot be had */
		transport->unread = UNREAD_SOME;
		transport_update_interest(transport);
	} else if (errno != EAGAIN) {
		transport_fail(transport, errno);
	} else {
		transport->unread = UNREAD_NONE;
	}
}

/* Reads once, whether it is paused or not: whether that has brought anything. */
static bool
transport_read_now(struct transport *transport)
{
	uint8_t *scratch = reactor_scratch(transport->endpoint->reactor);
	ssize_t length;

	if (transport->closed || transport->read_side != READ_OPEN)
		return false;
	length = transport_receive(transport, scratch, READ_SIZE, 0);
	/* It is told once; transport_read makes a reset of the end that comes next. */
	if (length < 0 && errno == ECONNRESET)
		transport->reset_seen = true;
	if (length > 0)
		transport->protocol->data_received(transport, scratch, (size_t)length);
	return length > 0;
}

void
transport_read_all(struct transport *transport)
{
	while (transport_read_now(transport))
		continue;
}

bool
transport_read_owed(struct transport *transport)
{
	return transport->received < transport->stop_at && transport_read_now(transport);
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
