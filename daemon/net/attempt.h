/* attempt.h - one attempt at an address that is dialled: a stream socket on its way to one address. */
#ifndef TWINED_NET_ATTEMPT_H
#define TWINED_NET_ATTEMPT_H

#include <stdbool.h>

#include "net/address.h"

struct socket_options;

enum attempt {
	ATTEMPT_CONNECTED,
	ATTEMPT_WAITS,		/* until the socket can be written to: attempt_finish */
	ATTEMPT_KNOCKS,		/* a unix server's backlog is full: attempt_again, in a moment */
	ATTEMPT_FAILED,		/* errno says why */
};

/*
 * Makes a socket and begins to connect it. source, interface and options may be NULL. When that
 * fails, no socket is left, and *step is what has failed: "", "bind: " or "bind_device: ".
 */
enum attempt attempt_begin(const struct sockaddr_any *address, const union peer_address *source,
			   const char *interface, const struct socket_options *options, int *fd,
			   const char **step);

/* Goes on with one that knocks: any of the four. The socket stays the caller's. */
enum attempt attempt_again(const struct sockaddr_any *address, int fd);

/* Ends one that has waited: it is connected or has failed. The socket stays the caller's. */
enum attempt attempt_finish(const struct sockaddr_any *address, int fd);

/*
 * What an error says of the other end: 1 nothing, 2 that it is silent, 3 that it refuses. 0: none.
 */
unsigned attempt_error_weight(int error);

/* Whether an error is that we lack what an attempt takes, to whichever address. */
bool attempt_is_short(int error);

#endif
