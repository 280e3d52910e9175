/* dialling.c - dials addresses until one answers (RFC 8305), and makes a transport of it. */
#include "net/dialling.h"

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
	struct dialling *dialling;
	struct event event;		/* its socket; not watched while it knocks */
	size_t index;			/* of its address */
	uint64_t until_ms;		/* when it is given up; UINT64_MAX: never */
	bool knocks;
};

/*
 *   begin ──▶ one more runner ◀── DIALLING_DELAY_MS later, or when one has failed
 *                  ├── connects: the others are closed, connected
 *                  └── fails: the last one, and no address is left: failed
 */
struct dialling {
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
	struct runner first;		/* mostly the only one; in use if its dialling is set */
};

static const struct sockaddr_any *
address_at(const struct dialling *dialling, size_t index)
{
	return &dialling->dial.addresses[index];
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
dialling_find_next(struct dialling *dialling)
{
	const struct dial *dial = &dialling->dial;
	int family = dial->addresses[dial->first].u.sa.sa_family;

	for (unsigned i = 0; i < 2; i++) {
		bool other = dialling->other;
		size_t *passed = &dialling->passed[other];

		dialling->other = !other;
		while (*passed < dial->count) {
			size_t index = (dial->first + (*passed)++) % dial->count;
			const struct sockaddr_any *address = &dial->addresses[index];

			if ((address->u.sa.sa_family != family) == other
			    && fits_source(dial, address)) {
				dialling->next = index;
				return;
			}
		}
	}
	dialling->next = NONE;
}

/* A failure as it is logged, where it is no news at a lower level. */
static enum log_level
failure_level(const struct dialling *dialling)
{
	return dialling->dial.quiet ? LEVEL_DEBUG : LEVEL_INFO;
}

static void
note_failure(struct dialling *dialling, size_t index, const char *step, int error)
{
	const struct sockaddr_any *address = address_at(dialling, index);
	enum address_kind kind = address->u.sa.sa_family == AF_UNIX ? ADDRESS_UNIX : ADDRESS_TCP;
	char text[ADDRESS_TEXT_MAX];

	if (log_enabled(failure_level(dialling)))
		log_line(failure_level(dialling), "%s: upstream %s: %s%s",
			 dialling->endpoint->name,
			 address_format(kind, &address->u.sa, address->length, text), step,
			 strerror(error));
	if (attempt_error_weight(error) > attempt_error_weight(dialling->error))
		dialling->error = error;
}

static void runner_ready(evutil_socket_t fd, short what, void *arg);

static int
runner_fd(const struct runner *runner)
{
	return event_get_fd(&runner->event);
}

/* Adds a runner for a socket that waits or knocks: 0, or -1 with ENOMEM. */
static int
runner_add(struct dialling *dialling, size_t index, int fd, bool knocks)
{
	struct reactor *reactor = dialling->endpoint->reactor;
	struct runner *runner = dialling->first.dialling == NULL ? &dialling->first
								   : calloc(1, sizeof *runner);
	struct runner **end = &dialling->runners;

	if (runner == NULL)
		return -1;
	if (reactor_watch(reactor, &runner->event, fd, EV_WRITE | EV_PERSIST, runner_ready, runner)
	    != 0) {
		if (runner != &dialling->first)
			free(runner);
		errno = ENOMEM;
		return -1;
	}
	if (knocks)
		reactor_unwatch(&runner->event);	/* it is writable, which says nothing */
	runner->next = NULL;
	runner->dialling = dialling;
	runner->index = index;
	runner->knocks = knocks;
	runner->until_ms = dialling->dial.timeout_ms == 0
				   ? UINT64_MAX
				   : reactor_now_ms() + (uint64_t)dialling->dial.timeout_ms;
	while (*end != NULL)
		end = &(*end)->next;
	*end = runner;
	dialling->running++;
	return 0;
}

/* Takes a runner out, and frees it; its socket is the caller's. */
static void
runner_remove(struct runner *runner)
{
	struct dialling *dialling = runner->dialling;
	struct runner **link = &dialling->runners;

	while (*link != runner)
		link = &(*link)->next;
	*link = runner->next;
	dialling->running--;
	if (!runner->knocks)
		reactor_unwatch(&runner->event);
	runner->dialling = NULL;
	if (runner != &dialling->first)
		free(runner);
}

/* Frees it with all that is under way. */
static void
dialling_free(struct dialling *dialling)
{
	reactor_unset_deadline(dialling->endpoint->reactor, &dialling->deadline);
	while (dialling->runners != NULL) {
		int fd = runner_fd(dialling->runners);

		runner_remove(dialling->runners);
		close(fd);
	}
	free(dialling);
}

/* Hands the socket to a transport and ends the dialling. */
static void
dialling_succeed(struct dialling *dialling, size_t index, int fd)
{
	struct dial dial = dialling->dial;
	const struct sockaddr_any *address = address_at(dialling, index);
	struct endpoint *endpoint = dialling->endpoint;
	const struct protocol *protocol = dialling->protocol;
	union peer_address peer = { 0 };

	dialling_free(dialling);
	if (address->u.sa.sa_family != AF_UNIX)
		memcpy(&peer, &address->u, sizeof peer);
	dial.connected(dial.arg, transport_new(endpoint, protocol, fd, &peer), index);
}

static void
dialling_fail(struct dialling *dialling, int error)
{
	struct dial dial = dialling->dial;

	if (error == 0) {
		error = EAFNOSUPPORT;
		log_line(failure_level(dialling),
			 "%s: no address of the upstream is of the family of bind",
			 dialling->endpoint->name);
	}
	dialling_free(dialling);
	dial.failed(dial.arg, error);
}

/* Sets the deadline to the first moment at which there is something to do. */
static void
dialling_arm(struct dialling *dialling)
{
	struct reactor *reactor = dialling->endpoint->reactor;
	uint64_t at_ms = dialling->next_ms;

	for (const struct runner *runner = dialling->runners; runner; runner = runner->next) {
		if (runner->until_ms < at_ms)
			at_ms = runner->until_ms;
		if (runner->knocks && reactor_now_ms() + KNOCK_MS < at_ms)
			at_ms = reactor_now_ms() + KNOCK_MS;
	}
	if (at_ms != UINT64_MAX)
		reactor_set_deadline(reactor, &dialling->deadline, at_ms);
	else
		reactor_unset_deadline(reactor, &dialling->deadline);
}

/* Tries the next address: what came of it. It waits, too, if we lack something while others run. */
static enum attempt
dialling_try_next(struct dialling *dialling)
{
	size_t index = dialling->next;
	const char *step;
	int fd, error;
	enum attempt attempt =
		attempt_begin(address_at(dialling, index), dialling->dial.source,
			      dialling->dial.interface, dialling->endpoint->socket, &fd, &step);

	if ((attempt == ATTEMPT_WAITS || attempt == ATTEMPT_KNOCKS)
	    && runner_add(dialling, index, fd, attempt == ATTEMPT_KNOCKS) < 0) {
		close(fd);
		errno = ENOMEM;
		attempt = ATTEMPT_FAILED;
	}
	error = errno;
	if (attempt == ATTEMPT_FAILED && attempt_is_short(error) && dialling->running > 0)
		return ATTEMPT_WAITS;		/* one of them may leave what it takes */
	dialling_find_next(dialling);
	if (attempt == ATTEMPT_CONNECTED) {
		dialling_succeed(dialling, index, fd);
	} else if (attempt == ATTEMPT_FAILED) {
		note_failure(dialling, index, step, error);
		errno = error;
	}
	return attempt;
}

/* Goes on until an attempt is under way: false when it is over, and the dialling gone. */
static bool
dialling_advance(struct dialling *dialling)
{
	while (dialling->next != NONE && dialling->running < DIALLING_ATTEMPTS) {
		switch (dialling_try_next(dialling)) {
		case ATTEMPT_CONNECTED:
			return false;
		case ATTEMPT_FAILED:
			if (attempt_is_short(errno)) {
				dialling_fail(dialling, errno);
				return false;
			}
			continue;
		default:
			break;
		}
		break;
	}
	if (dialling->running == 0) {
		dialling_fail(dialling, dialling->error);
		return false;
	}
	dialling->next_ms = dialling->next != NONE && dialling->running < DIALLING_ATTEMPTS
				     ? reactor_now_ms() + DIALLING_DELAY_MS
				     : UINT64_MAX;
	dialling_arm(dialling);
	return true;
}

/* A runner has failed, and is gone. */
static void
runner_lose(struct runner *runner, int error)
{
	struct dialling *dialling = runner->dialling;
	size_t index = runner->index;
	int fd = runner_fd(runner);

	runner_remove(runner);
	close(fd);
	note_failure(dialling, index, "", error);
}

/* A runner has connected: everything is gone but its socket. */
static void
runner_win(struct runner *runner)
{
	struct dialling *dialling = runner->dialling;
	size_t index = runner->index;
	int fd = runner_fd(runner);

	runner_remove(runner);
	dialling_succeed(dialling, index, fd);
}

static void
runner_ready(evutil_socket_t fd, short what, void *arg)
{
	struct runner *runner = arg;
	struct dialling *dialling = runner->dialling;

	(void)what;
	if (attempt_finish(address_at(dialling, runner->index), fd) == ATTEMPT_CONNECTED) {
		runner_win(runner);
	} else {
		runner_lose(runner, errno);
		dialling_advance(dialling);
	}
}

/* A moment has come: runners knock or are given up, the next address is tried. */
static void
dialling_due(void *arg)
{
	struct dialling *dialling = arg;
	uint64_t now_ms = reactor_now_ms();
	bool lost = false;

	for (struct runner *runner = dialling->runners, *next; runner != NULL; runner = next) {
		enum attempt attempt = ATTEMPT_WAITS;

		next = runner->next;
		if (runner->knocks)
			attempt = attempt_again(address_at(dialling, runner->index),
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
	if (lost || dialling->next_ms <= now_ms)
		dialling_advance(dialling);
	else
		dialling_arm(dialling);
}

struct dialling *
dialling_begin(struct endpoint *endpoint, const struct protocol *protocol, const struct dial *dial)
{
	struct dialling *dialling = calloc(1, sizeof *dialling);

	if (dialling == NULL) {
		dial->failed(dial->arg, ENOMEM);
		return NULL;
	}
	dialling->endpoint = endpoint;
	dialling->protocol = protocol;
	dialling->dial = *dial;
	dialling->deadline.fn = dialling_due;
	dialling->deadline.arg = dialling;
	dialling_find_next(dialling);
	return dialling_advance(dialling) ? dialling : NULL;
}

void
dialling_cancel(struct dialling *dialling)
{
	if (dialling != NULL)
		dialling_free(dialling);
}
