/* discard.c - RFC 863: whatever comes is thrown away, and nothing is sent. */
#include <string.h>

#include "net/datagram.h"
#include "net/transport.h"
#include "protocols/registry.h"

static void
discard_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	(void)datagram;
	(void)bytes;
	(void)length;
}

static size_t
discard_probe_request(const void *settings, uint8_t request[static PROBE_REQUEST_MAX])
{
	(void)settings;
	static const char text[] = "twined probe\r\n";
	memcpy(request, text, sizeof text - 1);
	return sizeof text - 1;
}

static const struct probe discard_probe = {
	.request = discard_probe_request,
	.half_close = true,
	.silence_is_ok = true,
};

/* No data_received: the transport drops what comes without the kernel copying it. */
const struct protocol discard_protocol = {
	.name = "discard",
	.summary = "reads everything and sends nothing (RFC 863)",
	.transports = PROTOCOL_STREAM | PROTOCOL_DATAGRAM,
	.datagram_received = discard_datagram_received,
	.probe = &discard_probe,
};
