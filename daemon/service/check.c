/* check.c - is a client of one address of a listener, and says whether it is served. */
#include "service/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/dialling.h"
#include "net/transport.h"
#include "service/check_private.h"

/* Of a proxy that speaks for itself: we are the client (the PROXY protocol, 2.1). */
static const char proxy_header[] = "PROXY UNKNOWN\r\n";

static const char by_listener[] = "reset by the listener";

/* A client's state: its check. */
struct client {
	struct check *check;
};

double
precise_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void
check_ask(struct check *check)
{
	struct question question = {
		.version = QUESTION_VERSION, .kind = check->endpoint.kind, .to = check->address
	};
	struct answer answer;
	bool stream = !address_is_datagram(check->endpoint.kind);
	union peer_address own = { 0 };

	snprintf(question.listener, sizeof question.listener, "%s", check->listener->name);
	if (stream) {
		transport_local(check->clients[0], &own);
		memcpy(&question.from.u, &own, sizeof own);
		question.from.length = sizeof own;
	}
	check->known = question_ask(&question, &answer);
	if (check->known == ANSWER_SERVED || check->known == ANSWER_NOT_SERVED)
		snprintf(check->result->remark, sizeof check->result->remark, "%s%s",
			 stream ? "via " : "", answer.text);
}

/* Whether there is a twined that could be asked, and has not answered yet. */
static bool
check_should_ask(const struct check *check)
{
	bool asks = check->datagram_fd >= 0 ? check->protocol->datagrams_via != NULL
					    : check->protocol->via != NULL
						      && check->client_count > check->lost_count;

	return asks && (check->known == ANSWER_NONE || check->known == ANSWER_WAITS);
}

void
check_allow(struct check *check, int64_t ms)
{
	reactor_set_deadline(check->reactor, &check->deadline, reactor_now_ms() + (uint64_t)ms);
}

/* The connection has been taken, and is not joined to anybody yet. */
static void
check_wait(struct check *check)
{
	double left_ms = check->started_ms + ANSWER_MS - precise_ms();

	check_allow(check, left_ms > 0 ? (int64_t)left_ms : 0);
	reactor_set_deadline(check->reactor, &check->ask, reactor_now_ms() + ASK_AGAIN_MS);
}

void
check_end(struct check *check, const char *failure)
{
	if (check->done)
		return;
	/* While the connection is there. */
	if (check_should_ask(check))
		check_ask(check);
	if (failure == NULL && check->known == ANSWER_WAITS && check->reply_length == 0) {
		check_wait(check);
		return;
	}
	check->done = true;
	if (failure != NULL)
		snprintf(check->result->failure, sizeof check->result->failure, "%s", failure);
	reactor_unset_deadline(check->reactor, &check->deadline);
	reactor_unset_deadline(check->reactor, &check->ask);
	dialling_cancel(check->dialling);
	check->dialling = NULL;
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

bool
check_only_looks(const struct check *check)
{
	return check->probe->only_looks != NULL
	       && check->probe->only_looks(check->listener->settings);
}

/* A member of a hub that is but a datagram hears nothing. */
bool
check_may_be_silent(const struct check *check)
{
	return check->probe->silence_is_ok || check_only_looks(check)
	       || (check->probe->two_members && check->datagram_fd >= 0);
}

static void
check_timed_out(void *arg)
{
	struct check *check = arg;
	bool silent = check->dialling == NULL && check->reply_length == 0
		      && (check->client_count > 0 || check->datagram_fd >= 0);

	if (check->known == ANSWER_WAITS)
		check_end(check, "no upstream has answered within 3 s");
	else
		check_end(check,
			  silent && check_may_be_silent(check) ? NULL : "no answer within 3 s");
}

/* Until it is known where the connection leads; if nobody knows, silence is the answer. */
static void
ask_due(void *arg)
{
	struct check *check = arg;

	check_ask(check);
	if (check->known == ANSWER_WAITS)
		check_wait(check);
	else if (check->known == ANSWER_SERVED)
		check_end(check, NULL);
	else
		check_allow(check, SILENCE_MS);
}

void
check_judge(struct check *check, bool ended)
{
	enum probe_verdict verdict = PROBE_MORE;
	const char *failure = "not what was expected";

	check->answered_ms = precise_ms();
	if (check->probe->check != NULL)
		verdict = check->probe->check(check->listener->settings, check->request,
					      check->request_length, check->reply,
					      check->reply_length, ended, &failure);
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

/*
 * Keeps the first REPLY_MAX bytes of a reply; of a hub's lines the latest, for the one looked for.
 */
static void
check_take(struct check *check, const uint8_t *bytes, size_t length)
{
	size_t surplus = 0;

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

	if (check == NULL || transport != check->clients[0])
		return;
	/* No more at a time than leaves some of what was there before. */
	for (size_t part; length > 0 && !check->done; bytes += part, length -= part) {
		part = length < REPLY_MAX / 2 ? length : REPLY_MAX / 2;
		check_take(check, bytes, part);
	}
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
		check_end(check, reason == REASON_PEER_RESET ? by_listener : reason_word(reason));
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

/* Says who we are, where that is asked for. */
static void
check_introduce(struct check *check, struct transport *transport)
{
	const struct prefix_list *proxies = &check->listener->common.listener.accept_proxy;
	union peer_address own;

	if (proxies->count == 0)
		return;
	transport_local(transport, &own);
	if (!prefix_list_has(proxies, &own))
		snprintf(check->result->remark, sizeof check->result->remark,
			 "accept_proxy does not have the address that we come from");
	transport_write(transport, proxy_header, strlen(proxy_header));
}

static void check_dial(struct check *check);

/* The setting that lets one connection in at a time, or NULL. */
static const char *
limit_of_one(const struct check *check)
{
	if (check->listener->common.listener.max_connections == 1)
		return "max_connections = 1";
	if (check->listener->common.listener.max_connections_per_ip == 1)
		return "max_connections_per_ip = 1";
	return check->max_connections == 1 ? "max_connections = 1 of [daemon]" : NULL;
}

/* The member that is to send; where nothing is sent it makes no difference that it has to wait. */
static void
check_dial_second(struct check *check)
{
	const char *limit = check->request_length > 0 ? limit_of_one(check) : NULL;
	char failure[120];

	if (limit == NULL) {
		check_dial(check);
		return;
	}
	snprintf(failure, sizeof failure, "%s: the probe of a hub needs two connections", limit);
	check_end(check, failure);
}

static void
client_connected(void *arg, struct transport *transport, size_t index)
{
	struct check *check = arg;

	(void)index;
	check->dialling = NULL;
	if (transport == NULL) {
		check_end(check, strerror(ENOMEM));
		return;
	}
	((struct client *)transport_state(transport))->check = check;
	check->clients[check->client_count++] = transport;
	if (check->probe->two_members && check->client_count == 1) {
		check_dial_second(check);
		return;
	}
	check->answered_ms = precise_ms();
	check->result->was_accepted = true;
	check_introduce(check, transport);
	transport_write(transport, check->request, check->request_length);
	if (check->probe->half_close)
		transport_end_write(transport);
	if (check_should_ask(check) && check_only_looks(check))
		ask_due(check);
	else if (check_may_be_silent(check))
		check_allow(check, SILENCE_MS);
	else if (check->request_length == 0 && check->probe->two_members)
		/* there is nothing to send, so nothing to wait for */
		check_judge(check, false);
}

static void
client_failed(void *arg, int error)
{
	struct check *check = arg;
	char failure[200];

	check->dialling = NULL;
	/* Who resets a connection has taken it before. */
	check->result->was_accepted = error == ECONNRESET;
	snprintf(failure, sizeof failure, "connect: %s", strerror(error));
	check_end(check, error == ECONNRESET ? by_listener : failure);
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
	struct dialling *dialling = dialling_begin(&check->endpoint, &client_protocol, &dial);

	if (dialling != NULL)
		check->dialling = dialling;
}

void
check_address(const struct section_config *listener, int64_t max_connections,
	      enum address_kind kind, const struct sockaddr_any *address,
	      struct check_result *result)
{
	const struct probe *probe = listener->protocol->probe;
	struct check check = {
		.listener = listener,
		.max_connections = max_connections,
		.protocol = listener->protocol,
		.probe = probe,
		.address = *address,
		.datagram_fd = -1,
		.deadline = { .fn = check_timed_out, .arg = &check },
		.ask = { .fn = ask_due, .arg = &check },
		.result = result,
	};

	*result = (struct check_result){ 0 };
	check.reactor = reactor_new(0, REACTOR_AUTO);
	if (check.reactor == NULL) {
		snprintf(result->failure, sizeof result->failure, "%s", strerror(errno));
		return;
	}
	check.endpoint = (struct endpoint){
		.reactor = check.reactor,
		.name = "probe",
		.kind = kind,
		.counters = &check.counters,
		.linger_timeout_ms = LINGER_MS,
	};
	if (probe->request != NULL)
		check.request_length = probe->request(listener->settings, check.request);
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
	result->round_trip_ms = check.answered_ms - check.started_ms;
}
