/* socket_options.h - what a listener's keys say about its sockets, accepted and dialled. */
#ifndef TWINED_NET_SOCKET_OPTIONS_H
#define TWINED_NET_SOCKET_OPTIONS_H

#include <stdint.h>

#include "net/address.h"

/* Part of struct listener_settings, filled by its option table. All zero but dscp: the defaults. */
struct socket_options {
	int64_t keepalive;		/* 0 or 1 */
	int64_t keepalive_idle_ms;	/* 0: the system's; rounded up to seconds, as the next */
	int64_t keepalive_interval_ms;
	int64_t keepalive_count;	/* 0: the system's */
	int64_t tcp_user_timeout_ms;	/* 0: the system's */
	int64_t notsent_lowat;		/* bytes; 0: the system's */
	int64_t dscp;			/* 0 to 63; OPTION_AUTO: leave */
	char *bind_device;		/* of listening sockets: set by port.h; NULL: every one */
};

/*
 * All return NULL, or a sentence such as "keepalive_count: Invalid argument", valid until the
 * thread's next call; what could be set is set. Unix sockets have none of these options.
 */

/*
 * For a TCP socket that is about to be connected to a peer: no delay, keep-alive, user time-out,
 * unsent bytes, DSCP. A peer on a loopback address cannot vanish without a word and is sent no
 * keep-alive.
 */
const char *socket_options_set(int fd, const struct socket_options *options,
			       const struct sockaddr *peer);

/* For a UDP socket of a family that sends for the listener: the DSCP. */
const char *socket_options_set_udp(int fd, const struct socket_options *options, int family);

/* What a bound socket has been told, and what each option was before. All zero: nothing. */
enum { SOCKET_OPTION_COUNT = 9 };

struct socket_history {
	unsigned told;			/* a bit for each option */
	int before[SOCKET_OPTION_COUNT];
};

/*
 * For a bound socket of a kind and family, again and again: accepted sockets inherit what is set.
 * What the options do not say any more becomes what it was before it was first told.
 */
const char *socket_options_apply(int fd, enum address_kind kind, int family,
				 const struct socket_options *options,
				 struct socket_history *history);

#endif
