/* hub.c - lines that members send each other: each line stored once, each member a place among them. */
#include "protocols/hub.h"

#include <assert.h>
#include <stdlib.h>

#include "net/reactor.h"
#include "net/transport.h"
#include "protocols/hub_private.h"

static void
hub_flush(struct hub *hub)
{
	struct hub_member *next;
	hub->flushed = hub->ring->head;
	hub->flushed_line = hub->ring->next;
	for (struct hub_member *member = hub->ready; member != NULL; member = next) {
		next = member->next;
		if (member->line != hub->ring->next)
			member_send(member);
		if (member->ending && member->place == HUB_READY)
			transport_lose(member->transport, (enum reason)member->end_reason);
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

/* Gives up the oldest line. */
static void
hub_drop_line(struct hub *hub)
{
	struct line *line = ring_line(hub->ring, hub->ring->first);
	while (line->stuck != NULL)
		member_fall(line->stuck);
	policies_lose_line(hub);
	ring_drop(hub->ring);
}

/* Who keeps up must not fall because much came within one turn. */
static bool
hub_should_flush(const struct hub *hub, size_t length)
{
	const struct ring *ring = hub->ring;
	return ring->head - hub->flushed + length > ring->size / 2
	       || ring->next - hub->flushed_line > ring->line_mask / 2;
}

bool
hub_publish(struct hub *hub, const struct hub_text *text)
{
	struct ring *ring = hub->ring;
	struct hub_member *sender = text->sender;
	size_t length = text->prefix_length + text->length + 1;
	const struct iovec pieces[] = {
		{ .iov_base = (void *)text->prefix, .iov_len = text->prefix_length },
		{ .iov_base = (void *)text->text, .iov_len = text->length },
		{ .iov_base = (void *)"\n", .iov_len = 1 },
	};
	if (length > ring_longest(ring))
		return false;
	if (hub_should_flush(hub, length))
		hub_flush(hub);
	while (!ring_fits(ring, ring->first, length, 1))
		hub_drop_line(hub);

	struct line *line = ring_add(ring, pieces, 3);
	line->sender = sender != NULL ? sender->id : 0;
	line->time = (uint32_t)(reactor_now_ms() / RING_TIME_MS);
	line->prefix = (uint16_t)text->prefix_length;
	policies_judge(hub, text);
	if (sender != NULL && sender->policy->receives && !sender->policy->loopback)
		sender->own++;
	hub->counts.lines++;
	hub->counts.bytes += length;
	if (hub->ready != NULL)
		hub_queue_flush(hub);
	return true;
}

/*
 * The first of the lines that somebody is to get who joins now. Lines are in the order of their
 * times.
 */
static uint64_t
history_first(const struct ring *ring, const struct hub_history *history)
{
	uint64_t low = ring->first, high = ring->next;
	uint32_t now = (uint32_t)(reactor_now_ms() / RING_TIME_MS);
	uint64_t most_age = (uint64_t)history->age_ms / RING_TIME_MS;
	if (history->lines < high - low)
		low = high - history->lines;
	while (history->age_ms != 0 && low < high) {
		uint64_t middle = low + (high - low) / 2;
		if ((uint32_t)(now - ring_line(ring, middle)->time) > most_age)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void
receiver_link(struct hub_member *member)
{
	struct hub_member **all = &member->hub->all;
	member->next_receiver = *all;
	member->receiver_link = all;
	if (*all != NULL)
		(*all)->receiver_link = &member->next_receiver;
	*all = member;
}

static void
receiver_unlink(struct hub_member *member)
{
	*member->receiver_link = member->next_receiver;
	if (member->next_receiver != NULL)
		member->next_receiver->receiver_link = member->receiver_link;
}

void
hub_join(struct hub *hub, struct hub_member *member, struct transport *transport,
	 struct hub_policy *policy, const struct hub_history *history)
{
	uint64_t first = history_first(hub->ring, history);
	assert(hub->reactor == NULL || hub->members == 0
	       || hub->reactor == transport_reactor(transport));
	hub->reactor = transport_reactor(transport);
	*member = (struct hub_member){ .hub = NULL };
	if (policy_enter(hub, policy, first) < 0) {
		transport_abort(transport, REASON_NO_RESOURCES);
		return;
	}
	hub->members++;
	if (++hub->last_id == 0)
		hub->last_id = 1;
	*member = (struct hub_member){
		.hub = hub_ref(hub),
		.transport = transport,
		.policy = policy,
		.id = hub->last_id,
		.line = first,
		.at = ring_begin(hub->ring, first),
		.place = HUB_SILENT,
		.acknowledged = UINT64_MAX,
	};
	if (!policy->receives)
		return;
	credit_inherit(member);
	receiver_link(member);
	member_send(member);
}

void
hub_leave(struct hub_member *member)
{
	struct hub *hub = member->hub;
	if (hub == NULL)
		return;
	member_count_dropped(member);
	member_clear(member);
	credit_forget(member);
	member->place = HUB_OUT;
	member->hub = NULL;
	hub->members--;
	if (member->policy->receives)
		receiver_unlink(member);
	hub->leaving -= member->leaving;
	policy_leave(hub, member->policy);
	if (hub->leaving > 0)
		hub_queue_flush(hub);
	pace_moved(hub);
	pace_end(hub);
	hub_unref(hub);
}

/* It has nothing to say any more. */
static void
member_leaves(struct hub_member *member)
{
	if (member->leaving)
		return;
	member->leaving = true;
	member->hub->leaving++;
	hub_queue_flush(member->hub);
}

void
hub_member_stop(struct hub_member *member)
{
	if (member->hub != NULL)
		member_leaves(member);
}

/* It gets no line from this one on. */
static void
member_end_at(struct hub_member *member, uint64_t end_line, enum reason reason)
{
	if (!member->ending)
		member->end_reason = (uint8_t)reason;
	if (!member->ending || end_line < member->end_line)
		member->end_line = end_line;
	member->ending = true;
	hub_queue_flush(member->hub);
}

void
hub_member_end(struct hub_member *member, enum reason reason)
{
	if (member->hub == NULL)
		return;
	member_end_at(member, member->hub->ring->next, reason);
	member_leaves(member);
}

void
hub_member_cut(struct hub_member *member, enum reason reason)
{
	if (member->hub == NULL)
		return;
	member_end_at(member, member->line + member_is_within_line(member), reason);
	if (member->place == HUB_STUCK || member->place == HUB_FALLEN)
		member_send(member);
}

void
hub_member_drained(struct hub_member *member)
{
	struct hub *hub = member->hub;
	if (hub == NULL || (member->place != HUB_STUCK && member->place != HUB_FALLEN))
		return;
	credit_member_moves(member);
	member_send(member);
	if (member->place == HUB_READY && (hub->leaving > 0 || member->ending))
		hub_queue_flush(hub);
	pace_moved(hub);
}

uint64_t
hub_next_line(const struct hub *hub)
{
	return hub->ring->next;
}

size_t
hub_size(const struct hub *hub)
{
	return hub->ring->size;
}

/* Lets the first of those who are stuck at each line know where that is now. */
static void
ring_relink(const struct ring *ring)
{
	for (uint64_t number = ring->first; number < ring->next; number++)
		if (ring_line(ring, number)->stuck != NULL)
			ring_line(ring, number)->stuck->link = &ring_line(ring, number)->stuck;
}

bool
hub_resize(struct hub *hub, struct ring *ring)
{
	struct ring *old = hub->ring;
	uint64_t first = old->first;
	unsigned char **verdicts = policies_verdicts(hub, ring);
	if (verdicts == NULL) {
		ring_free(ring);
		return false;
	}
	hub_flush(hub);
	while (old->head - ring_begin(old, first) > ring->size
	       || old->next - first > ring->line_mask + 1)
		first++;
	while (old->first < first)
		hub_drop_line(hub);
	policies_resize(hub, ring, verdicts);
	ring_take(ring, old);
	ring_relink(ring);
	hub->ring = ring;
	ring_free(old);
	pace_moved(hub);
	return true;
}

void
hub_open(struct hub *hub, struct hub_section *section, struct reactor *reactor)
{
	struct hub_section **end = &hub->sections;
	while (*end != NULL)
		end = &(*end)->next;
	section->next = NULL;
	*end = section;
	hub->reactor = reactor;
}

void
hub_close(struct hub *hub, struct hub_section *section)
{
	struct hub_section **link = &hub->sections;
	while (*link != section)
		link = &(*link)->next;
	*link = section->next;
}

bool
hub_speaks(const struct hub *hub, const struct hub_section *section)
{
	return hub->sections == section;
}

struct hub_counts
hub_count(const struct hub *hub)
{
	struct hub_counts counts = hub->counts;
	counts.members = hub->members;
	for (const struct hub_member *member = hub->all; member != NULL; member = member->next_receiver)
		counts.slow += member->slow
			       && (member->place == HUB_STUCK || member->place == HUB_FALLEN);
	return counts;
}

void
hub_count_over_rate(struct hub *hub)
{
	hub->counts.over_rate++;
}

struct hub *
hub_new(size_t size)
{
	struct hub *hub = calloc(1, sizeof *hub);
	if (hub == NULL)
		return NULL;
	atomic_init(&hub->refs, 1);
	hub->flush.fn = flush_deferred;
	hub->flushed_line = 1;
	pace_init(hub);
	hub->ring = ring_new(size);
	if (hub->ring == NULL) {
		free(hub);
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
	ring_free(hub->ring);
	free(hub);
}
