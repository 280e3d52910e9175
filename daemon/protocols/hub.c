/* hub.c - lines that members send each other: each line stored once, each member a place among them. */
#include "protocols/hub.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "net/reactor.h"
#include "net/transport.h"

/*
 * Bytes and lines are counted from the hub's first; a ring holds the last of them.
 *
 *   bytes:   tail ............................................... head
 *            |line first  |line |line          |line   |line      |       lines: first ... next
 *                          ▲          ▲                            ▲
 *                       stuck here  stuck within a line         ready: has got everything
 *
 * A ready member is offered what comes, at the end of each turn. One whose socket takes no more hangs on
 * the line it stopped at, and costs nothing until its transport is drained or that line is overwritten. In
 * the latter case it is given the rest of the line (a copy, in its transport) and has fallen: its next
 * line is the oldest there is then. So publishing takes time for the ready members only, and everyone
 * sees whole lines in one order.
 */
struct line {
	uint32_t end;			/* of its bytes; the lower half of the count */
	uint32_t sender;		/* the id of a member, 0: none */
	struct hub_member *stuck;	/* those whose next byte is of this line */
};

enum {
	LINE_BYTES = 32,	/* as many bytes of the ring for each entry in the ring of lines */
	OFFER_PIECES = 64,
};

struct hub {
	struct deferred flush;		/* first */
	bool flush_queued;
	struct reactor *reactor;	/* of its members; NULL before the first */
	atomic_uint refs;
	uint8_t *bytes;
	size_t size;
	uint64_t tail, head;
	struct line *lines;
	size_t line_mask;		/* the ring of lines has room for one more; a power of two */
	uint64_t first, next;
	uint64_t flushed, flushed_line;	/* head and next when the ready members were last served */
	struct hub_member *ready;
	unsigned members, leaving;
	uint32_t last_id;
};

static struct line *
hub_line(const struct hub *hub, uint64_t number)
{
	return &hub->lines[number & hub->line_mask];
}

/* Where a line of the ring begins. */
static uint64_t
line_begin(const struct hub *hub, uint64_t number)
{
	if (number == hub->first)
		return hub->tail;
	return hub->head - (uint32_t)((uint32_t)hub->head - hub_line(hub, number - 1)->end);
}

static void
member_unlink(struct hub_member *member)
{
	if (member->link == NULL)
		return;
	*member->link = member->next;
	if (member->next != NULL)
		member->next->link = member->link;
	member->link = NULL;
}

static void
member_link(struct hub_member *member, struct hub_member **list, enum hub_place place)
{
	member->place = place;
	member->next = *list;
	member->link = list;
	if (member->next != NULL)
		member->next->link = &member->next;
	*list = member;
}

/* The bytes of the ring from begin to end in one piece, or in two around its edge. */
static int
ring_pieces(const struct hub *hub, uint64_t begin, uint64_t end, struct iovec pieces[static 2])
{
	size_t from = begin % hub->size, length = (size_t)(end - begin), first = hub->size - from;
	if (length == 0)
		return 0;
	if (first > length)
		first = length;
	pieces[0] = (struct iovec){ .iov_base = hub->bytes + from, .iov_len = first };
	pieces[1] = (struct iovec){ .iov_base = hub->bytes, .iov_len = length - first };
	return first < length ? 2 : 1;
}

static bool
line_is_skipped(const struct hub_member *member, const struct line *line)
{
	return line->sender == member->id && !member->policy->loopback;
}

/* Moves a member on by so many bytes that it has got, and past lines of its own. */
static void
member_advance(struct hub_member *member, size_t got)
{
	const struct hub *hub = member->hub;
	if (member->own == 0 && got == hub->head - member->at) {
		member->at = hub->head;
		member->line = hub->next;
		return;
	}
	while (member->line < hub->next) {
		const struct line *line = hub_line(hub, member->line);
		size_t rest = (uint32_t)(line->end - (uint32_t)member->at);
		if (line_is_skipped(member, line)) {
			member->own--;
		} else if (got >= rest && got > 0) {
			got -= rest;
		} else {
			member->at += got;
			return;
		}
		member->at += rest;
		member->line++;
	}
}

/* Gathers what a member is to get next: runs of lines that are not its own. Returns how many bytes. */
static size_t
member_gather(const struct hub_member *member, struct iovec pieces[static OFFER_PIECES], int *count)
{
	const struct hub *hub = member->hub;
	uint64_t run = member->at, at = member->at;
	size_t bytes = 0;
	if (member->own == 0) {
		*count = ring_pieces(hub, member->at, hub->head, pieces);
		return (size_t)(hub->head - member->at);
	}
	*count = 0;
	for (uint64_t number = member->line; number < hub->next && *count < OFFER_PIECES - 3; number++) {
		const struct line *line = hub_line(hub, number);
		uint64_t end = at + (uint32_t)(line->end - (uint32_t)at);
		if (line_is_skipped(member, line)) {
			*count += ring_pieces(hub, run, at, pieces + *count);
			run = end;
		} else {
			bytes += (size_t)(end - at);
		}
		at = end;
	}
	*count += ring_pieces(hub, run, at, pieces + *count);
	return bytes;
}

/* Puts a fallen member at the oldest line there is, and tells it. */
static void
member_rise(struct hub_member *member)
{
	const struct hub *hub = member->hub;
	uint64_t own = 0;
	if (member->own > 0)
		for (uint64_t number = hub->first; number < hub->next; number++)
			own += line_is_skipped(member, hub_line(hub, number));
	uint64_t dropped = hub->first - member->line - (member->own - own);
	member->own = own;
	member->line = hub->first;
	member->at = hub->tail;
	member->dropped += dropped;
	if (dropped > 0 && member->policy->drop_notice != NULL) {
		char notice[HUB_NOTICE_MAX];
		transport_write(member->transport, notice,
				member->policy->drop_notice(member->policy, dropped, notice, sizeof notice));
	}
}

/* Sends a member all it has not got, as far as its socket takes it, and puts it where it belongs. */
static void
member_send(struct hub_member *member)
{
	struct hub *hub = member->hub;
	struct iovec pieces[OFFER_PIECES];
	int count;
	if (member->place == HUB_FALLEN)
		member_rise(member);
	member_unlink(member);
	for (;;) {
		size_t offered = member_gather(member, pieces, &count);
		size_t taken = offered > 0 ? transport_offer(member->transport, pieces, count) : 0;
		member_advance(member, taken);
		if (taken < offered) {
			member_link(member, &hub_line(hub, member->line)->stuck, HUB_STUCK);
			return;
		}
		if (member->line == hub->next)
			break;
	}
	member_link(member, &hub->ready, HUB_READY);
}

static void
hub_flush(struct hub *hub)
{
	struct hub_member *next;
	hub->flushed = hub->head;
	hub->flushed_line = hub->next;
	for (struct hub_member *member = hub->ready; member != NULL; member = next) {
		next = member->next;
		if (member->line != hub->next)
			member_send(member);
	}
	if (hub->leaving < hub->members)
		return;
	for (struct hub_member *member = hub->ready; member != NULL; member = member->next)
		transport_lose(member->transport, REASON_SHUTDOWN);
}

static void
flush_deferred(struct deferred *deferred)
{
	struct hub *hub = (struct hub *)deferred;
	hub->flush_queued = false;
	hub_flush(hub);
	hub_unref(hub);
}

static void
hub_queue_flush(struct hub *hub)
{
	if (hub->flush_queued || hub->reactor == NULL)
		return;
	hub->flush_queued = true;
	hub_ref(hub);
	reactor_defer(hub->reactor, &hub->flush);
}

/* The line that a stuck member stopped at is to be overwritten. */
static void
member_fall(struct hub_member *member)
{
	struct hub *hub = member->hub;
	uint64_t end = line_begin(hub, member->line + 1);
	member_unlink(member);
	member->place = HUB_FALLEN;
	if (member->at != hub->tail) {
		struct iovec pieces[2];
		int count = ring_pieces(hub, member->at, end, pieces);
		for (int i = 0; i < count; i++)
			transport_write(member->transport, pieces[i].iov_base, pieces[i].iov_len);
		member->line++;
	}
	if (member->policy->on_slow == ON_SLOW_CLOSE)
		transport_lose(member->transport, REASON_TOO_SLOW);
}

/* Gives up the oldest line. */
static void
hub_drop_line(struct hub *hub)
{
	struct line *line = hub_line(hub, hub->first);
	while (line->stuck != NULL)
		member_fall(line->stuck);
	hub->tail = line_begin(hub, hub->first + 1);
	hub->first++;
}

void
hub_publish(struct hub *hub, struct hub_member *sender, const struct iovec *pieces, int count)
{
	size_t length = 0;
	for (int i = 0; i < count; i++)
		length += pieces[i].iov_len;
	assert(length > 0 && length <= hub->size / 2);

	/* Who keeps up must not fall because much came within one turn. */
	if (hub->head - hub->flushed + length > hub->size / 2
	    || hub->next - hub->flushed_line > hub->line_mask / 2)
		hub_flush(hub);
	while (hub->head - hub->tail + length > hub->size || hub->next - hub->first > hub->line_mask)
		hub_drop_line(hub);

	for (int i = 0; i < count; i++) {
		struct iovec to[2];
		const uint8_t *from = pieces[i].iov_base;
		int parts = ring_pieces(hub, hub->head, hub->head + pieces[i].iov_len, to);
		for (int part = 0; part < parts; from += to[part++].iov_len)
			memcpy(to[part].iov_base, from, to[part].iov_len);
		hub->head += pieces[i].iov_len;
	}
	*hub_line(hub, hub->next) = (struct line){
		.end = (uint32_t)hub->head,
		.sender = sender != NULL ? sender->id : 0,
	};
	hub->next++;
	if (sender != NULL && sender->policy->receives && !sender->policy->loopback)
		sender->own++;
	if (hub->ready != NULL)
		hub_queue_flush(hub);
}

void
hub_join(struct hub *hub, struct hub_member *member, struct transport *transport,
	 const struct hub_policy *policy, uint64_t history)
{
	assert(hub->reactor == NULL || hub->members == 0 || hub->reactor == transport_reactor(transport));
	hub->reactor = transport_reactor(transport);
	hub->members++;
	if (history > hub->next - hub->first)
		history = hub->next - hub->first;
	if (++hub->last_id == 0)
		hub->last_id = 1;
	*member = (struct hub_member){
		.hub = hub_ref(hub),
		.transport = transport,
		.policy = policy,
		.id = hub->last_id,
		.line = hub->next - history,
		.at = line_begin(hub, hub->next - history),
		.place = HUB_SILENT,
	};
	if (policy->receives)
		member_send(member);
}

void
hub_leave(struct hub_member *member)
{
	struct hub *hub = member->hub;
	if (hub == NULL)
		return;
	member_unlink(member);
	member->place = HUB_OUT;
	member->hub = NULL;
	hub->members--;
	hub->leaving -= member->leaving;
	if (hub->leaving > 0)
		hub_queue_flush(hub);
	hub_unref(hub);
}

void
hub_member_stop(struct hub_member *member)
{
	if (member->hub == NULL || member->leaving)
		return;
	member->leaving = true;
	member->hub->leaving++;
	hub_queue_flush(member->hub);
}

void
hub_member_drained(struct hub_member *member)
{
	struct hub *hub = member->hub;
	if (hub == NULL || (member->place != HUB_STUCK && member->place != HUB_FALLEN))
		return;
	member_send(member);
	if (member->place == HUB_READY && hub->leaving > 0)
		hub_queue_flush(hub);
}

uint64_t
hub_next_line(const struct hub *hub)
{
	return hub->next;
}

struct hub *
hub_new(size_t size)
{
	struct hub *hub = calloc(1, sizeof *hub);
	if (hub == NULL)
		return NULL;
	atomic_init(&hub->refs, 1);
	hub->flush.fn = flush_deferred;
	hub->size = size;
	hub->line_mask = 1;
	while (hub->line_mask + 1 < size / LINE_BYTES)
		hub->line_mask = hub->line_mask * 2 + 1;
	hub->first = hub->next = hub->flushed_line = 1;
	/* What has not been written to yet costs no memory. */
	hub->bytes = malloc(size);
	hub->lines = malloc((hub->line_mask + 1) * sizeof *hub->lines);
	if (hub->bytes == NULL || hub->lines == NULL) {
		hub_unref(hub);
		return NULL;
	}
	return hub;
}

struct hub *
hub_ref(struct hub *hub)
{
	atomic_fetch_add_explicit(&hub->refs, 1, memory_order_relaxed);
	return hub;
}

void
hub_unref(struct hub *hub)
{
	if (atomic_fetch_sub_explicit(&hub->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(hub->bytes);
	free(hub->lines);
	free(hub);
}
