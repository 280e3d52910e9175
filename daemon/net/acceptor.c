/* acceptor.c - takes the connections of a listening port and gives them to the reactors in turn. */
#include "net/acceptor.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/limits.h"
#include "net/listener.h"
#include "net/port.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/transport.h"

enum {
	ACCEPTS_A_TURN = 16,	/* more is not cheaper; fewer is fairer to the connections there are */
	RETRY_MS = 80,		/* while places or descriptors are short: with a tick, under 200 ms */
};

/* What an acceptor has on one reactor: its connections there, and what they need. */
struct branch {
	struct endpoint endpoint;	/* first */
	struct limits *limits;
	struct tally *tally;
	struct acceptor *acceptor;	/* NULL once closed; looked at on the acceptor's reactor only */
	bool counts_peers;
	bool closed;
	char name[];
};

struct acceptor {
	struct reactor *reactor;
	const struct listener_settings *settings;
	struct limits *limits;
	struct counters *counters;
	struct event event;
	int fd;
	bool watching;
	bool full;			/* paused because every place is taken */
	struct deadline retry;
	size_t next;
	size_t branch_count;
	struct branch *branches[];
};

/* A connection on its way to another reactor. */
struct handed {
	struct branch *branch;
	int fd;
	union peer_address peer;
};

static void acceptor_ready(evutil_socket_t fd, short what, void *arg);

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

	if (!branch->closed)
		return;
	endpoint_leave(endpoint);
	branch_free(branch);
}

static void
branch_transport_gone(struct endpoint *endpoint, const struct transport *transport)
{
	struct branch *branch = (struct branch *)endpoint;
	struct acceptor *acceptor = branch->acceptor;

	limits_leave_place(branch->limits);
	if (branch->counts_peers)
		limits_uncount_peer(branch->limits, transport_peer(transport));
	/* On the acceptor's own reactor the place can be taken at once; others are found by its retry. */
	if (acceptor != NULL && acceptor->reactor == endpoint->reactor && acceptor->full)
		reactor_set_deadline(acceptor->reactor, &acceptor->retry, reactor_now_ms());
}

static struct branch *
branch_new(const struct port *port, const struct listener_settings *settings, struct factory *factory,
	   struct limits *limits, struct tally *tally, struct reactor *reactor)
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
	branch->limits = limits_ref(limits);
	branch->tally = tally_ref(tally);
	branch->counts_peers = settings->max_connections_per_ip != 0;
	return branch;
}

/* Stops accepting until the retry. */
static void
acceptor_pause(struct acceptor *acceptor, int64_t wait_ms)
{
	if (acceptor->watching)
		reactor_unwatch(&acceptor->event);
	acceptor->watching = false;
	reactor_set_deadline(acceptor->reactor, &acceptor->retry, reactor_now_ms() + (uint64_t)wait_ms);
}

/* Goes on accepting; without memory for that, later. */
static void
acceptor_retry(void *arg)
{
	struct acceptor *acceptor = arg;

	acceptor->full = false;
	if (!acceptor->watching
	    && reactor_watch(acceptor->reactor, &acceptor->event, acceptor->fd, EV_READ | EV_PERSIST,
			     acceptor_ready, acceptor)
		       == 0)
		acceptor->watching = true;
	if (!acceptor->watching)
		acceptor_pause(acceptor, RETRY_MS);
}

/* Says that something is short, at most once a second in the whole daemon. */
static void
log_short(const struct acceptor *acceptor, int error)
{
	static _Atomic uint64_t last_ms;
	uint64_t now_ms = reactor_now_ms(), last = atomic_load(&last_ms);

	if ((last == 0 || now_ms - last >= 1000) && atomic_compare_exchange_strong(&last_ms, &last, now_ms))
		log_error("%s: accept: %s, accepting pauses", acceptor->branches[0]->name,
			  strerror(error));
}

/* Turns a connection away before it has become one. */
static void
acceptor_refuse(struct acceptor *acceptor, int fd, const union peer_address *peer, enum reason reason)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };
	char text[ADDRESS_TEXT_MAX];

	if (reason != REASON_DENIED)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	close(fd);
	acceptor->counters->accepted++;
	acceptor->counters->closed[reason]++;
	log_info("%s: %s: refused: %s", acceptor->branches[0]->name,
		 peer_format(ADDRESS_TCP, peer, text), reason_word(reason));
}

static bool
acceptor_allows(const struct acceptor *acceptor, const union peer_address *peer)
{
	const struct listener_settings *settings = acceptor->settings;

	return !prefix_list_has(&settings->deny, peer)
	       && (settings->allow.count == 0 || prefix_list_has(&settings->allow, peer));
}

/* Makes a transport on the branch's reactor, in its thread. */
static void
branch_take(struct branch *branch, int fd, const union peer_address *peer)
{
	if (transport_new(&branch->endpoint, factory_protocol(branch->endpoint.factory), fd, peer) != NULL)
		return;
	branch->endpoint.counters->accepted++;
	branch->endpoint.counters->closed[REASON_NO_RESOURCES]++;
	limits_leave_place(branch->limits);
	if (branch->counts_peers)
		limits_uncount_peer(branch->limits, peer);
	if (branch->endpoint.transports == NULL)
		branch_all_gone(&branch->endpoint);
}

static void
handed_arrived(void *arg)
{
	struct handed *handed = arg;

	branch_take(handed->branch, handed->fd, &handed->peer);
	free(handed);
}

/* Gives a connection, whose place is taken, to the next reactor. */
static void
acceptor_hand_on(struct acceptor *acceptor, int fd, const union peer_address *peer)
{
	struct branch *branch = acceptor->branches[acceptor->next];
	struct handed *handed;

	acceptor->next = (acceptor->next + 1) % acceptor->branch_count;
	if (branch->endpoint.reactor == acceptor->reactor) {
		branch_take(branch, fd, peer);
		return;
	}
	handed = malloc(sizeof *handed);
	if (handed != NULL) {
		*handed = (struct handed){ .branch = branch, .fd = fd, .peer = *peer };
		if (reactor_call(branch->endpoint.reactor, handed_arrived, handed) == 0)
			return;
	}
	free(handed);
	branch_take(acceptor->branches[0], fd, peer);	/* no memory for the way: it stays here */
}

/* Whether the error is that there is none, or one connection's own (accept(2)), and not the socket's. */
static bool
accept_error_passes(int error)
{
	switch (error) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
		return true;
	default:
		return false;
	}
}

/*
 * Accepts one connection, which has a place unless it is to be refused as full. Returns false when
 * there is none to accept now.
 */
static bool
acceptor_accept_one(struct acceptor *acceptor, bool has_place)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof from;
	union peer_address peer = { 0 };
	enum reason refusal = REASON_COUNT;
	int fd = accept4(acceptor->fd, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && !accept_error_passes(errno)) {
		log_short(acceptor, errno);
		acceptor_pause(acceptor, RETRY_MS);
	}
	if (fd < 0) {
		limits_return_accept(acceptor->limits);
		if (has_place)
			limits_leave_place(acceptor->limits);
		return errno != EAGAIN && acceptor->watching;
	}
	if (from.ss_family == AF_INET || from.ss_family == AF_INET6)
		memcpy(&peer, &from, sizeof peer);
	address_unmap(&peer);
	if (!has_place)
		refusal = REASON_FULL;
	else if (!acceptor_allows(acceptor, &peer))
		refusal = REASON_DENIED;
	else if (acceptor->settings->max_connections_per_ip != 0
		 && limits_count_peer(acceptor->limits, &peer) != 0)
		refusal = REASON_FULL_FOR_IP;
	if (refusal == REASON_COUNT) {
		acceptor_hand_on(acceptor, fd, &peer);
		return true;
	}
	acceptor_refuse(acceptor, fd, &peer, refusal);
	if (has_place)
		limits_leave_place(acceptor->limits);
	return true;
}

static void
acceptor_ready(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *acceptor = arg;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		int64_t wait_ms = limits_take_accept(acceptor->limits, reactor_now_ms());
		bool has_place;

		if (wait_ms > 0) {
			acceptor_pause(acceptor, wait_ms);
			return;
		}
		has_place = limits_take_place(acceptor->limits) == 0;
		if (!has_place && acceptor->settings->on_full == ON_FULL_WAIT) {
			limits_return_accept(acceptor->limits);
			acceptor_pause(acceptor, RETRY_MS);
			acceptor->full = true;
			return;
		}
		if (!acceptor_accept_one(acceptor, has_place))
			return;
	}
}

struct acceptor *
acceptor_new(const struct port *port, const struct listener_settings *settings, struct factory *factory,
	     struct limits *limits, struct tally *tally, struct reactor *const *reactors,
	     size_t reactor_count)
{
	struct acceptor *acceptor =
		calloc(1, sizeof *acceptor + reactor_count * sizeof *acceptor->branches);

	if (acceptor == NULL)
		return NULL;
	acceptor->reactor = reactors[0];
	acceptor->settings = settings;
	acceptor->limits = limits;
	acceptor->counters = tally_counters(tally, reactor_index(reactors[0]));
	acceptor->fd = port->fd;
	acceptor->retry.fn = acceptor_retry;
	acceptor->retry.arg = acceptor;
	for (; acceptor->branch_count < reactor_count; acceptor->branch_count++) {
		struct branch *branch = branch_new(port, settings, factory, limits, tally,
						   reactors[acceptor->branch_count]);

		if (branch == NULL) {
			acceptor_close(acceptor);
			errno = ENOMEM;
			return NULL;
		}
		branch->acceptor = acceptor;
		acceptor->branches[acceptor->branch_count] = branch;
	}
	return acceptor;
}

static void
branch_enter(void *arg)
{
	endpoint_enter(arg);
}

void
acceptor_open(struct acceptor *acceptor)
{
	for (size_t i = 0; i < acceptor->branch_count; i++)
		reactor_call_wait(acceptor->branches[i]->endpoint.reactor, branch_enter,
				  acceptor->branches[i]);
	reactor_call_wait(acceptor->reactor, acceptor_retry, acceptor);
}

static void
acceptor_unwatch(void *arg)
{
	struct acceptor *acceptor = arg;

	if (acceptor->watching)
		reactor_unwatch(&acceptor->event);
	acceptor->watching = false;
	acceptor->full = false;		/* a connection that ends before its branch closes sets no retry */
	reactor_unset_deadline(acceptor->reactor, &acceptor->retry);
}

/* After every connection that was handed to it: calls keep their order. */
static void
branch_close(void *arg)
{
	struct branch *branch = arg;

	branch->acceptor = NULL;
	branch->closed = true;
	if (branch->endpoint.link == NULL)
		branch_free(branch);
	else if (branch->endpoint.transports == NULL)
		branch_all_gone(&branch->endpoint);
}

void
acceptor_close(struct acceptor *acceptor)
{
	if (acceptor == NULL)
		return;
	reactor_call_wait(acceptor->reactor, acceptor_unwatch, acceptor);
	for (size_t i = 0; i < acceptor->branch_count; i++)
		reactor_call_wait(acceptor->branches[i]->endpoint.reactor, branch_close,
				  acceptor->branches[i]);
	free(acceptor);
}
