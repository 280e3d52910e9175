/* time.c - RFC 868: the seconds since 1900 modulo 2^32 in four bytes, then the end. */
#include <time.h>

#include "net/datagram.h"
#include "net/transport.h"
#include "protocols/registry.h"

/* From 1900-01-01 to 1970-01-01, as RFC 868 gives it. */
#define SECONDS_BEFORE_1970 2208988800u

enum { TIME_LENGTH = 4, PROBE_TOLERANCE = 5 };

static uint32_t
seconds_since_1900(void)
{
	return (uint32_t)(uint64_t)time(NULL) + SECONDS_BEFORE_1970;
}

static void
time_put(uint8_t bytes[static TIME_LENGTH])
{
	uint32_t seconds = seconds_since_1900();
	for (int i = 0; i < TIME_LENGTH; i++)
		bytes[i] = (uint8_t)(seconds >> (24 - 8 * i));
}

static void
time_connection_made(struct transport *transport)
{
	uint8_t bytes[TIME_LENGTH];
	time_put(bytes);
	transport_write(transport, bytes, sizeof bytes);
	transport_lose(transport, REASON_DONE);
}

static void
time_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	(void)bytes;
	(void)length;
	uint8_t reply[TIME_LENGTH];
	time_put(reply);
	datagram_reply(datagram, reply, sizeof reply);
}

static enum probe_verdict
time_probe_check(const void *settings, const uint8_t *request, size_t request_length,
		 const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	(void)settings;
	(void)request;
	(void)request_length;
	*failure = "not exactly four bytes came";
	if (reply_length > TIME_LENGTH)
		return PROBE_FAILED;
	if (!ended)
		return PROBE_MORE;
	if (reply_length < TIME_LENGTH)
		return PROBE_FAILED;

	uint32_t seconds = 0;
	for (int i = 0; i < TIME_LENGTH; i++)
		seconds = seconds << 8 | reply[i];
	int32_t off = (int32_t)(seconds - seconds_since_1900());
	if (off >= -PROBE_TOLERANCE && off <= PROBE_TOLERANCE)
		return PROBE_OK;
	*failure = "the time is more than 5 s from ours";
	return PROBE_FAILED;
}

static const struct probe time_probe = {
	.check = time_probe_check,
};

const struct protocol time_protocol = {
	.name = "time",
	.summary = "sends the seconds since 1900 in four bytes, then closes (RFC 868)",
	.transports = PROTOCOL_STREAM | PROTOCOL_DATAGRAM,
	.reply_exempt = TIME_LENGTH,
	.connection_made = time_connection_made,
	.datagram_received = time_datagram_received,
	.probe = &time_probe,
};
