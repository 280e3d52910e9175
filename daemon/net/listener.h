/* listener.h - binds addresses to a factory: accepts connections, takes datagrams, within
 * limits. */
#ifndef TWINED_NET_LISTENER_H
#define TWINED_NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/option.h"
#include "net/address.h"
#include "net/socket_options.h"

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
	struct prefix_list accept_proxy;	/* empty: no PROXY header is read */
	int64_t idle_timeout_ms;		/* time-outs: 0 is off */
	int64_t write_timeout_ms;
	int64_t linger_timeout_ms;
	struct socket_options socket;
	int64_t socket_mode;
	int64_t socket_user, socket_group;	/* OPTION_AUTO: leave */
	struct rate udp_reply_rate;
	int64_t udp_amplify;			/* OPTION_AUTO, 0, 1 */
};

/* Their option table; fills a struct listener_settings. */
extern const struct option listener_options[];

struct connection_budget;
struct counters;
struct factory;
struct own_addresses;
struct port;
struct reactor;
struct resolver;

/* Bound sockets. */
struct port_list {
	struct port **items;
	size_t count;
};

/* What runs for one section of the configuration. All functions are for the control thread. */
struct listener;

/*
 * Makes a listener that is not bound yet; it takes over the reference to factory (also on failure),
 * and the settings live as long as that. predecessor, which may be NULL, is the listener of that
 * name that it is to replace: limits and counters go on from there. NULL with errno.
 */
struct listener *listener_new(const struct listener_settings *settings, struct factory *factory,
			      const struct listener *predecessor, struct connection_budget *budget,
			      unsigned reactor_count);

/*
 * Binds every address, or takes the port from those known that is not claimed: running already, or
 * passed. Nothing listens to it yet. Returns 0, or -1 and a sentence "tcp://127.0.0.1:80: bind:
 * Permission denied" in error.
 */
int listener_bind(struct listener *listener, const struct port_list *known, char *error,
		  size_t size);

/*
 * Makes all that listener_open needs, so that nothing is left that can fail: 0, or -1 with errno.
 */
int listener_prepare(struct listener *listener, struct reactor *const *reactors,
		     size_t reactor_count);

/*
 * Starts to accept and to read; own are the daemon's own datagram addresses. The predecessor must
 * be closed before.
 */
void listener_open(struct listener *listener, struct own_addresses *own, struct resolver *resolver);

/*
 * If a port of it, which is open, has replaced that one: takes what waits there to be accepted, and
 * gives it up. Whether it has.
 */
bool listener_take_over(const struct listener *listener, struct port *port);

/* Stops accepting and reading. Connections go on. */
void listener_close(struct listener *listener);

/* Closes, gives the ports up and frees. */
void listener_free(struct listener *listener);

void listener_set_own(struct listener *listener, struct own_addresses *own);

const char *listener_name(const struct listener *listener);
const struct protocol *listener_protocol(const struct listener *listener);
struct factory *listener_factory(const struct listener *listener);
const struct port_list *listener_ports(const struct listener *listener);

/* Has its protocol tell how it is doing, in lines for the log. */
void listener_report(const struct listener *listener, void (*line)(void *arg, const char *text),
		     void *arg);

/* Adds what it has counted on a reactor; in that reactor's thread. */
void listener_count(const struct listener *listener, unsigned reactor, struct counters *sum);

#endif
