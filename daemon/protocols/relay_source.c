/* relay_source.c - what members of a relay send: lines made of it, at the pace of the hub and of line_rate. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/datagram.h"
#include "net/deadline.h"
#include "net/factory.h"
#include "net/reply_rate.h"
#include "net/transport.h"
#include "protocols/filter.h"
#include "protocols/relay_private.h"
#include "protocols/template.h"

/*
 * What one read has brought, as far as it could not be published yet. Its member is not read meanwhile:
 *
 *   read ──▶ lines ──▶ hub
 *              │ no room, or over line_rate: a rest, paused
 *              └──▶ waits for room, or for the deadline ──▶ lines ──▶ hub ... ──▶ read again
 */
struct relay_rest {
	struct hub_waiter waiter;	/* first */
	struct deadline deadline;
	struct transport *transport;
	int64_t idle_timeout_ms;	/* that it has when it is read */
	bool stopping;			/* line_rate does not hold any more */
	size_t at, length;
	uint8_t bytes[];
};

/* Who lines come from: a connection, or a datagram. */
struct source {
	struct relay *relay;
	struct relay_peer *peer;
	struct transport *transport;
	const struct datagram *datagram;
};

static struct source
source_of(struct transport *transport)
{
	return (struct source){
		.relay = factory_shared(transport_factory(transport)),
		.peer = transport_state(transport),
		.transport = transport,
	};
}

static size_t
prefix_write(const struct source *source, char to[static PREFIX_MAX])
{
	const struct relay *relay = source->relay;
	const struct relay_peer *peer = source->peer;
	char when[32] = "", member[16], seq[24];
	if (relay->prefix_has_time) {
		time_t now = time(NULL);
		struct tm utc;
		gmtime_r(&now, &utc);
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
	}
	snprintf(member, sizeof member, "%u", peer != NULL ? peer->member.id : 0);
	snprintf(seq, sizeof seq, "%llu", (unsigned long long)hub_next_line(relay->hub));
	const char *from = !relay->prefix_has_peer ? ""
			   : peer != NULL	   ? transport_peer_text(source->transport)
						   : datagram_peer_text(source->datagram);
	const struct template_word words[] = {
		{ "time", when }, { "peer", from }, { "member", member }, { "seq", seq }, { 0 },
	};
	return template_write(relay->settings->prefix, words, to, PREFIX_MAX);
}

/* False when the hub has become too small for the line. */
static bool
relay_publish(const struct source *source, const struct line_text *line)
{
	const struct relay *relay = source->relay;
	char prefix[PREFIX_MAX];
	struct hub_text text = {
		.sender = source->peer != NULL ? &source->peer->member : NULL,
		.policy = &relay->policy,
		.prefix = prefix,
		.text = line->bytes,
		.length = line->length,
	};
	if (relay->filter != NULL && !filter_passes(relay->filter, line->bytes, line->length))
		return true;
	if (relay->settings->prefix != NULL)
		text.prefix_length = prefix_write(source, prefix);
	return hub_publish(relay->hub, &text);
}

/* Does with a line what the settings say. False when its sender is not to be heard further. */
static bool
relay_take(const struct source *source, enum line_result result, const struct line_text *text)
{
	int64_t on_long_line = source->relay->settings->on_long_line;
	if (result == LINE_WHOLE && relay_publish(source, text))
		return true;
	if (result == LINE_NO_MEMORY) {
		if (source->transport != NULL)
			transport_abort(source->transport, REASON_NO_RESOURCES);
		return false;
	}
	if (source->peer != NULL)
		source->peer->long_lines++;
	if (on_long_line == ON_LONG_LINE_CUT && result == LINE_LONG)
		relay_publish(source, text);
	if (on_long_line == ON_LONG_LINE_CLOSE && source->transport != NULL)
		transport_lose(source->transport, REASON_LINE_TOO_LONG);
	return on_long_line != ON_LONG_LINE_CLOSE;
}

/* Why a member's lines are not taken further. */
enum pause { PAUSE_NONE, PAUSE_ROOM, PAUSE_RATE, PAUSE_ENDED };

/* How many bytes of the hub a line may take, whatever is in it. */
static size_t
longest_line(const struct relay_settings *settings)
{
	return (size_t)settings->max_line + (settings->prefix != NULL ? PREFIX_MAX : 0) + 1;
}

/* Takes lines out of [*at, end) as long as that may go on; wait_ms is for PAUSE_RATE. */
static enum pause
relay_take_lines(const struct source *source, const uint8_t **at, const uint8_t *end, bool at_once,
		 int64_t *wait_ms)
{
	const struct relay_settings *settings = source->relay->settings;
	struct relay_peer *peer = source->peer;
	struct line_text text;
	enum line_result result;
	while (*at != end) {
		if (!hub_has_room(source->relay->hub, longest_line(settings)))
			return PAUSE_ROOM;
		*wait_ms = at_once ? 0 : bucket_take(&peer->bucket, &settings->line_rate, reactor_now_ms());
		if (*wait_ms > 0)
			return PAUSE_RATE;
		result = line_reader_next(&peer->reader, (size_t)settings->max_line, at, end, &text);
		if (result == LINE_NONE && !at_once && settings->line_rate.count != 0)
			bucket_return(&peer->bucket, &settings->line_rate);
		if (result != LINE_NONE && !relay_take(source, result, &text))
			return PAUSE_ENDED;
	}
	return PAUSE_NONE;
}

/* The last line counts although it has no end. */
static void
relay_take_last(const struct source *source, struct line_reader *reader)
{
	struct line_text text;
	enum line_result result =
		line_reader_last(reader, (size_t)source->relay->settings->max_line, &text);
	if (result != LINE_NONE)
		relay_take(source, result, &text);
	line_reader_clear(reader);
}

/* Has a rest go on when that is possible. */
static void
rest_wait(struct relay_rest *rest, enum pause pause, int64_t wait_ms)
{
	const struct source source = source_of(rest->transport);
	if (pause == PAUSE_ROOM)
		hub_wait(source.relay->hub, &rest->waiter);
	else
		reactor_set_deadline(transport_reactor(rest->transport), &rest->deadline,
				     reactor_now_ms() + (uint64_t)wait_ms);
}

static void
rest_free(struct relay_rest *rest)
{
	const struct source source = source_of(rest->transport);
	source.peer->rest = NULL;
	hub_unwait(source.relay->hub, &rest->waiter);
	reactor_unset_deadline(transport_reactor(rest->transport), &rest->deadline);
	free(rest);
}

static void
rest_go_on(struct relay_rest *rest)
{
	struct transport *transport = rest->transport;
	const struct source source = source_of(transport);
	const uint8_t *at = rest->bytes + rest->at;
	bool stopping = rest->stopping;
	int64_t wait_ms = 0;
	enum pause pause =
		relay_take_lines(&source, &at, rest->bytes + rest->length, stopping, &wait_ms);
	rest->at = (size_t)(at - rest->bytes);
	if (pause == PAUSE_ROOM || pause == PAUSE_RATE) {
		rest_wait(rest, pause, wait_ms);
		return;
	}
	transport_set_idle_timeout(transport, rest->idle_timeout_ms);
	rest_free(rest);
	if (stopping)
		relay_take_stop(transport);
	else
		transport_resume(transport);
}

static void
rest_room(struct hub_waiter *waiter)
{
	rest_go_on((struct relay_rest *)waiter);
}

static void
rest_due(void *arg)
{
	rest_go_on(arg);
}

/* Keeps what could not be taken yet, and does not read its sender until it is. */
static void
relay_hold(const struct source *source, const uint8_t *at, size_t length, enum pause pause, int64_t wait_ms)
{
	struct transport *transport = source->transport;
	struct relay_rest *rest = malloc(sizeof *rest + length);
	if (rest == NULL) {
		transport_abort(transport, REASON_NO_RESOURCES);
		return;
	}
	*rest = (struct relay_rest){
		.waiter = {
			.member = &source->peer->member,
			.length = longest_line(source->relay->settings),
			.go_on = rest_room,
		},
		.deadline = { .fn = rest_due, .arg = rest },
		.transport = transport,
		.idle_timeout_ms = transport_idle_timeout(transport),
		.length = length,
	};
	memcpy(rest->bytes, at, length);
	source->peer->rest = rest;
	/* It is we who are idle. */
	transport_set_idle_timeout(transport, 0);
	transport_pause(transport);
	rest_wait(rest, pause, wait_ms);
}

void
relay_take_bytes(struct transport *transport, const uint8_t *bytes, size_t length)
{
	const struct source source = source_of(transport);
	const uint8_t *at = bytes;
	int64_t wait_ms = 0;
	assert(source.peer->rest == NULL);
	if (source.relay->settings->role == ROLE_OUT || source.peer->member.hub == NULL)
		return;
	enum pause pause = relay_take_lines(&source, &at, bytes + length, false, &wait_ms);
	if (pause == PAUSE_ROOM || pause == PAUSE_RATE)
		relay_hold(&source, at, length - (size_t)(at - bytes), pause, wait_ms);
}

void
relay_take_end(struct transport *transport)
{
	const struct source source = source_of(transport);
	relay_take_last(&source, &source.peer->reader);
}

void
relay_take_stop(struct transport *transport)
{
	const struct source source = source_of(transport);
	struct relay_rest *rest = source.peer->rest;
	if (rest == NULL) {
		relay_take_last(&source, &source.peer->reader);
		relay_stopped(transport);
		return;
	}
	rest->stopping = true;
	if (rest->waiter.link == NULL)
		rest_go_on(rest);
}

void
relay_source_lost(struct transport *transport)
{
	const struct source source = source_of(transport);
	struct relay_rest *rest = source.peer->rest;
	struct line_text text;
	enum line_result result;
	if (rest != NULL && rest->waiter.link != NULL) {
		/* It did nothing wrong, and will not send again what we have read already. */
		const uint8_t *at = rest->bytes + rest->at, *end = rest->bytes + rest->length;
		do
			result = line_reader_next(&source.peer->reader,
						  (size_t)source.relay->settings->max_line, &at, end, &text);
		while (result != LINE_NONE && relay_take(&source, result, &text));
	}
	if (rest != NULL)
		rest_free(rest);
	line_reader_clear(&source.peer->reader);
}

/* Whether a sender of datagrams may send one more line. */
static bool
datagram_may_send(const struct source *source)
{
	struct relay *relay = source->relay;
	if (relay->datagram_rate == NULL
	    || reply_rate_take(relay->datagram_rate, datagram_peer(source->datagram), reactor_now_ms()))
		return true;
	hub_count_over_rate(relay->hub);
	return false;
}

void
relay_take_datagram(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	const struct source source = {
		.relay = factory_shared(datagram_factory(datagram)),
		.datagram = datagram,
	};
	const uint8_t *end = bytes + length;
	struct line_reader reader = { 0 };
	struct line_text text;
	enum line_result result;
	size_t most = (size_t)source.relay->settings->max_line;
	if (source.relay->settings->role == ROLE_OUT)
		return;
	do {
		result = line_reader_next(&reader, most, &bytes, end, &text);
		if (result == LINE_NONE)
			result = line_reader_last(&reader, most, &text);
		else if (result == LINE_NO_MEMORY)
			break;
		if (result != LINE_NONE && datagram_may_send(&source)
		    && !relay_take(&source, result, &text))
			break;
	} while (result != LINE_NONE);
	line_reader_clear(&reader);
}
