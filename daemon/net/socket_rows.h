/* socket_rows.h - the rows about sockets, which the tables of listeners and connectors share. */
#ifndef TWINED_NET_SOCKET_ROWS_H
#define TWINED_NET_SOCKET_ROWS_H

#include <stddef.h>

#include "base/option.h"
#include "net/socket_options.h"

enum {
	SECOND = 1000,
	DAY = 24 * 60 * 60 * SECOND,
};

/* Longer than any time-out makes sense, and far from where sums of milliseconds overflow. */
#define TIMEOUT_MAX (INT64_C(365) * DAY)

#define SOCKET_FIELD(settings, name)                                                               \
	(offsetof(settings, socket) + offsetof(struct socket_options, name))

/* For settings, a struct with a struct socket_options socket, and the default of notsent_lowat. */
#define SOCKET_ROWS(settings, notsent_lowat_default)                                               \
	{ "keepalive", OPTION_BOOL, 0, SOCKET_FIELD(settings, keepalive), 0, 0, NULL, "on",        \
	  "TCP keep-alive probes" },                                                               \
	{ "keepalive_idle", OPTION_DURATION, OPTION_MAY_NONE,                                      \
	  SOCKET_FIELD(settings, keepalive_idle_ms), SECOND, 32767 * SECOND, NULL, "none",         \
	  "silence before the first probe; none: the system's" },                                  \
	{ "keepalive_interval", OPTION_DURATION, OPTION_MAY_NONE,                                  \
	  SOCKET_FIELD(settings, keepalive_interval_ms), SECOND, 32767 * SECOND, NULL, "none",     \
	  "time between probes; none: the system's" },                                             \
	{ "keepalive_count", OPTION_NUMBER, OPTION_MAY_NONE,                                       \
	  SOCKET_FIELD(settings, keepalive_count), 1, 127, NULL, "none",                           \
	  "unanswered probes after which the peer is gone; none: the system's" },                  \
	{ "tcp_user_timeout", OPTION_DURATION, OPTION_MAY_NONE,                                    \
	  SOCKET_FIELD(settings, tcp_user_timeout_ms), 1, DAY, NULL, "none",                       \
	  "how long sent bytes may stay unacknowledged before the peer is gone" },                 \
	{ "notsent_lowat", OPTION_SIZE, OPTION_MAY_NONE, SOCKET_FIELD(settings, notsent_lowat),    \
	  4096, 1 << 30, NULL, notsent_lowat_default,                                              \
	  "so many bytes that the system has not sent yet are enough; none: the system's" },       \
	{ "dscp", OPTION_DSCP, OPTION_MAY_AUTO, SOCKET_FIELD(settings, dscp), 0, 0, NULL, "auto",  \
	  "differentiated services code point of what is sent; auto: the system's" }

#endif
