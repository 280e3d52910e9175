/* acceptor.c - takes the connections of a listening port and gives them to the reactors in turn. */
#include "net/acceptor.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/branch.h"
#include "net/limits.h"
#include "net/listener.h"
#include "net/port.h"
#include "net/reactor.h"

enum {
	/* more is not cheaper; fewer is fairer to the connections there are */
	ACCEPTS_A_TURN = 16,
	TAKEN_OVER_MAX = 1 << 16,	/* more than a backlog holds (net.core.somaxconn) */
	/* while places or descriptors are short: with a tick, under 200 ms */
	RETRY_MS = 80,
};

struct acceptor {
	struct reactor *reactor;
	struct limits *limits;
	struct event event;
	int fd;
	bool watching;
	bool full;			/* paused because every place is taken */
	bool resets_when_full;
	struct deadline retry;
	size_t next;
	size_t branch_count;
	struct branch *branches[];	/* the first one on its own reactor */
};

/* A connection on its way to another reactor. */
struct handed {
	struct branch *branch;
	int fd;
	union peer_address peer;
};

static void acceptor_ready(evutil_socket_t fd, short what, void *arg);

/* Stops accepting until the retry. */
static void
acceptor_pause(struct acceptor *acceptor, int64_t wait_ms)
{
	if (acceptor->watching)
		reactor_unwatch(&acceptor->event);
	acceptor->watching = false;
	reactor_set_deadline(acceptor->reactor, &acceptor->retry,
			     reactor_now_ms() + (uint64_t)wait_ms);
}

/* Goes on accepting; without memory for that, later. */
static void
acceptor_retry(void *arg)
{
	struct acceptor *acceptor = arg;

	acceptor->full = false;
	if (!acceptor->watching
	    && reactor_watch(acceptor->reactor, &acceptor->event, acceptor->fd,
			     EV_READ | EV_PERSIST, acceptor_ready, acceptor)
		       == 0)
		acceptor->watching = true;
	if (!acceptor->watching)
		acceptor_pause(acceptor, RETRY_MS);
}

/* A place is free, and is taken at once; those left on other reactors are found by the retry. */
static void
acceptor_place_left(void *arg)
{
	struct acceptor *acceptor = arg;

	if (acceptor->full)
		reactor_set_deadline(acceptor->reactor, &acceptor->retry, reactor_now_ms());
}

/* Says that something is short, at most once a second in the whole daemon. */
static void
log_short(const struct acceptor *acceptor, int error)
{
	static _Atomic uint64_t last_ms;
	uint64_t now_ms = reactor_now_ms(), last = atomic_load(&last_ms);

	if ((last == 0 || now_ms - last >= 1000)
	    && atomic_compare_exchange_strong(&last_ms, &last, now_ms))
		log_error("%s: accept: %s, accepting pauses", acceptor->branches[0]->name,
			  strerror(error));
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

/*
 * Whether the error is that there is none, or one connection's own (accept(2)), and not the
 * socket's.
 */
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
acceptor_accept_one(struct acceptor *acceptor, int from_fd, bool has_place)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof from;
	union peer_address peer = { 0 };
	enum reason refusal;
	int fd = accept4(from_fd, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

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
	refusal = has_place ? branch_admit(acceptor->branches[0], &peer) : REASON_FULL;
	if (refusal == REASON_COUNT) {
		acceptor_hand_on(acceptor, fd, &peer);
		return true;
	}
	branch_refuse(acceptor->branches[0], fd, &peer, refusal, NULL);
	if (has_place)
		limits_leave_place(acceptor->limits);
	return true;
}

static void
acceptor_ready(evutil_socket_t fd, short what, void *arg)
{
	struct acceptor *acceptor = arg;

	(void)what;
	for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
		int64_t wait_ms = limits_take_accept(acceptor->limits, reactor_now_ms());
		bool has_place;

		if (wait_ms > 0) {
			acceptor_pause(acceptor, wait_ms);
			return;
		}
		has_place = limits_take_place(acceptor->limits) == 0;
		if (!has_place && !acceptor->resets_when_full) {
			limits_return_accept(acceptor->limits);
			acceptor_pause(acceptor, RETRY_MS);
			acceptor->full = true;
			return;
		}
		if (!acceptor_accept_one(acceptor, fd, has_place))
			return;
	}
}

struct acceptor *
acceptor_new(const struct port *port, const struct listener_settings *settings,
	     struct factory *factory, struct limits *limits, struct tally *tally,
	     struct reactor *const *reactors, size_t reactor_count)
{
	struct acceptor *acceptor =
		calloc(1, sizeof *acceptor + reactor_count * sizeof *acceptor->branches);

	if (acceptor == NULL)
		return NULL;
	acceptor->reactor = reactors[0];
	acceptor->limits = limits;
	acceptor->resets_when_full = settings->on_full == ON_FULL_RESET;
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
		acceptor->branches[acceptor->branch_count] = branch;
	}
	acceptor->branches[0]->place_left = acceptor_place_left;
	acceptor->branches[0]->place_left_arg = acceptor;
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

/* An acceptor, and the port that its own has replaced. */
struct take_over {
	struct acceptor *acceptor;
	struct port *port;
};

static void
take_over_call(void *arg)
{
	struct take_over *call = arg;
	struct acceptor *acceptor = call->acceptor;

	port_refuse(call->port);
	/*
	 * Nothing there can wait any longer: who has no place is refused, and accept_rate has to
	 * wait.
	 */
	for (unsigned i = 0; i < TAKEN_OVER_MAX; i++) {
		bool has_place = limits_take_place(acceptor->limits) == 0;

		limits_take_accept(acceptor->limits, reactor_now_ms());
		if (!acceptor_accept_one(acceptor, call->port->fd, has_place))
			break;
	}
	port_give_up(call->port);
}

void
acceptor_take_over(struct acceptor *acceptor, struct port *port)
{
	struct take_over call = { .acceptor = acceptor, .port = port };

	reactor_call_wait(acceptor->reactor, take_over_call, &call);
}

static void
acceptor_unwatch(void *arg)
{
	struct acceptor *acceptor = arg;

	if (acceptor->watching)
		reactor_unwatch(&acceptor->event);
	acceptor->watching = false;
	/* a connection that ends before its branch closes sets no retry */
	acceptor->full = false;
	reactor_unset_deadline(acceptor->reactor, &acceptor->retry);
}

/* After every connection that was handed to it: calls keep their order. */
static void
branch_close_call(void *arg)
{
	branch_close(arg);
}

void
acceptor_close(struct acceptor *acceptor)
{
	if (acceptor == NULL)
		return;
	reactor_call_wait(acceptor->reactor, acceptor_unwatch, acceptor);
	for (size_t i = 0; i < acceptor->branch_count; i++)
		reactor_call_wait(acceptor->branches[i]->endpoint.reactor, branch_close_call,
				  acceptor->branches[i]);
	free(acceptor);
}
