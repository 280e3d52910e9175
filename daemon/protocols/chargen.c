/* chargen.c - RFC 864: lines of 72 of the 95 printing characters, each a step on, for ever. */
#include <pthread.h>
#include <string.h>

#include "net/datagram.h"
#include "net/transport.h"
#include "protocols/registry.h"

enum {
	CHARACTERS = 95,			/* ' ' to '~' */
	COLUMNS = 72,
	LINE_LENGTH = COLUMNS + 2,		/* CR LF */
	PATTERN = CHARACTERS * LINE_LENGTH,	/* after 95 lines it begins again */
	WINDOW = 9 * PATTERN,			/* what one piece of a write holds: 63,270 bytes */
	PIECES = 4,				/* a turn's share of the loop: 253,080 bytes */
	DATAGRAM_LIMIT = 512,			/* RFC 864: 0 to 512 characters in a datagram */
};

/* The pattern over and over, so that a write is long wherever in the pattern it begins. */
static uint8_t window[WINDOW];
static pthread_once_t window_once = PTHREAD_ONCE_INIT;

static void
window_fill(void)
{
	uint8_t *to = window;
	for (int line = 0; line < WINDOW / LINE_LENGTH; line++) {
		for (int column = 0; column < COLUMNS; column++)
			*to++ = (uint8_t)(' ' + (line + column) % CHARACTERS);
		*to++ = '\r';
		*to++ = '\n';
	}
}

static int
chargen_factory_made(struct factory *factory)
{
	(void)factory;
	pthread_once(&window_once, window_fill);
	return 0;
}

struct chargen {
	uint32_t offset;	/* in the pattern: where the next byte is */
};

static void
chargen_send(struct transport *transport)
{
	struct chargen *chargen = transport_state(transport);
	struct iovec pieces[PIECES];
	pieces[0].iov_base = window + chargen->offset;
	pieces[0].iov_len = WINDOW - chargen->offset;
	for (int i = 1; i < PIECES; i++) {
		pieces[i].iov_base = window;
		pieces[i].iov_len = WINDOW;
	}
	size_t taken = transport_offer(transport, pieces, PIECES);
	chargen->offset = (uint32_t)((chargen->offset + taken) % PATTERN);
	/* also when all was taken: go on in the next turn */
	transport_want_drained(transport);
}

/*
 * The peer's end of stream ends nothing: RFC 864 sends until the connection is closed. A peer that
 * has gone answers with a reset, and write_timeout ends one that does not read.
 */
static void
chargen_read_ended(struct transport *transport)
{
	(void)transport;
}

/* Whole lines, as many as may go out; less than a line when not even one may. */
static void
chargen_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	(void)bytes;
	(void)length;
	size_t most = datagram_reply_max(datagram);
	if (most > DATAGRAM_LIMIT)
		most = DATAGRAM_LIMIT;
	if (most > LINE_LENGTH)
		most -= most % LINE_LENGTH;
	datagram_reply(datagram, window, most);
}

/* Thrown away on a stream; over UDP long enough that a line may be answered to it. */
static size_t
chargen_probe_request(const void *settings, uint8_t request[static PROBE_REQUEST_MAX])
{
	(void)settings;
	memset(request, '.', 2 * LINE_LENGTH);
	return 2 * LINE_LENGTH;
}

static enum probe_verdict
chargen_probe_check(const void *settings, const uint8_t *request, size_t request_length,
		    const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	(void)settings;
	(void)request;
	(void)request_length;
	pthread_once(&window_once, window_fill);
	if (reply_length >= LINE_LENGTH && memcmp(reply, window, LINE_LENGTH) == 0)
		return PROBE_OK;
	if (reply_length < LINE_LENGTH && !ended)
		return PROBE_MORE;
	*failure = "the first line is not that of RFC 864";
	return PROBE_FAILED;
}

static const struct probe chargen_probe = {
	.request = chargen_probe_request,
	.check = chargen_probe_check,
};

const struct protocol chargen_protocol = {
	.name = "chargen",
	.summary = "sends the printing characters for ever, or once a datagram (RFC 864)",
	.transports = PROTOCOL_STREAM | PROTOCOL_DATAGRAM,
	.state_size = sizeof(struct chargen),
	.factory_made = chargen_factory_made,
	.connection_made = chargen_send,
	.drained = chargen_send,
	.read_ended = chargen_read_ended,
	.datagram_received = chargen_datagram_received,
	.probe = &chargen_probe,
};
