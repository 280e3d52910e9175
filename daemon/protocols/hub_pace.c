/* hub_pace.c - who waits for whom: publishers for members that keep up, and nobody for those that do not. */
#include <assert.h>
#include <limits.h>

#include "net/deadline.h"
#include "net/transport.h"
#include "net/wheel.h"
#include "protocols/hub_private.h"

/*
 * A publisher waits while its line would take the place of a member that is behind but has credit.
 * Credit is waiting time: CREDIT_MS at first, and 1 ms comes back every CREDIT_RATIO ms. So one
 * slow member holds the others up for a twentieth of the time in the long run.
 *
 * A member is hungry when it has everything, as far as its system has acknowledged it: it starves
 * while publishers wait for others. Of those in the older half of the ring (or further on, where
 * that is in the way)
 *
 *   - who still moves is charged for the time that publishers wait, if at least half of those who
 *     receive are hungry: then it is the slow one. Where most have something to read, it is the hub
 *     that is fast;
 *   - whose socket has not moved for STILL_MS is charged all it has, if somebody is hungry (or if
 *     it is a publisher that waits itself, and would rather wait for ever than read); for
 *     STILL_FEW_MS, if nearly all are.
 *
 * But members that one busy program reads in turn are still until their turn comes: nobody is
 * charged for moving slowly while others get hungry, from one tick to the next, nor for being still
 * while others move, unless for STILL_MOST_MS: then it does not count among those who receive,
 * either. And such a program may be kept from running: nobody having moved means something when it
 * takes twice as long as it lately took until somebody moved again.
 *
 * Who comes begins with what is left to the one who left with the least: to come again does not
 * renew it. Without credit a member is slow, and is lapped until it has caught up and has credit
 * again. When all are behind and none moves, the write_timeout of their transports ends that.
 *
 * Time counts only as far as we have seen it: when we have not run for a while, neither have
 * others.
 */
enum {
	CREDIT_MS = 500,
	CREDIT_RATIO = 20,
	AGAIN_MS = 64,		/* of credit, before a slow one is waited for again: it may stall at once */
	TICK_MS = WHEEL_TICK_MS,
	STILL_MS = 400,
	STILL_MOST_MS = 2000,
	STILL_FEW_MS = 48,	/* longer than a tick: who has not run for a while is given one */
	ONE_TICK_MS = 3 * TICK_MS / 4,	/* from one to the next, as the clock goes */
	PAUSE_MOST_MS = 500,
	PAUSE_TICKS = 32,	/* how long one counts */
	FEW_SHARE = 4,		/* at most one in so many of those who receive is not hungry */
	PATIENCE_MS = 100,	/* of waiting, before anybody but one of few is taken for still */
	ROOM_SHARE = 8,		/* of the ring, to be free before those who wait go on */
};

/* Whether a member may still be waited for, for so long. */
static bool
has_credit(const struct hub_member *member, uint64_t now_ms, uint64_t ms)
{
	return member->spent_until + ms * CREDIT_RATIO < now_ms + CREDIT_MS * CREDIT_RATIO;
}

bool
pace_holds(const struct hub_member *member)
{
	return !member->slow && transport_can_write(member->transport);
}

/* Whether a line is where a member is that is not to lose its place. */
static bool
line_is_held(const struct line *line)
{
	for (const struct hub_member *member = line->stuck; member != NULL; member = member->next)
		if (pace_holds(member))
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

static void
member_slow_down(struct hub_member *member)
{
	member->slow = true;
	member->hub->counts.slow++;
}

void
pace_inherit(struct hub_member *member)
{
	member->spent_until = member->hub->left_spent_until;
	if (!has_credit(member, reactor_now_ms(), AGAIN_MS))
		member_slow_down(member);
}

void
pace_forget(struct hub_member *member)
{
	struct hub *hub = member->hub;
	if (hub->left_spent_until < member->spent_until)
		hub->left_spent_until = member->spent_until;
	if (member->slow)
		hub->counts.slow--;
	member->slow = false;
}

void
pace_forgive(struct hub_member *member)
{
	if (!has_credit(member, reactor_now_ms(), AGAIN_MS))
		return;
	member->slow = false;
	member->hub->counts.slow--;
}

void
pace_stick(const struct hub_member *member)
{
	if (!member->slow && member->hub->free_to > member->line)
		member->hub->free_to = member->line;
}

/* Those who receive and are waited for or have everything, and those of them who are hungry. */
struct standing {
	unsigned receivers, hungry;
	bool moved;		/* one of those who are waited for has, since the last tick */
};

/*
 * Of publishers that have waited all but one count: it may be the one whose lines all are, and has
 * everything easily; the others have had its lines.
 */
static struct standing
hub_standing(struct hub *hub, uint64_t elapsed_ms)
{
	struct standing standing = { 0 };
	unsigned hungry_publishers = 0;
	for (struct hub_member *member = hub->all; member != NULL;
	     member = member->next_receiver) {
		struct transport *transport = member->transport;
		if (!transport_can_write(transport))
			continue;
		bool is_ready = member->place == HUB_READY;
		bool is_hungry = is_ready && transport_is_delivered(transport);
		uint64_t acknowledged = transport_acknowledged(transport);
		bool moved = acknowledged > member->acknowledged;
		member->acknowledged = acknowledged;
		member->still_ms = moved || is_hungry ? 0 : member->still_ms + elapsed_ms;
		bool is_gone = member->still_ms >= STILL_MOST_MS;
		standing.moved = standing.moved || (moved && !member->slow);
		standing.receivers += !is_gone && (is_ready || !member->slow);
		standing.hungry += is_hungry;
		hungry_publishers += is_hungry && member->waited;
	}
	if (hungry_publishers > 0) {
		standing.receivers--;
		standing.hungry--;
	}
	return standing;
}

/* Whether a member has been still for so long that it is not waited for any more. */
static bool
member_has_stalled(const struct hub_member *member, const struct standing *standing)
{
	const struct hub *hub = member->hub;
	bool is_one_of_few =
		standing->hungry > 0
		&& standing->hungry * FEW_SHARE >= standing->receivers * (FEW_SHARE - 1);
	bool others_starve = standing->hungry > 0 || member->waited;
	bool nobody_moves = hub->still_ms >= STILL_FEW_MS && hub->still_ms >= 2 * hub->pause_ms;
	int64_t still_ms = !nobody_moves ? STILL_MOST_MS : is_one_of_few ? STILL_FEW_MS : STILL_MS;
	return others_starve && hub->waited_ms >= (is_one_of_few ? STILL_FEW_MS : PATIENCE_MS)
	       && transport_is_still(member->transport, still_ms);
}

static void
member_charge(struct hub_member *member, const struct standing *standing, uint64_t elapsed_ms)
{
	const struct hub *hub = member->hub;
	if (member_has_stalled(member, standing)) {
		member->spent_until = hub->ticked_ms + CREDIT_MS * CREDIT_RATIO;
	} else if (hub->level_ms >= ONE_TICK_MS && standing->hungry * 2 >= standing->receivers
		   && standing->hungry > 0) {
		if (member->spent_until < hub->ticked_ms)
			member->spent_until = hub->ticked_ms;
		member->spent_until += elapsed_ms * CREDIT_RATIO;
	}
	if (!has_credit(member, hub->ticked_ms, 0))
		member_slow_down(member);
}

/* Somebody has moved while publishers wait, after so long since the last tick. */
static void
pace_note_move(struct hub *hub, uint64_t elapsed_ms)
{
	uint64_t pause_ms = hub->still_ms + (elapsed_ms < TICK_MS ? elapsed_ms : TICK_MS);
	if (hub->pause_ms < pause_ms)
		hub->pause_ms = pause_ms < PAUSE_MOST_MS ? pause_ms : PAUSE_MOST_MS;
	hub->still_ms = 0;
}

void
pace_member_moves(const struct hub_member *member)
{
	struct hub *hub = member->hub;
	if (hub->waiters != NULL && !member->slow)
		pace_note_move(hub, reactor_now_ms() - hub->ticked_ms);
}

/* Takes note of for how long nobody has moved, or got hungry. */
static void
pace_compare(struct hub *hub, const struct standing *standing, uint64_t elapsed_ms)
{
	if (standing->moved)
		pace_note_move(hub, 0);
	else
		hub->still_ms += elapsed_ms;
	hub->pause_ms -= hub->pause_ms / PAUSE_TICKS;
	hub->level_ms = standing->hungry > hub->hungry ? 0 : hub->level_ms + elapsed_ms;
	hub->hungry = standing->hungry;
}

/* Takes note of how long somebody has waited by now, as far as we have run. */
static void
pace_account(struct hub *hub)
{
	uint64_t now_ms = reactor_now_ms(), elapsed_ms = now_ms - hub->ticked_ms;
	if (elapsed_ms > TICK_MS)
		elapsed_ms = TICK_MS;
	hub->ticked_ms = now_ms;
	hub->waited_ms += elapsed_ms;
	hub->uncharged_ms += elapsed_ms;
}

/* Room to be made before those who wait go on. */
static size_t
room_bytes(const struct hub *hub)
{
	size_t bytes = hub->ring->size / ROOM_SHARE;
	return bytes < hub->wanted ? hub->wanted : bytes;
}

static size_t
room_lines(const struct hub *hub)
{
	return (hub->ring->line_mask + 1) / ROOM_SHARE;
}

/*
 * Whether a member is stuck in the older half, or where lines must go to make room: few long ones
 * may follow many short ones.
 */
static bool
is_in_the_way(const struct hub_member *member)
{
	const struct hub *hub = member->hub;
	const struct ring *ring = hub->ring;
	return member->place == HUB_STUCK
	       && (member->line < ring->first + (ring->next - ring->first + 1) / 2
		   || !ring_fits(ring, member->line, room_bytes(hub), room_lines(hub)));
}

/* From here on only who waits has waited. */
static void
pace_note_waiters(struct hub *hub)
{
	for (struct hub_member *member = hub->all; member != NULL; member = member->next_receiver)
		member->waited = false;
	for (struct hub_waiter *waiter = hub->waiters; waiter != NULL; waiter = waiter->next)
		if (waiter->member != NULL)
			waiter->member->waited = true;
}

/* Every TICK_MS, while somebody waits, and once more. */
static void
pace_tick(void *arg)
{
	struct hub *hub = arg;
	unsigned slow = hub->counts.slow;
	if (hub->waiters != NULL)
		pace_account(hub);
	uint64_t elapsed_ms = hub->uncharged_ms;
	const struct standing standing = hub_standing(hub, elapsed_ms);
	hub->uncharged_ms = 0;
	pace_compare(hub, &standing, elapsed_ms);
	for (struct hub_member *member = hub->all; member != NULL; member = member->next_receiver)
		if (pace_holds(member) && is_in_the_way(member))
			member_charge(member, &standing, elapsed_ms);
	pace_note_waiters(hub);
	/* That those who waited for them go on now is no end of a pause. */
	if (hub->counts.slow != slow)
		hub->still_ms = 0;
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
	if (place_is_held(hub, room_bytes(hub), room_lines(hub)))
		return;
	hub->resume_queued = true;
	hub_ref(hub);
	reactor_defer(hub->reactor, &hub->resume);
}

/* A single publisher waits again and again: that is one wait, unless it has paused. */
static void
pace_begin(struct hub *hub)
{
	uint64_t now_ms = reactor_now_ms(), break_ms = now_ms - hub->ticked_ms;
	if (break_ms > TICK_MS) {
		hub->waited_ms = hub->still_ms = hub->level_ms = 0;
		hub->hungry = UINT_MAX;		/* not known: nobody has got so since then */
	}
	if (break_ms > PAUSE_TICKS * TICK_MS)
		hub->pause_ms = 0;
	hub->ticked_ms = now_ms;
}

void
hub_wait(struct hub *hub, struct hub_waiter *waiter)
{
	if (hub->waiters == NULL)
		pace_begin(hub);
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
	if (hub->members == 0)
		reactor_unset_deadline(hub->reactor, &hub->tick);
}

void
pace_init(struct hub *hub)
{
	hub->waiters_end = &hub->waiters;
	hub->resume.fn = resume_deferred;
	hub->tick.fn = pace_tick;
	hub->tick.arg = hub;
}
