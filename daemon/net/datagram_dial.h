/* datagram_dial.h - a connected datagram socket of one's own, to ask a server something. */
#ifndef TWINED_NET_DATAGRAM_DIAL_H
#define TWINED_NET_DATAGRAM_DIAL_H

#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

struct datagram_dial;
struct reactor;

/* Whom to tell of what comes; either may free the socket. */
struct datagram_dial_calls {
	/* A datagram has come from where it is connected, and from nowhere else. */
	void (*received)(void *arg, const uint8_t *bytes, size_t length);
	/* An error, as ECONNREFUSED when nobody is there. The socket goes on. */
	void (*failed)(void *arg, int error);
};

/*
 * Connects a socket from the source, which may be NULL or of family 0 for any, and sends one
 * datagram. In the reactor's thread, as all here; calls live as long as it. NULL with errno.
 */
struct datagram_dial *datagram_dial_new(struct reactor *reactor, const struct sockaddr_any *to,
					const union peer_address *source, const void *bytes,
					size_t length, const struct datagram_dial_calls *calls,
					void *arg);

/* Neither is called any more. NULL is fine. */
void datagram_dial_free(struct datagram_dial *dial);

#endif
