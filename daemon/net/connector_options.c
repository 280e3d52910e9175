/* connector_options.c - the table of the keys that every connector has. */
#include "net/connector.h"

#include "net/socket_rows.h"

#define FIELD(name) offsetof(struct connector_settings, name)

/* Those that listeners have, too, are inherited from [defaults] as theirs are. */
const struct option connector_options[] = {
	{ "connect", OPTION_CONNECT, OPTION_REQUIRED, FIELD(connect), 0, 0, NULL, NULL,
	  "addresses to dial, comma-separated: one after another until one answers" },
	{ "protocol", OPTION_PROTOCOL, OPTION_REQUIRED, FIELD(protocol), 0, 0, NULL, NULL,
	  "what is spoken there" },
	{ "enabled", OPTION_BOOL, 0, FIELD(enabled), 0, 0, NULL, "yes",
	  "no keeps the section and dials nothing" },
	{ "bind", OPTION_IP, 0, FIELD(bind), 0, 0, NULL, NULL, "IP address to dial from" },
	{ "connect_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(connect_timeout_ms), 1,
	  TIMEOUT_MAX, NULL, "5s", "how long an address may take to answer" },
	{ "reconnect_min", OPTION_DURATION, 0, FIELD(reconnect_min_ms), 1, DAY, NULL, "1s",
	  "pause before all addresses are tried again; it doubles each time" },
	{ "reconnect_max", OPTION_DURATION, 0, FIELD(reconnect_max_ms), 1, DAY, NULL, "60s",
	  "longest such pause" },
	{ "preamble", OPTION_BYTES, OPTION_MAY_NONE, FIELD(preamble), 0, 0, NULL, "none",
	  "what is sent first" },
	{ "silence_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(silence_timeout_ms), 100,
	  TIMEOUT_MAX, NULL, "none",
	  "without a line from there for so long, the next address is tried" },
	{ "baud", OPTION_NUMBER, OPTION_MAY_NONE, FIELD(baud), 50, 4000000, NULL, "none",
	  "speed of a serial port; none: as it is" },
	{ "idle_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(idle_timeout_ms), 1, TIMEOUT_MAX,
	  NULL, "none", "ends a connection without a byte either way for so long" },
	{ "write_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(write_timeout_ms), 1,
	  TIMEOUT_MAX, NULL, "30s",
	  "ends a connection whose pending output makes no progress for so long" },
	{ "linger_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(linger_timeout_ms), 1,
	  TIMEOUT_MAX, NULL, "5s",
	  "after our last byte, how long to wait for the peer's end of stream" },
	SOCKET_ROWS(struct connector_settings, "256K"),
	{ "bind_device", OPTION_STRING, OPTION_MAY_NONE, FIELD(socket.bind_device), 1, 15, NULL,
	  "none", "network interface to dial over" },
	{ 0 },
};
