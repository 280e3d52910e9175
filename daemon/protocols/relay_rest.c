/* relay_rest.c - what members of a relay send, at the pace of the hub and of line_rate. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/deadline.h"
#include "net/factory.h"
#include "net/transport.h"
#include "protocols/relay_private.h"

/* Of a section: with a read of 64 KiB each that is 4 MiB at most. */
enum { ORPHANS_MOST = 64 };

/*
 * What one read has brought, as far as it could not be published yet. Its member is not read
 * meanwhile:
 *
 *   read ──▶ lines ──▶ hub
 *              │ no room, or over line_rate: a rest, paused
 *              └──▶ waits for room, or for the deadline ──▶ lines ──▶ hub ... ──▶ read again
 *
 * When the member goes, as one on a unix socket may at once, its rest goes on alone, as an orphan
 * of the section.
 */
struct relay_rest {
	struct hub_waiter waiter;	/* first */
	struct deadline deadline;
	struct reactor *reactor;
	struct relay *relay;
	struct transport *transport;	/* NULL: an orphan */
	int64_t idle_timeout_ms;	/* that it has when it is read */
	bool last_counts;		/* the last line needs no end */

	/* Of an orphan: what its member had. */
	struct relay_rest *next, **link;	/* in relay->orphans */
	struct line_reader reader;
	struct bucket bucket;
	uint32_t id;
	char *peer_text;

	size_t at, length;
	uint8_t *bytes;
};

static struct source
source_of(struct transport *transport)
{
	struct relay_peer *peer = transport_state(transport);
	return (struct source){
		.relay = factory_shared(transport_factory(transport)),
		.peer = peer,
		.transport = transport,
		.reader = &peer->reader,
		.bucket = peer->stopping ? NULL : &peer->bucket,
		.id = peer->member.id,
	};
}

static struct source
source_of_rest(struct relay_rest *rest)
{
	if (rest->transport != NULL)
		return source_of(rest->transport);
	return (struct source){
		.relay = rest->relay,
		.reader = &rest->reader,
		.bucket = &rest->bucket,
		.id = rest->id,
		.peer_text = rest->peer_text,
	};
}

/* Has a rest go on when that is possible. */
static void
rest_wait(struct relay_rest *rest, enum pause pause, int64_t wait_ms)
{
	if (pause == PAUSE_ROOM)
		hub_wait(rest->relay->hub, &rest->waiter);
	else
		reactor_set_deadline(rest->reactor, &rest->deadline,
				     reactor_now_ms() + (uint64_t)wait_ms);
}

static void
rest_free(struct relay_rest *rest)
{
	hub_unwait(rest->relay->hub, &rest->waiter);
	reactor_unset_deadline(rest->reactor, &rest->deadline);
	if (rest->transport != NULL) {
		((struct relay_peer *)transport_state(rest->transport))->rest = NULL;
	} else {
		*rest->link = rest->next;
		if (rest->next != NULL)
			rest->next->link = rest->link;
		rest->relay->orphan_count--;
		line_reader_clear(&rest->reader);
	}
	free(rest->peer_text);
	free(rest->bytes);
	free(rest);
}

/* All of a rest has been published. */
static void
rest_end(struct relay_rest *rest)
{
	struct transport *transport = rest->transport;
	if (transport == NULL) {
		rest_free(rest);
		return;
	}
	transport_set_idle_timeout(transport, rest->idle_timeout_ms);
	rest_free(rest);
	transport_resume(transport);
	if (((struct relay_peer *)transport_state(transport))->stopping)
		relay_take_stop(transport);
}

static void
rest_go_on(struct relay_rest *rest)
{
	const struct source source = source_of_rest(rest);
	const uint8_t *at = rest->bytes + rest->at;
	int64_t wait_ms = 0;
	enum pause pause = source_take_lines(&source, &at, rest->bytes + rest->length, &wait_ms);
	rest->at = (size_t)(at - rest->bytes);
	if (pause == PAUSE_NONE && rest->last_counts)
		pause = source_take_last(&source, &wait_ms);
	if (pause == PAUSE_ROOM || pause == PAUSE_RATE)
		rest_wait(rest, pause, wait_ms);
	else
		rest_end(rest);
}

/* Publishes an orphan without waiting for anything: its section ends. */
static void
rest_finish(struct relay_rest *rest)
{
	const struct source source = source_of_rest(rest);
	source_take_all(&source, rest->bytes + rest->at, rest->bytes + rest->length,
			rest->last_counts);
	rest_end(rest);
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

/* Keeps more: 0, or -1 without memory. */
static int
rest_append(struct relay_rest *rest, const uint8_t *bytes, size_t length)
{
	if (length == 0)
		return 0;
	uint8_t *more = realloc(rest->bytes, rest->length + length);
	if (more == NULL)
		return -1;
	memcpy(more + rest->length, bytes, length);
	rest->bytes = more;
	rest->length += length;
	return 0;
}

/*
 * Keeps what could not be taken yet, and does not read its sender until it is. NULL without memory:
 * then the sender is aborted.
 */
static struct relay_rest *
relay_hold(const struct source *source, const uint8_t *at, size_t length, enum pause pause,
	   int64_t wait_ms)
{
	struct transport *transport = source->transport;
	struct relay_rest *rest = malloc(sizeof *rest);
	assert(source->peer->rest == NULL);
	if (rest != NULL)
		*rest = (struct relay_rest){
			.waiter = {
				.member = &source->peer->member,
				.length = source_longest_line(source->relay->settings),
				.go_on = rest_room,
			},
			.deadline = { .fn = rest_due, .arg = rest },
			.reactor = transport_reactor(transport),
			.relay = source->relay,
			.transport = transport,
			.idle_timeout_ms = transport_idle_timeout(transport),
		};
	if (rest == NULL || rest_append(rest, at, length) < 0) {
		free(rest);
		transport_abort(transport, REASON_NO_RESOURCES);
		return NULL;
	}
	source->peer->rest = rest;
	/* It is we who are idle. */
	transport_set_idle_timeout(transport, 0);
	transport_pause(transport);
	rest_wait(rest, pause, wait_ms);
	return rest;
}

void
relay_take_bytes(struct transport *transport, const uint8_t *bytes, size_t length)
{
	const struct source source = source_of(transport);
	const uint8_t *at = bytes;
	int64_t wait_ms = 0;
	if (source.relay->settings->role == ROLE_OUT || source.peer->member.hub == NULL)
		return;
	if (source.peer->member.leaving) {
		/* What is begun has no end that counts. */
		line_reader_clear(source.reader);
		return;
	}
	if (source.peer->rest != NULL) {
		if (rest_append(source.peer->rest, bytes, length) < 0)
			transport_abort(transport, REASON_NO_RESOURCES);
		return;
	}
	enum pause pause = source_take_lines(&source, &at, bytes + length, &wait_ms);
	if (pause == PAUSE_ROOM || pause == PAUSE_RATE)
		relay_hold(&source, at, length - (size_t)(at - bytes), pause, wait_ms);
}

void
relay_take_end(struct transport *transport)
{
	const struct source source = source_of(transport);
	struct relay_rest *rest = source.peer->rest;
	int64_t wait_ms = 0;
	if (rest == NULL) {
		enum pause pause = source_take_last(&source, &wait_ms);
		if (pause == PAUSE_NONE)
			return;
		rest = relay_hold(&source, NULL, 0, pause, wait_ms);
	}
	if (rest != NULL)
		rest->last_counts = true;
}

void
relay_take_stop(struct transport *transport)
{
	struct relay_peer *peer = transport_state(transport);
	struct relay_rest *rest = peer->rest;
	peer->stopping = true;
	if (rest == NULL) {
		while (peer->rest == NULL && transport_read_owed(transport))
			continue;
		if (peer->rest == NULL)
			relay_stopped(transport);
	} else if (rest->waiter.link == NULL) {
		reactor_unset_deadline(rest->reactor, &rest->deadline);
		rest_go_on(rest);
	}
}

/* Makes an orphan of the rest of a member that goes. */
static void
rest_orphan(struct relay_rest *rest, bool last_counts)
{
	struct relay *relay = rest->relay;
	struct transport *transport = rest->transport;
	struct relay_peer *peer = transport_state(transport);
	bool waits = rest->waiter.link != NULL;
	hub_unwait(relay->hub, &rest->waiter);
	rest->waiter.member = NULL;
	rest->transport = NULL;
	rest->reader = peer->reader;
	rest->bucket = peer->bucket;
	rest->id = peer->member.id;
	rest->last_counts = rest->last_counts || last_counts;
	/* Without memory the peer has no name. */
	rest->peer_text = relay->prefix_has_peer ? strdup(transport_peer_text(transport)) : NULL;
	peer->reader = (struct line_reader){ 0 };
	peer->rest = NULL;
	rest->next = relay->orphans;
	rest->link = &relay->orphans;
	if (rest->next != NULL)
		rest->next->link = &rest->next;
	relay->orphans = rest;
	relay->orphan_count++;
	if (waits)
		hub_wait(relay->hub, &rest->waiter);
}

void
relay_source_lost(struct transport *transport, enum reason reason)
{
	const struct source source = source_of(transport);
	struct relay_rest *rest = source.peer->rest;
	if (rest != NULL) {
		bool waits = rest->waiter.link != NULL;
		rest_orphan(rest, reason == REASON_PEER_CLOSED);
		bool is_bounded = source.relay->orphan_count <= ORPHANS_MOST;
		if (!source.relay->open || (!is_bounded && waits))
			rest_finish(rest);
		else if (!is_bounded)
			rest_free(rest);	/* over line_rate, and nobody is there to be held back */
	}
	line_reader_clear(&source.peer->reader);
}

void
relay_finish_orphans(struct relay *relay)
{
	while (relay->orphans != NULL)
		rest_finish(relay->orphans);
}
