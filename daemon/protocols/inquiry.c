/* inquiry.c - asks a server once whether it serves: that it accepts, or answers as expected. */
#include "protocols/inquiry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/datagram_dial.h"
#include "net/dialling.h"
#include "net/endpoint.h"
#include "net/protocol.h"
#include "net/proxy_header.h"
#include "net/transport.h"
#include "protocols/proxy_settings.h"
#include "protocols/upstreams_private.h"

enum {
	SAID_MAX = 40,			/* bytes of an unexpected answer, for the log */
	OBJECT_MS = 200,		/* who refuses a PROXY header has closed by then */
};

/* The state of a connection that an inquiry has made. */
struct asked {
	struct inquiry *inquiry;	/* NULL: its outcome is known */
};

/* Gives everything up but a transport, which it returns. */
static struct transport *
inquiry_end(struct inquiry *inquiry)
{
	struct transport *transport = inquiry->transport;

	if (inquiry->places == NULL)
		return NULL;
	reactor_unset_deadline(inquiry->endpoint->reactor, &inquiry->deadline);
	dialling_cancel(inquiry->dialling);
	datagram_dial_free(inquiry->datagram_dial);
	if (transport != NULL)
		((struct asked *)transport_state(transport))->inquiry = NULL;
	places_unref(inquiry->places);
	inquiry->places = NULL;
	inquiry->dialling = NULL;
	inquiry->datagram_dial = NULL;
	inquiry->transport = NULL;
	return transport;
}

/* That it is known leaves nothing to be asked. */
static void
inquiry_settle(struct inquiry *inquiry, enum inquiry_outcome outcome, const char *why)
{
	struct transport *transport = inquiry_end(inquiry);

	if (transport != NULL && outcome == INQUIRY_PASSED)
		transport_lose(transport, REASON_DONE);
	else if (transport != NULL)
		transport_abort(transport, REASON_DONE);
	inquiry->done(inquiry, outcome, why);
}

void
inquiry_cancel(struct inquiry *inquiry)
{
	struct transport *transport = inquiry_end(inquiry);

	if (transport != NULL)
		transport_abort(transport, REASON_SHUTDOWN);
}

static void
inquiry_fail(struct inquiry *inquiry, int error)
{
	inquiry_settle(inquiry, error_is_ours(error) ? INQUIRY_VOID : INQUIRY_FAILED,
		       strerror(error));
}

/* Tells what it has said: the part of it that was expected, and what came then. */
static void
inquiry_fail_answer(struct inquiry *inquiry, const uint8_t *bytes, size_t length)
{
	const struct exchange *exchange = &inquiry->settings->check;
	char said[SAID_MAX + 1] = "", why[SAID_MAX + 40];
	size_t used = inquiry->matched < SAID_MAX ? inquiry->matched : SAID_MAX;

	if (length > SAID_MAX - used)
		length = SAID_MAX - used;
	memcpy(said, exchange->expect, used);
	memcpy(said + used, bytes, length);
	said[strcspn(said, "\r\n")] = '\0';
	snprintf(why, sizeof why, "the answer begins \"%s\"", said);
	inquiry_settle(inquiry, INQUIRY_FAILED, why);
}

/* Takes some of an answer; ended: there is no more of it. */
static void
inquiry_take(struct inquiry *inquiry, const uint8_t *bytes, size_t length, bool ended)
{
	const struct exchange *exchange = &inquiry->settings->check;
	size_t wanted = exchange->expect_length - inquiry->matched;
	size_t compared = length < wanted ? length : wanted;

	if (memcmp(exchange->expect + inquiry->matched, bytes, compared) != 0
	    || (ended && compared < wanted)) {
		inquiry_fail_answer(inquiry, bytes, length);
		return;
	}
	inquiry->matched += compared;
	if (compared == wanted)
		inquiry_settle(inquiry, INQUIRY_PASSED, NULL);
}

static void
asked_data_received(struct transport *transport, const uint8_t *bytes, size_t length)
{
	struct asked *asked = transport_state(transport);

	if (asked->inquiry == NULL)
		return;
	if (asked->inquiry->settings->check.kind == EXCHANGE_CONNECT)
		inquiry_settle(asked->inquiry, INQUIRY_PASSED, NULL);
	else
		inquiry_take(asked->inquiry, bytes, length, false);
}

static void
asked_read_ended(struct transport *transport)
{
	struct asked *asked = transport_state(transport);

	if (asked->inquiry == NULL)
		return;
	inquiry_settle(asked->inquiry, INQUIRY_FAILED,
		       asked->inquiry->settings->check.kind == EXCHANGE_CONNECT
			       ? "the connection ended at its PROXY header"
			       : "the connection ended without the answer");
}

static void
asked_connection_lost(struct transport *transport, enum reason reason)
{
	struct asked *asked = transport_state(transport);

	if (asked->inquiry == NULL)
		return;
	asked->inquiry->transport = NULL;
	if (reason == REASON_NO_RESOURCES)
		inquiry_fail(asked->inquiry, ENOMEM);
	else
		inquiry_fail(asked->inquiry, reason == REASON_PEER_RESET ? ECONNRESET : EIO);
}

static const struct protocol asked_protocol = {
	.name = "check",
	.summary = "a server that is asked whether it serves",
	.transports = PROTOCOL_STREAM,
	.state_size = sizeof(struct asked),
	.data_received = asked_data_received,
	.read_ended = asked_read_ended,
	.connection_lost = asked_connection_lost,
};

static void
inquiry_not_refused(void *arg)
{
	inquiry_settle(arg, INQUIRY_PASSED, NULL);
}

static void
inquiry_connected(void *arg, struct transport *transport, size_t index)
{
	struct inquiry *inquiry = arg;
	const struct proxy_settings *settings = inquiry->settings;

	(void)index;
	inquiry->dialling = NULL;
	if (transport == NULL) {
		inquiry_fail(inquiry, ENOMEM);
		return;
	}
	((struct asked *)transport_state(transport))->inquiry = inquiry;
	inquiry->transport = transport;
	if (settings->send_proxy != SEND_PROXY_NO) {
		uint8_t header[PROXY_HEADER_MAX];

		transport_write(transport, header,
				proxy_header_write((int)settings->send_proxy, NULL, NULL, header));
	}
	if (settings->check.kind == EXCHANGE_CONNECT && settings->send_proxy != SEND_PROXY_NO) {
		inquiry->deadline.fn = inquiry_not_refused;
		reactor_set_deadline(inquiry->endpoint->reactor, &inquiry->deadline,
				     reactor_now_ms() + OBJECT_MS);
	} else if (settings->check.kind == EXCHANGE_CONNECT) {
		inquiry_settle(inquiry, INQUIRY_PASSED, NULL);
	} else {
		transport_write(transport, settings->check.send, settings->check.send_length);
	}
}

static void
inquiry_refused(void *arg, int error)
{
	struct inquiry *inquiry = arg;

	inquiry->dialling = NULL;
	inquiry_fail(inquiry, error);
}

static void
inquiry_dial(struct inquiry *inquiry, size_t first)
{
	struct dial dial = {
		.addresses = inquiry->places->items,
		.count = inquiry->places->count,
		.first = first,
		.source = &inquiry->settings->bind,
		.quiet = true,
		.connected = inquiry_connected,
		.failed = inquiry_refused,
		.arg = inquiry,
	};
	struct dialling *dialling = dialling_begin(inquiry->endpoint, &asked_protocol, &dial);

	if (dialling != NULL)
		inquiry->dialling = dialling;
}

static void
datagram_received(void *arg, const uint8_t *bytes, size_t length)
{
	inquiry_take(arg, bytes, length, true);
}

static void inquiry_send(struct inquiry *inquiry, int error);

static void
datagram_failed(void *arg, int error)
{
	struct inquiry *inquiry = arg;

	datagram_dial_free(inquiry->datagram_dial);
	inquiry->datagram_dial = NULL;
	inquiry_send(inquiry, error);
}

/* Sends a datagram to the next place; if there is none, the error is that of the last one. */
static void
inquiry_send(struct inquiry *inquiry, int error)
{
	static const struct datagram_dial_calls calls = {
		.received = datagram_received,
		.failed = datagram_failed,
	};
	const struct exchange *exchange = &inquiry->settings->check;
	const struct places *places = inquiry->places;

	while (inquiry->datagram_dial == NULL && inquiry->tried < places->count) {
		inquiry->datagram_dial = datagram_dial_new(
			inquiry->endpoint->reactor, &places->items[inquiry->place],
			&inquiry->settings->bind, exchange->send, exchange->send_length, &calls,
			inquiry);
		error = errno;
		inquiry->place = (inquiry->place + 1) % places->count;
		inquiry->tried++;
	}
	if (inquiry->datagram_dial == NULL)
		inquiry_fail(inquiry, error);
}

static void
inquiry_timed_out(void *arg)
{
	inquiry_fail(arg, ETIMEDOUT);
}

void
inquiry_begin(struct inquiry *inquiry, struct places *places, size_t first, uint64_t limit_ms)
{
	inquiry->places = places;
	inquiry->place = first;
	inquiry->tried = inquiry->matched = 0;
	inquiry->deadline.fn = inquiry_timed_out;
	inquiry->deadline.arg = inquiry;
	reactor_set_deadline(inquiry->endpoint->reactor, &inquiry->deadline,
			     reactor_now_ms() + limit_ms);
	if (inquiry->datagrams)
		inquiry_send(inquiry, 0);
	else
		inquiry_dial(inquiry, first);
}
