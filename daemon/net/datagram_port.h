/* datagram_port.h - takes the datagrams of a bound socket on one reactor, and sends replies. */
#ifndef TWINED_NET_DATAGRAM_PORT_H
#define TWINED_NET_DATAGRAM_PORT_H

#include <stdbool.h>
#include <stddef.h>

#include "net/address.h"

struct factory;
struct limits;
struct listener_settings;
struct port;
struct reactor;
struct tally;
struct datagram_port;

/*
 * Every datagram address the daemon itself is bound to, so that it never answers itself. Immutable;
 * references are counted, from any thread.
 */
struct own_addresses;

/* Of the bound sockets given. NULL with errno. */
struct own_addresses *own_addresses_new(const struct port *const *ports, size_t count);
struct own_addresses *own_addresses_ref(struct own_addresses *own);
void own_addresses_unref(struct own_addresses *own);
bool own_addresses_have(const struct own_addresses *own, const struct sockaddr_any *address);

/*
 * Makes a datagram port that does not read yet; as acceptor_new of acceptor.h, and it holds the
 * port. These are for the control thread.
 */
struct datagram_port *datagram_port_new(struct port *port, const struct listener_settings *settings,
					struct factory *factory, struct limits *limits,
					struct tally *tally, struct reactor *reactor);

/* Begins to read. */
void datagram_port_open(struct datagram_port *port, struct own_addresses *own);

/* Has it use a new set of our own addresses. */
void datagram_port_set_own(struct datagram_port *port, struct own_addresses *own);

/*
 * Stops reading and gives the port up. Its flows (datagram_flow.h) still answer their clients, from
 * its socket, until they end; then it is freed.
 */
void datagram_port_close(struct datagram_port *port);

#endif
