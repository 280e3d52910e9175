/* acceptor.h - takes the connections of a listening port and gives them to the reactors in turn. */
#ifndef TWINED_NET_ACCEPTOR_H
#define TWINED_NET_ACCEPTOR_H

#include <stddef.h>

struct factory;
struct limits;
struct listener_settings;
struct port;
struct reactor;
struct tally;

/*
 * One reactor, the first of those given, accepts for all of them and hands each connection on to
 * the next: the spread is exact whatever the load, the limits are checked in one place, and bound,
 * passed and unix sockets work alike. Measured (tests/bench/accept.c) a shared descriptor cost as
 * much a connection and left a thread with 4 to 54 % of them; SO_REUSEPORT costs the same, but a
 * socket that systemd passes cannot be split, and a socket closed at a reload takes its backlog
 * with it. With one reactor there is no hand-off at all.
 */
struct acceptor;

/*
 * Makes an acceptor that does not accept yet. It takes references to factory, limits and tally; the
 * settings live as long as the factory; the port's descriptor stays open until acceptor_close.
 * NULL with errno.
 */
struct acceptor *acceptor_new(const struct port *port, const struct listener_settings *settings,
			      struct factory *factory, struct limits *limits, struct tally *tally,
			      struct reactor *const *reactors, size_t reactor_count);

/* Begins to accept. This and the following are for the control thread. */
void acceptor_open(struct acceptor *acceptor);

/* Accepts all that waits at another port, which its own has replaced, and gives that port up. */
void acceptor_take_over(struct acceptor *acceptor, struct port *port);

/*
 * Stops accepting and gives the acceptor up. Its connections go on and free what they share when
 * the last has gone; what had been accepted by now is among them.
 */
void acceptor_close(struct acceptor *acceptor);

#endif
