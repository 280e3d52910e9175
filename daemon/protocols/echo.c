/* echo.c - RFC 862: whatever comes is sent back, also after the peer's half-close. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/datagram.h"
#include "net/transport.h"
#include "protocols/registry.h"

static void
echo_data_received(struct transport *transport, const uint8_t *bytes, size_t length)
{
	transport_write(transport, bytes, length);
}

static void
echo_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	datagram_reply(datagram, bytes, length);
}

/* Sixteen bytes of every kind that no two probes share: text, NUL, line ends and high bits. */
static size_t
echo_probe_request(const void *settings, uint8_t request[static PROBE_REQUEST_MAX])
{
	(void)settings;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint32_t seed = (uint32_t)now.tv_nsec * 2654435761u ^ (uint32_t)getpid();
	memcpy(request, "\0\r\n\xff" "twined", 10);
	for (size_t i = 10; i < 16; i++) {
		seed = seed * 1664525u + 1013904223u;
		request[i] = (uint8_t)(seed >> 24);
	}
	return 16;
}

static enum probe_verdict
echo_probe_check(const void *settings, const uint8_t *request, size_t request_length,
		 const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	(void)settings;
	size_t length = reply_length < request_length ? reply_length : request_length;
	if (length > 0 && memcmp(reply, request, length) != 0)
		*failure = "other bytes came back than were sent";
	else if (reply_length > request_length)
		*failure = "more bytes came back than were sent";
	else if (!ended)
		return PROBE_MORE;
	else if (reply_length < request_length)
		*failure = "fewer bytes came back than were sent";
	else
		return PROBE_OK;
	return PROBE_FAILED;
}

static const struct probe echo_probe = {
	.request = echo_probe_request,
	.check = echo_probe_check,
	.half_close = true,
};

const struct protocol echo_protocol = {
	.name = "echo",
	.summary = "sends back whatever it receives (RFC 862)",
	.transports = PROTOCOL_STREAM | PROTOCOL_DATAGRAM,
	.data_received = echo_data_received,
	.datagram_received = echo_datagram_received,
	.probe = &echo_probe,
};
