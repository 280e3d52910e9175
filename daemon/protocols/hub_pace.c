/* hub_pace.c - publishers that wait until there is room, and how they go on. */
#include <assert.h>

#include "net/deadline.h"
#include "net/transport.h"
#include "net/wheel.h"
#include "protocols/hub_private.h"

enum {
	TICK_MS = WHEEL_TICK_MS,
	ROOM_SHARE = 8,		/* of the ring, to be free before those who wait go on */
};

/* Whether a line is where a member is that is not to lose its place. */
static bool
line_is_held(const struct line *line)
{
	for (const struct hub_member *member = line->stuck; member != NULL; member = member->next)
		if (credit_holds(member))
			return true;
	return false;
}

/* Whether storing so many bytes and lines would take the place of a member that is waited for. */
static bool
place_is_held(struct hub *hub, size_t bytes, size_t lines)
{
	const struct ring *ring = hub->ring;
	if (hub->free_to < ring->first)
		hub->free_to = ring->first;
	for (; hub->free_to < ring->next; hub->free_to++) {
		if (ring_fits(ring, hub->free_to, bytes, lines))
			return false;
		if (line_is_held(ring_line(ring, hub->free_to)))
			return true;
	}
	return false;
}

bool
hub_has_room(struct hub *hub, size_t length)
{
	return (hub->waiters == NULL || hub->resuming) && !place_is_held(hub, length, 1);
}

void
pace_stick(const struct hub_member *member)
{
	if (!member->slow && member->hub->free_to > member->line)
		member->hub->free_to = member->line;
}

/*
 * Takes note of how long somebody has waited by now. When we have not run for a while, neither may
 * others have: that counts for less than half a tick.
 */
static void
pace_account(struct hub *hub)
{
	uint64_t now_ms = reactor_now_ms(), elapsed_ms = now_ms - hub->ticked_ms;
	if (elapsed_ms > 2 * TICK_MS)
		elapsed_ms = TICK_MS / 2 - 1;
	else if (elapsed_ms > TICK_MS)
		elapsed_ms = TICK_MS;
	hub->ticked_ms = now_ms;
	hub->uncharged_ms += elapsed_ms;
}

size_t
pace_room_bytes(const struct hub *hub)
{
	size_t bytes = hub->ring->size / ROOM_SHARE;
	return bytes < hub->wanted ? hub->wanted : bytes;
}

size_t
pace_room_lines(const struct hub *hub)
{
	return (hub->ring->line_mask + 1) / ROOM_SHARE;
}

/* Every TICK_MS, while somebody waits, and once more. */
static void
pace_tick(void *arg)
{
	struct hub *hub = arg;
	if (hub->waiters != NULL)
		pace_account(hub);
	uint64_t elapsed_ms = hub->uncharged_ms;
	hub->uncharged_ms = 0;
	credit_tick(hub, elapsed_ms);
	pace_moved(hub);
	if (hub->waiters != NULL || elapsed_ms > 0)
		reactor_set_deadline(hub->reactor, &hub->tick, reactor_now_ms() + TICK_MS / 2);
}

/* Lets those who wait publish; who finds no room waits again, behind the others. */
static void
resume_deferred(struct deferred *deferred)
{
	struct hub *hub = (struct hub *)((char *)deferred - offsetof(struct hub, resume));
	struct hub_waiter *last = NULL, *waiter = hub->waiters;
	hub->resume_queued = false;
	while (waiter != NULL) {
		last = waiter;
		waiter = waiter->next;
	}
	hub->resuming = true;
	hub->wanted = 0;
	for (bool more = last != NULL; more;) {
		waiter = hub->waiters;
		more = waiter != last;
		hub_unwait(hub, waiter);
		waiter->go_on(waiter);
	}
	hub->resuming = false;
	hub_unref(hub);
}

void
pace_moved(struct hub *hub)
{
	if (hub->waiters == NULL || hub->resume_queued || hub->resuming)
		return;
	if (place_is_held(hub, pace_room_bytes(hub), pace_room_lines(hub)))
		return;
	hub->resume_queued = true;
	hub_ref(hub);
	reactor_defer(hub->reactor, &hub->resume);
}

void
hub_wait(struct hub *hub, struct hub_waiter *waiter)
{
	/* A single publisher waits again and again: that is one wait, unless it has paused. */
	if (hub->waiters == NULL) {
		credit_begin(hub, reactor_now_ms() - hub->ticked_ms);
		hub->ticked_ms = reactor_now_ms();
	}
	if (!wheel_timer_is_set(&hub->tick.timer))
		reactor_set_deadline(hub->reactor, &hub->tick, reactor_now_ms() + TICK_MS / 2);
	assert(waiter->link == NULL);
	waiter->next = NULL;
	waiter->link = hub->waiters_end;
	*hub->waiters_end = waiter;
	hub->waiters_end = &waiter->next;
	if (waiter->member != NULL)
		waiter->member->waited = true;
	if (hub->wanted < waiter->length)
		hub->wanted = waiter->length;
}

void
hub_unwait(struct hub *hub, struct hub_waiter *waiter)
{
	if (waiter->link == NULL)
		return;
	*waiter->link = waiter->next;
	if (waiter->next != NULL)
		waiter->next->link = waiter->link;
	else
		hub->waiters_end = waiter->link;
	waiter->link = NULL;
	if (hub->waiters == NULL)
		pace_account(hub);
}

void
pace_end(struct hub *hub)
{
	if (hub->members > 0)
		return;
	reactor_unset_deadline(hub->reactor, &hub->tick);
	hub->uncharged_ms = 0;
}

void
pace_init(struct hub *hub)
{
	hub->waiters_end = &hub->waiters;
	hub->resume.fn = resume_deferred;
	hub->tick.fn = pace_tick;
	hub->tick.arg = hub;
}
