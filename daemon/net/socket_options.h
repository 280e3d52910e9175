/* socket_options.h - what a listener's keys say about its sockets: those accepted, and those dialled for them. */
#ifndef TWINED_NET_SOCKET_OPTIONS_H
#define TWINED_NET_SOCKET_OPTIONS_H

#include <stdint.h>

struct sockaddr;

/* Part of struct listener_settings, filled by its option table. All zero but dscp: the system's defaults. */
struct socket_options {
	int64_t keepalive;		/* 0 or 1 */
	int64_t keepalive_idle_ms;	/* 0: the system's; rounded up to seconds, as the next */
	int64_t keepalive_interval_ms;
	int64_t keepalive_count;	/* 0: the system's */
	int64_t tcp_user_timeout_ms;	/* 0: the system's */
	int64_t dscp;			/* OPTION_AUTO: leave */
	char *bind_device;		/* listening and datagram sockets only; NULL: every one */
};

/*
 * Sets on a TCP socket what its accepted sockets inherit, too: no delay, keep-alive, user time-out, DSCP; on
 * a UDP socket the DSCP. Unix sockets have none of it. peer: to which it is dialled, NULL for a socket
 * that is bound; a peer on a loopback address cannot vanish without a word and is sent no keep-alive.
 * Returns NULL, or a sentence such as "TCP_KEEPCNT: Invalid argument", valid until the thread's next call.
 */
const char *socket_options_set(int fd, const struct socket_options *options, const struct sockaddr *peer);

#endif
