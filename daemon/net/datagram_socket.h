/* datagram_socket.h - makes a datagram socket that is connected to where it sends. */
#ifndef TWINED_NET_DATAGRAM_SOCKET_H
#define TWINED_NET_DATAGRAM_SOCKET_H

#include "net/address.h"

struct socket_options;

/*
 * Connects a socket, from the source, which may be NULL or of family 0 for any. A unix socket is
 * given a name, so that it can be answered. interface, of IP addresses, and options may be NULL.
 * Returns the descriptor, or -1 with errno: of connect(2), where EAGAIN says that no local port is
 * left, and EADDRINUSE says it of the source.
 */
int datagram_socket_connect(const struct sockaddr_any *to, const union peer_address *source,
			    const char *interface, const struct socket_options *options);

#endif
