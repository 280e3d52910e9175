/* branch.c - what an acceptor has on one reactor: makes transports of the connections it is
 * given. */
#include "net/branch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/arrival.h"
#include "net/factory.h"
#include "net/limits.h"
#include "net/listener.h"
#include "net/port.h"
#include "net/proxy_header.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/transport.h"

static void
branch_free(struct branch *branch)
{
	limits_unref(branch->limits);
	tally_unref(branch->tally);
	factory_unref(branch->endpoint.factory);
	free(branch);
}

static void
branch_all_gone(struct endpoint *endpoint)
{
	struct branch *branch = (struct branch *)endpoint;

	if (!branch->closed || endpoint->transports != NULL || endpoint->arrivals != NULL)
		return;
	endpoint_leave(endpoint);
	branch_free(branch);
}

/* Counts a peer, unless it has all that it may have. */
static bool
branch_count_peer(struct branch *branch, const union peer_address *peer)
{
	return branch->settings->max_connections_per_ip == 0
	       || limits_count_peer(branch->limits, peer) == 0;
}

/* A connection has gone: its place is free. */
static void
branch_leave_place(struct branch *branch)
{
	limits_leave_place(branch->limits);
	if (branch->place_left != NULL)
		branch->place_left(branch->place_left_arg);
}

static void
branch_transport_gone(struct endpoint *endpoint, const struct transport *transport)
{
	struct branch *branch = (struct branch *)endpoint;

	if (branch->settings->max_connections_per_ip != 0)
		limits_uncount_peer(branch->limits, transport_peer(transport));
	branch_leave_place(branch);
}

struct branch *
branch_new(const struct port *port, const struct listener_settings *settings,
	   struct factory *factory, struct limits *limits, struct tally *tally,
	   struct reactor *reactor)
{
	const char *listener = factory_name(factory);
	size_t size = strlen(listener) + 1 + strlen(port->text) + 1;
	struct branch *branch = calloc(1, sizeof *branch + size);

	if (branch == NULL)
		return NULL;
	snprintf(branch->name, size, "%s %s", listener, port->text);
	branch->endpoint = (struct endpoint){
		.reactor = reactor,
		.factory = factory_ref(factory),
		.name = branch->name,
		.kind = port->kind,
		.idle_timeout_ms = settings->idle_timeout_ms,
		.write_timeout_ms = settings->write_timeout_ms,
		.linger_timeout_ms = settings->linger_timeout_ms,
		.socket = &settings->socket,
		.counters = tally_counters(tally, reactor_index(reactor)),
		.transport_gone = branch_transport_gone,
		.all_gone = branch_all_gone,
	};
	branch->settings = settings;
	branch->limits = limits_ref(limits);
	branch->tally = tally_ref(tally);
	return branch;
}

void
branch_close(struct branch *branch)
{
	branch->place_left = NULL;
	branch->closed = true;
	if (branch->endpoint.link == NULL)
		branch_free(branch);
	else
		branch_all_gone(&branch->endpoint);
}

void
branch_refuse(struct branch *branch, int fd, const union peer_address *peer, enum reason reason,
	      const char *why)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	char text[ADDRESS_TEXT_MAX];

	if (reason != REASON_DENIED && reason != REASON_PEER_CLOSED)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(fd);
	branch->endpoint.counters->accepted++;
	branch->endpoint.counters->closed[reason]++;
	log_info("%s: %s: refused: %s%s%s", branch->name, peer_format(ADDRESS_TCP, peer, text),
		 reason_word(reason), why != NULL ? ": " : "", why != NULL ? why : "");
}

/* Whether the client, who it is being known, may have a connection: REASON_COUNT, or why not. */
static enum reason
branch_check(struct branch *branch, const union peer_address *peer)
{
	const struct listener_settings *settings = branch->settings;

	if (prefix_list_has(&settings->deny, peer)
	    || (settings->allow.count != 0 && !prefix_list_has(&settings->allow, peer)))
		return REASON_DENIED;
	return branch_count_peer(branch, peer) ? REASON_COUNT : REASON_FULL_FOR_IP;
}

enum reason
branch_admit(struct branch *branch, const union peer_address *peer)
{
	const struct prefix_list *proxies = &branch->settings->accept_proxy;

	if (proxies->count == 0)
		return branch_check(branch, peer);
	return prefix_list_has(proxies, peer) ? REASON_COUNT : REASON_DENIED;
}

/*
 * Makes a transport of a connection that is checked and counted. local: see transport_new_carried.
 */
static void
branch_connect(struct branch *branch, int fd, const union peer_address *peer,
	       const union peer_address *local)
{
	struct endpoint *endpoint = &branch->endpoint;

	if (transport_new_carried(endpoint, factory_protocol(endpoint->factory), fd, peer, local)
	    != NULL)
		return;
	endpoint->counters->accepted++;
	endpoint->counters->closed[REASON_NO_RESOURCES]++;
	if (branch->settings->max_connections_per_ip != 0)
		limits_uncount_peer(branch->limits, peer);
	branch_leave_place(branch);
}

static void
log_carried(const struct branch *branch, const union peer_address *proxy,
	    const struct proxy_header *header)
{
	char peer[ADDRESS_TEXT_MAX], source[ADDRESS_TEXT_MAX], destination[ADDRESS_TEXT_MAX];

	log_debug("%s: %s: PROXY header: from %s to %s", branch->name,
		  peer_format(ADDRESS_TCP, proxy, peer),
		  peer_format(ADDRESS_TCP, &header->source, source),
		  peer_format(ADDRESS_TCP, &header->destination, destination));
}

/* A connection has sent its PROXY header, or will not. */
static void
branch_arrived(struct endpoint *endpoint, int fd, const union peer_address *proxy,
	       enum reason refusal, const struct proxy_header *header)
{
	struct branch *branch = (struct branch *)endpoint;
	const union peer_address *peer = proxy, *local = NULL;

	if (refusal == REASON_COUNT && header->carried) {
		log_carried(branch, proxy, header);
		peer = &header->source;
		local = &header->destination;
	}
	if (refusal == REASON_COUNT)
		refusal = branch_check(branch, peer);
	if (refusal == REASON_COUNT) {
		branch_connect(branch, fd, peer, local);
		return;
	}
	branch_refuse(branch, fd, peer, refusal, header->wrong);
	branch_leave_place(branch);
}

void
branch_take(struct branch *branch, int fd, const union peer_address *peer)
{
	if (branch->settings->accept_proxy.count != 0)
		arrival_begin(&branch->endpoint, fd, peer, branch_arrived);
	else
		branch_connect(branch, fd, peer, NULL);
}
