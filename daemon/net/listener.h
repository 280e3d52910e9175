/* listener.h - binds addresses to a factory: accepts connections, takes datagrams, within limits. */
#ifndef TWINED_NET_LISTENER_H
#define TWINED_NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/option.h"
#include "net/address.h"

enum on_full { ON_FULL_WAIT, ON_FULL_RESET };

/* The listener keys of twined.ini(5) that every protocol shares. */
struct listener_settings {
	struct address_list listen;
	const struct protocol *protocol;
	int64_t enabled;
	int64_t backlog;
	int64_t max_connections;		/* 0: none */
	int64_t max_connections_per_ip;		/* 0: none */
	struct rate accept_rate;
	int64_t on_full;
	struct prefix_list allow, deny;		/* an empty allow is everyone */
	int64_t idle_timeout_ms;		/* time-outs: 0 is off */
	int64_t write_timeout_ms;
	int64_t linger_timeout_ms;
	int64_t keepalive;
	int64_t socket_mode;
	int64_t socket_user, socket_group;	/* OPTION_AUTO: leave */
	struct rate udp_reply_rate;
	int64_t udp_amplify;			/* OPTION_AUTO, 0, 1 */
};

/* Their option table; fills a struct listener_settings. */
extern const struct option listener_options[];

#endif
