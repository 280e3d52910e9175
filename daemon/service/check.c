/* check.c - is a client of one address of a listener, and says whether it is served. */
#include "service/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/connector.h"
#include "net/endpoint.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/transport.h"

enum {
	ANSWER_MS = 3000,	/* for a whole check */
	SILENCE_MS = 250,	/* after which saying nothing is a success, where it is one */
	REPLY_MAX = 4096,
	LINGER_MS = 100,	/* for a listener that sends for ever */
};

/* One address of one listener, while it is tried. */
struct check {
	const void *settings;			/* of the listener's protocol */
	const struct probe *probe;
	struct reactor *reactor;
	struct endpoint endpoint;
	struct counters counters;
	struct sockaddr_any address;
	struct connector *connector;
	struct transport *clients[2];		/* the last one sends the request, the first hears the reply */
	size_t client_count, lost_count;
	struct event datagram_event;
	int datagram_fd;			/* -1: none */
	bool datagram_watched;
	struct deadline deadline;
	uint8_t request[PROBE_REQUEST_MAX], reply[REPLY_MAX];
	size_t request_length, reply_length;
	double started_ms, answered_ms;
	bool done;
	char failure[256];			/* empty: OK */
};

/* A client's state: its check. */
struct client {
	struct check *check;
};

static double
precise_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Ends a check, and the connections in order; failure NULL: all is well. */
static void
check_end(struct check *check, const char *failure)
{
	if (check->done)
		return;
	check->done = true;
	if (failure != NULL)
		snprintf(check->failure, sizeof check->failure, "%s", failure);
	reactor_unset_deadline(check->reactor, &check->deadline);
	connector_cancel(check->connector);
	check->connector = NULL;
	for (size_t i = 0; i < check->client_count; i++) {
		/* A hub would keep a member that has only half-closed. */
		if (check->probe->two_members)
			transport_abort(check->clients[i], REASON_DONE);
		else
			transport_lose(check->clients[i], REASON_DONE);
	}
	if (check->client_count == check->lost_count)
		reactor_stop(check->reactor);
}

/* Whether saying nothing is a success; a member of a hub that is but a datagram hears nothing. */
static bool
check_may_be_silent(const struct check *check)
{
	return check->probe->silence_is_ok
	       || (check->probe->two_members && check->datagram_fd >= 0);
}

static void
check_timed_out(void *arg)
{
	struct check *check = arg;
	bool silent = check->connector == NULL && check->reply_length == 0
		      && (check->client_count > 0 || check->datagram_fd >= 0);

	check_end(check, silent && check_may_be_silent(check) ? NULL : "no answer within 3 s");
}

static void
check_allow(struct check *check, int64_t ms)
{
	reactor_set_deadline(check->reactor, &check->deadline, reactor_now_ms() + (uint64_t)ms);
}

/* Looks at what has come so far. */
static void
check_judge(struct check *check, bool ended)
{
	enum probe_verdict verdict = PROBE_MORE;
	const char *failure = "not what was expected";

	check->answered_ms = precise_ms();
	if (check->probe->check != NULL)
		verdict = check->probe->check(check->settings, check->request,
					      check->request_length, check->reply, check->reply_length,
					      ended, &failure);
	else if (check->reply_length > 0)
		verdict = PROBE_FAILED, failure = "bytes came where none are expected";
	else if (ended)
		verdict = PROBE_OK;
	if (verdict == PROBE_OK)
		check_end(check, NULL);
	else if (verdict == PROBE_FAILED)
		check_end(check, failure);
	else if (ended)
		check_end(check, check->reply_length == 0 ? "closed without an answer"
							  : "closed within the answer");
}

/* Keeps the first REPLY_MAX bytes of a reply; of a hub's lines the latest, for the one looked for. */
static void
check_take(struct check *check, const uint8_t *bytes, size_t length)
{
	size_t surplus = 0;

	if (length > REPLY_MAX) {
		bytes += check->probe->two_members ? length - REPLY_MAX : 0;
		length = REPLY_MAX;
	}
	if (check->reply_length + length > REPLY_MAX)
		surplus = check->reply_length + length - REPLY_MAX;
	if (check->probe->two_members) {
		check->reply_length -= surplus;
		memmove(check->reply, check->reply + surplus, check->reply_length);
	} else {
		length -= surplus;
	}
	memcpy(check->reply + check->reply_length, bytes, length);
	check->reply_length += length;
	check_judge(check, false);
}

static void
client_data_received(struct transport *transport, const uint8_t *bytes, size_t length)
{
	struct check *check = ((struct client *)transport_state(transport))->check;

	if (check != NULL && !check->done && transport == check->clients[0])
		check_take(check, bytes, length);
}

static void
client_read_ended(struct transport *transport)
{
	struct check *check = ((struct client *)transport_state(transport))->check;

	if (check != NULL && !check->done)
		check_judge(check, true);
}

static void
client_connection_lost(struct transport *transport, enum reason reason)
{
	struct check *check = ((struct client *)transport_state(transport))->check;

	if (check == NULL)
		return;
	check->lost_count++;
	if (!check->done)
		check_end(check, reason == REASON_PEER_RESET ? "reset by the listener"
							     : reason_word(reason));
	else if (check->client_count == check->lost_count)
		reactor_stop(check->reactor);
}

static const struct protocol client_protocol = {
	.name = "probe",
	.summary = "a client",
	.transports = PROTOCOL_STREAM,
	.state_size = sizeof(struct client),
	.data_received = client_data_received,
	.read_ended = client_read_ended,
	.connection_lost = client_connection_lost,
};

static void check_dial(struct check *check);

static void
client_connected(void *arg, struct transport *transport, size_t index)
{
	struct check *check = arg;

	(void)index;
	check->connector = NULL;
	if (transport == NULL) {
		check_end(check, strerror(ENOMEM));
		return;
	}
	((struct client *)transport_state(transport))->check = check;
	check->clients[check->client_count++] = transport;
	if (check->probe->two_members && check->client_count == 1) {
		check_dial(check);
		return;
	}
	check->answered_ms = precise_ms();
	transport_write(transport, check->request, check->request_length);
	if (check->probe->half_close)
		transport_end_write(transport);
	if (check->probe->silence_is_ok)
		check_allow(check, SILENCE_MS);
	else if (check->request_length == 0 && check->probe->two_members)
		check_judge(check, false);	/* there is nothing to send, so nothing to wait for */
}

static void
client_failed(void *arg, int error)
{
	struct check *check = arg;
	char failure[200];

	check->connector = NULL;
	snprintf(failure, sizeof failure, "connect: %s", strerror(error));
	check_end(check, failure);
}

static void
check_dial(struct check *check)
{
	struct dial dial = {
		.addresses = &check->address,
		.count = 1,
		.connected = client_connected,
		.failed = client_failed,
		.arg = check,
	};
	struct connector *connector = connector_dial(&check->endpoint, &client_protocol, &dial);

	if (connector != NULL)
		check->connector = connector;
}

static void
datagram_ready(evutil_socket_t fd, short what, void *arg)
{
	struct check *check = arg;
	ssize_t length = recv(fd, check->reply, sizeof check->reply, MSG_DONTWAIT);
	char failure[200];

	(void)what;
	if (length < 0 && errno == EAGAIN)
		return;
	if (length < 0) {
		snprintf(failure, sizeof failure, "receive: %s", strerror(errno));
		check_end(check, failure);
		return;
	}
	check->reply_length = (size_t)length;
	check_judge(check, true);
}

static bool
check_watch_datagram(struct check *check)
{
	check->datagram_watched = reactor_watch(check->reactor, &check->datagram_event,
						check->datagram_fd, EV_READ | EV_PERSIST,
						datagram_ready, check)
				  == 0;
	return check->datagram_watched;
}

/* Sends the request as one datagram; a unix client needs a name of its own to be answered. */
static void
check_send_datagram(struct check *check)
{
	int family = check->address.u.sa.sa_family;
	struct sockaddr_un any_name = { .sun_family = AF_UNIX };
	char failure[200];

	check->datagram_fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (check->datagram_fd < 0
	    || (family == AF_UNIX
		&& bind(check->datagram_fd, (struct sockaddr *)&any_name, sizeof(sa_family_t)) < 0)
	    || connect(check->datagram_fd, &check->address.u.sa, check->address.length) < 0
	    || !check_watch_datagram(check)
	    || send(check->datagram_fd, check->request, check->request_length, MSG_NOSIGNAL) < 0) {
		snprintf(failure, sizeof failure, "send: %s", strerror(errno));
		check_end(check, failure);
		return;
	}
	check->answered_ms = precise_ms();
	if (check_may_be_silent(check))
		check_allow(check, SILENCE_MS);
}

const char *
check_address(enum address_kind kind, const struct sockaddr_any *address, const struct probe *probe,
	      const void *settings, double *round_trip_ms)
{
	static char failure[sizeof((struct check *)0)->failure];
	struct check check = {
		.settings = settings, .probe = probe, .address = *address, .datagram_fd = -1
	};

	check.reactor = reactor_new(0, REACTOR_AUTO);
	if (check.reactor == NULL)
		return strerror(errno);
	check.endpoint = (struct endpoint){
		.reactor = check.reactor,
		.name = "probe",
		.kind = kind,
		.counters = &check.counters,
		.linger_timeout_ms = LINGER_MS,
	};
	check.deadline.fn = check_timed_out;
	check.deadline.arg = &check;
	if (probe->request != NULL)
		check.request_length = probe->request(settings, check.request);
	check.started_ms = precise_ms();
	check_allow(&check, ANSWER_MS);
	if (address_is_datagram(kind))
		check_send_datagram(&check);
	else
		check_dial(&check);
	reactor_run(check.reactor);
	if (check.datagram_watched)
		reactor_unwatch(&check.datagram_event);
	if (check.datagram_fd >= 0)
		close(check.datagram_fd);
	reactor_free(check.reactor);
	*round_trip_ms = check.answered_ms - check.started_ms;
	memcpy(failure, check.failure, sizeof failure);
	return failure[0] == '\0' ? NULL : failure;
}
