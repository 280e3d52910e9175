/* connector.h - what runs for a [connector:NAME]: dials its addresses, again and again. */
#ifndef TWINED_NET_CONNECTOR_H
#define TWINED_NET_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/option.h"
#include "net/address.h"
#include "net/socket_options.h"
#include "net/tally.h"

struct factory;
struct protocol;
struct reactor;
struct resolver;

/* The keys of twined.ini(5) that every connector has. */
struct connector_settings {
	struct address_list connect;
	const struct protocol *protocol;
	int64_t enabled;
	union peer_address bind;		/* family 0: any */
	int64_t connect_timeout_ms;		/* time-outs: 0 is off */
	int64_t reconnect_min_ms, reconnect_max_ms;
	struct byte_text preamble;
	int64_t silence_timeout_ms;
	int64_t baud;				/* 0: as it is */
	int64_t idle_timeout_ms;
	int64_t write_timeout_ms;
	int64_t linger_timeout_ms;
	struct socket_options socket;
};

/* Their option table; fills a struct connector_settings. */
extern const struct option connector_options[];

/* What runs for one section of the configuration. All functions are for the control thread. */
struct connector;

/*
 * Makes a connector that does not dial yet; it takes over the reference to factory (also on
 * failure), and the settings live as long as that. predecessor, which may be NULL, is the connector
 * of that name that it is to replace: counters, and the place in a file, go on from there; it is
 * closed before this one opens. NULL with errno.
 */
struct connector *connector_new(const struct connector_settings *settings, struct factory *factory,
				const struct connector *predecessor, unsigned reactor_count);

/*
 * Begins to dial, on that one of the reactors where what its protocol shares lives. They, and the
 * resolver, live on.
 */
void connector_open(struct connector *connector, struct reactor *const *reactors,
		    size_t reactor_count, struct resolver *resolver);

/* Dials no more. A connection that there is ends in order, when all that it owes has been sent. */
void connector_close(struct connector *connector);

/* Likewise while the daemon stops, which ends connections in its own way. */
void connector_stop(struct connector *connector);

/* Closes and frees. NULL is fine. */
void connector_free(struct connector *connector);

const char *connector_name(const struct connector *connector);
const struct protocol *connector_protocol(const struct connector *connector);

/* How an open one is doing. */
struct connector_state {
	bool connected;
	char text[400];			/* "connected to tcp://127.0.0.1:7007 for 12.5 s" */
	struct counters counters;
};
void connector_look(const struct connector *connector, struct connector_state *state);

/* Has its protocol tell how it is doing, in lines for the log. */
void connector_report(const struct connector *connector, void (*line)(void *arg, const char *text),
		      void *arg);

#endif
