/* connector.c - dials addresses until one answers (RFC 8305), and makes a transport of it. */
#include "net/connector.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/attempt.h"
#include "net/endpoint.h"
#include "net/reactor.h"
#include "net/transport.h"

enum { KNOCK_MS = 32 };		/* a tick */

#define NONE SIZE_MAX

/* An attempt that is under way. */
struct runner {
	struct runner *next;		/* begun after it */
	struct connector *connector;
	struct event event;		/* its socket; not watched while it knocks */
	size_t index;			/* of its address */
	uint64_t until_ms;		/* when it is given up; UINT64_MAX: never */
	bool knocks;
};

/*
 *   begin ──▶ one more runner ◀── CONNECTOR_DELAY_MS later, or when one has failed
 *                  ├── connects: the others are closed, connected
 *                  └── fails: the last one, and no address is left: failed
 */
struct connector {
	struct endpoint *endpoint;
	const struct protocol *protocol;
	struct dial dial;
	struct deadline deadline;	/* the first of all moments below and in runners */
	uint64_t next_ms;		/* when next is tried; UINT64_MAX: when a runner fails */
	size_t next;			/* its index, or NONE */
	size_t passed[2];		/* from dial.first on: of its family, of others */
	bool other;			/* whose turn it is */
	unsigned running;
	int error;			/* the most telling yet */
	struct runner *runners;
	struct runner first;		/* mostly the only one; in use if its connector is set */
};

static const struct sockaddr_any *
address_at(const struct connector *connector, size_t index)
{
	return &connector->dial.addresses[index];
}

/* Whether an address can be dialled from the source. */
static bool
fits_source(const struct dial *dial, const struct sockaddr_any *address)
{
	return dial->source == NULL || dial->source->sa.sa_family == AF_UNSPEC
	       || address->u.sa.sa_family == AF_UNIX
	       || address->u.sa.sa_family == dial->source->sa.sa_family;
}

/* Finds the next address (RFC 8305, 4): by turns of the first one's family and of another. */
static void
connector_find_next(struct connector *connector)
{
	const struct dial *dial = &connector->dial;
	int family = dial->addresses[dial->first].u.sa.sa_family;

	for (unsigned i = 0; i < 2; i++) {
		bool other = connector->other;
		size_t *passed = &connector->passed[other];

		connector->other = !other;
		while (*passed < dial->count) {
			size_t index = (dial->first + (*passed)++) % dial->count;
			const struct sockaddr_any *address = &dial->addresses[index];

			if ((address->u.sa.sa_family != family) == other
			    && fits_source(dial, address)) {
				connector->next = index;
				return;
			}
		}
	}
	connector->next = NONE;
}

/* A failure as it is logged, where it is no news at a lower level. */
static enum log_level
failure_level(const struct connector *connector)
{
	return connector->dial.quiet ? LEVEL_DEBUG : LEVEL_INFO;
}

static void
note_failure(struct connector *connector, size_t index, const char *step, int error)
{
	const struct sockaddr_any *address = address_at(connector, index);
	enum address_kind kind = address->u.sa.sa_family == AF_UNIX ? ADDRESS_UNIX : ADDRESS_TCP;
	char text[ADDRESS_TEXT_MAX];

	if (log_enabled(failure_level(connector)))
		log_line(failure_level(connector), "%s: upstream %s: %s%s",
			 connector->endpoint->name,
			 address_format(kind, &address->u.sa, address->length, text), step,
			 strerror(error));
	if (attempt_error_weight(error) > attempt_error_weight(connector->error))
		connector->error = error;
}

static void runner_ready(evutil_socket_t fd, short what, void *arg);

static int
runner_fd(const struct runner *runner)
{
	return event_get_fd(&runner->event);
}

/* Adds a runner for a socket that waits or knocks: 0, or -1 with ENOMEM. */
static int
runner_add(struct connector *connector, size_t index, int fd, bool knocks)
{
	struct reactor *reactor = connector->endpoint->reactor;
	struct runner *runner = connector->first.connector == NULL ? &connector->first
								   : calloc(1, sizeof *runner);
	struct runner **end = &connector->runners;

	if (runner == NULL)
		return -1;
	if (reactor_watch(reactor, &runner->event, fd, EV_WRITE | EV_PERSIST, runner_ready, runner)
	    != 0) {
		if (runner != &connector->first)
			free(runner);
		errno = ENOMEM;
		return -1;
	}
	if (knocks)
		reactor_unwatch(&runner->event);	/* it is writable, which says nothing */
	runner->next = NULL;
	runner->connector = connector;
	runner->index = index;
	runner->knocks = knocks;
	runner->until_ms = connector->dial.timeout_ms == 0
				   ? UINT64_MAX
				   : reactor_now_ms() + (uint64_t)connector->dial.timeout_ms;
	while (*end != NULL)
		end = &(*end)->next;
	*end = runner;
	connector->running++;
	return 0;
}

/* Takes a runner out, and frees it; its socket is the caller's. */
static void
runner_remove(struct runner *runner)
{
	struct connector *connector = runner->connector;
	struct runner **link = &connector->runners;

	while (*link != runner)
		link = &(*link)->next;
	*link = runner->next;
	connector->running--;
	if (!runner->knocks)
		reactor_unwatch(&runner->event);
	runner->connector = NULL;
	if (runner != &connector->first)
		free(runner);
}

/* Frees it with all that is under way. */
static void
connector_free(struct connector *connector)
{
	reactor_unset_deadline(connector->endpoint->reactor, &connector->deadline);
	while (connector->runners != NULL) {
		int fd = runner_fd(connector->runners);

		runner_remove(connector->runners);
		close(fd);
	}
	free(connector);
}

/* Hands the socket to a transport and ends the connector. */
static void
connector_succeed(struct connector *connector, size_t index, int fd)
{
	struct dial dial = connector->dial;
	const struct sockaddr_any *address = address_at(connector, index);
	struct endpoint *endpoint = connector->endpoint;
	const struct protocol *protocol = connector->protocol;
	union peer_address peer = { 0 };

	connector_free(connector);
	if (address->u.sa.sa_family != AF_UNIX)
		memcpy(&peer, &address->u, sizeof peer);
	dial.connected(dial.arg, transport_new(endpoint, protocol, fd, &peer), index);
}

static void
connector_fail(struct connector *connector, int error)
{
	struct dial dial = connector->dial;

	if (error == 0) {
		error = EAFNOSUPPORT;
		log_line(failure_level(connector),
			 "%s: no address of the upstream is of the family of bind",
			 connector->endpoint->name);
	}
	connector_free(connector);
	dial.failed(dial.arg, error);
}

/* Sets the deadline to the first moment at which there is something to do. */
static void
connector_arm(struct connector *connector)
{
	struct reactor *reactor = connector->endpoint->reactor;
	uint64_t at_ms = connector->next_ms;

	for (const struct runner *runner = connector->runners; runner; runner = runner->next) {
		if (runner->until_ms < at_ms)
			at_ms = runner->until_ms;
		if (runner->knocks && reactor_now_ms() + KNOCK_MS < at_ms)
			at_ms = reactor_now_ms() + KNOCK_MS;
	}
	if (at_ms != UINT64_MAX)
		reactor_set_deadline(reactor, &connector->deadline, at_ms);
	else
		reactor_unset_deadline(reactor, &connector->deadline);
}

/* Tries the next address: what came of it. It waits, too, if we lack something while others run. */
static enum attempt
connector_try_next(struct connector *connector)
{
	size_t index = connector->next;
	const char *step;
	int fd, error;
	enum attempt attempt = attempt_begin(address_at(connector, index), connector->dial.source,
					     connector->endpoint->socket, &fd, &step);

	if ((attempt == ATTEMPT_WAITS || attempt == ATTEMPT_KNOCKS)
	    && runner_add(connector, index, fd, attempt == ATTEMPT_KNOCKS) < 0) {
		close(fd);
		errno = ENOMEM;
		attempt = ATTEMPT_FAILED;
	}
	error = errno;
	if (attempt == ATTEMPT_FAILED && attempt_is_short(error) && connector->running > 0)
		return ATTEMPT_WAITS;		/* one of them may leave what it takes */
	connector_find_next(connector);
	if (attempt == ATTEMPT_CONNECTED) {
		connector_succeed(connector, index, fd);
	} else if (attempt == ATTEMPT_FAILED) {
		note_failure(connector, index, step, error);
		errno = error;
	}
	return attempt;
}

/* Goes on until an attempt is under way: false when it is over, and the connector gone. */
static bool
connector_advance(struct connector *connector)
{
	while (connector->next != NONE && connector->running < CONNECTOR_ATTEMPTS) {
		switch (connector_try_next(connector)) {
		case ATTEMPT_CONNECTED:
			return false;
		case ATTEMPT_FAILED:
			if (attempt_is_short(errno)) {
				connector_fail(connector, errno);
				return false;
			}
			continue;
		default:
			break;
		}
		break;
	}
	if (connector->running == 0) {
		connector_fail(connector, connector->error);
		return false;
	}
	connector->next_ms = connector->next != NONE && connector->running < CONNECTOR_ATTEMPTS
				     ? reactor_now_ms() + CONNECTOR_DELAY_MS
				     : UINT64_MAX;
	connector_arm(connector);
	return true;
}

/* A runner has failed, and is gone. */
static void
runner_lose(struct runner *runner, int error)
{
	struct connector *connector = runner->connector;
	size_t index = runner->index;
	int fd = runner_fd(runner);

	runner_remove(runner);
	close(fd);
	note_failure(connector, index, "", error);
}

/* A runner has connected: everything is gone but its socket. */
static void
runner_win(struct runner *runner)
{
	struct connector *connector = runner->connector;
	size_t index = runner->index;
	int fd = runner_fd(runner);

	runner_remove(runner);
	connector_succeed(connector, index, fd);
}

static void
runner_ready(evutil_socket_t fd, short what, void *arg)
{
	struct runner *runner = arg;
	struct connector *connector = runner->connector;

	(void)what;
	if (attempt_finish(address_at(connector, runner->index), fd) == ATTEMPT_CONNECTED) {
		runner_win(runner);
	} else {
		runner_lose(runner, errno);
		connector_advance(connector);
	}
}

/* A moment has come: runners knock or are given up, the next address is tried. */
static void
connector_due(void *arg)
{
	struct connector *connector = arg;
	uint64_t now_ms = reactor_now_ms();
	bool lost = false;

	for (struct runner *runner = connector->runners, *next; runner != NULL; runner = next) {
		enum attempt attempt = ATTEMPT_WAITS;

		next = runner->next;
		if (runner->knocks)
			attempt = attempt_again(address_at(connector, runner->index),
						runner_fd(runner));
		if (attempt == ATTEMPT_CONNECTED) {
			runner_win(runner);
			return;
		}
		if (attempt == ATTEMPT_FAILED || runner->until_ms <= now_ms) {
			runner_lose(runner, attempt == ATTEMPT_FAILED ? errno : ETIMEDOUT);
			lost = true;
		}
	}
	if (lost || connector->next_ms <= now_ms)
		connector_advance(connector);
	else
		connector_arm(connector);
}

struct connector *
connector_dial(struct endpoint *endpoint, const struct protocol *protocol, const struct dial *dial)
{
	struct connector *connector = calloc(1, sizeof *connector);

	if (connector == NULL) {
		dial->failed(dial->arg, ENOMEM);
		return NULL;
	}
	connector->endpoint = endpoint;
	connector->protocol = protocol;
	connector->dial = *dial;
	connector->deadline.fn = connector_due;
	connector->deadline.arg = connector;
	connector_find_next(connector);
	return connector_advance(connector) ? connector : NULL;
}

void
connector_cancel(struct connector *connector)
{
	if (connector != NULL)
		connector_free(connector);
}
