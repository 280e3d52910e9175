/* listener_options.c - the table of the keys that every listener has. */
#include "net/listener.h"

#include "net/socket_rows.h"

#define FIELD(name) offsetof(struct listener_settings, name)

enum {
	CONNECTIONS_MAX = 10 * 1000 * 1000,
	RATE_MAX = 10 * 1000 * 1000,
};

static const char *const on_full_names[] = { "wait", "reset", NULL };

const struct option listener_options[] = {
	{ "listen", OPTION_LISTEN, OPTION_REQUIRED, FIELD(listen), 0, 0, NULL, NULL,
	  "addresses to serve, comma-separated" },
	{ "protocol", OPTION_PROTOCOL, OPTION_REQUIRED, FIELD(protocol), 0, 0, NULL, NULL,
	  "what is spoken there" },
	{ "enabled", OPTION_BOOL, 0, FIELD(enabled), 0, 0, NULL, "yes",
	  "no keeps the section and opens nothing" },
	{ "backlog", OPTION_NUMBER, 0, FIELD(backlog), 1, 65535, NULL, "4096",
	  "connections that may wait to be accepted; the kernel's somaxconn bounds it too" },
	{ "max_connections", OPTION_NUMBER, OPTION_MAY_NONE, FIELD(max_connections), 1,
	  CONNECTIONS_MAX, NULL, "none", "connections of this listener at a time" },
	{ "max_connections_per_ip", OPTION_NUMBER, OPTION_MAY_NONE, FIELD(max_connections_per_ip),
	  1, CONNECTIONS_MAX, NULL, "none",
	  "connections at a time from one IPv4 address or IPv6 /64" },
	{ "accept_rate", OPTION_RATE, OPTION_MAY_NONE, FIELD(accept_rate), 1, RATE_MAX, NULL,
	  "none", "new connections; over it they wait in the backlog" },
	{ "on_full", OPTION_CHOICE, 0, FIELD(on_full), 0, 0, on_full_names, "wait",
	  "at a limit, wait leaves new connections in the backlog, reset refuses them at once" },
	{ "allow", OPTION_PREFIXES, 0, FIELD(allow), 0, 0, NULL, "all",
	  "address prefixes that are served" },
	{ "deny", OPTION_PREFIXES, OPTION_MAY_NONE, FIELD(deny), 0, 0, NULL, "none",
	  "address prefixes that are not; wins over allow" },
	{ "idle_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(idle_timeout_ms), 1, TIMEOUT_MAX,
	  NULL, "10m", "closes a connection without a byte either way for so long" },
	{ "write_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(write_timeout_ms), 1,
	  TIMEOUT_MAX, NULL, "30s",
	  "closes a connection whose pending output makes no progress for so long" },
	{ "linger_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(linger_timeout_ms), 1,
	  TIMEOUT_MAX, NULL, "5s",
	  "after our last byte, how long to wait for the peer's end of stream" },
	{ "accept_proxy", OPTION_PREFIXES, OPTION_MAY_NONE, FIELD(accept_proxy), 0, 0, NULL, "none",
	  "address prefixes whose connections must begin with a PROXY header, which names the "
	  "peer; others are closed" },
	SOCKET_ROWS(struct listener_settings, "none"),
	{ "bind_device", OPTION_STRING, OPTION_MAY_NONE, FIELD(socket.bind_device), 1, 15, NULL,
	  "none", "network interface to serve on" },
	{ "socket_mode", OPTION_MODE, 0, FIELD(socket_mode), 0, 0777, NULL, "0660",
	  "permissions of unix sockets" },
	{ "socket_user", OPTION_USER, 0, FIELD(socket_user), 0, 0, NULL, NULL,
	  "owner of unix sockets; unset leaves who we are" },
	{ "socket_group", OPTION_GROUP, 0, FIELD(socket_group), 0, 0, NULL, NULL,
	  "group of unix sockets; unset leaves who we are" },
	{ "udp_reply_rate", OPTION_RATE, OPTION_MAY_AUTO | OPTION_MAY_NONE, FIELD(udp_reply_rate),
	  1, RATE_MAX, NULL, "auto",
	  "datagrams answered to one IPv4 address or IPv6 /64; auto: 1000/s, none on loopback "
	  "addresses" },
	{ "udp_amplify", OPTION_BOOL, OPTION_MAY_AUTO, FIELD(udp_amplify), 0, 0, NULL, "auto",
	  "lets a reply be longer than its request; auto: on loopback addresses only" },
	{ 0 },
};
