/* hub_credit.c - who is waited for: members that keep up, and nobody for those that do not. */
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
 *   - who moves is charged for the time that publishers have waited for that, if at least half of
 *     those who receive are hungry: then it is the slow one. Where most have something to read, it
 *     is the hub that is fast;
 *   - whose socket has not moved for STILL_MS is charged all it has, if somebody is hungry (or if
 *     it is a publisher that waits itself, and would rather wait for ever than read); for
 *     STILL_FEW_MS for each that is not, if nearly all are; for a part of that, if it has but a
 *     part of its credit.
 *
 * But members that one busy program reads in turn are still until their turn comes: nobody is
 * charged for moving slowly if somebody has caught up since it moved before, nor for being still
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
	STILL_FEW_MS = 48,	/* longer than a tick, and what a time counts in which nothing runs */
	PAUSE_MOST_MS = 500,
	PAUSE_TICKS = 128,	/* how long one counts */
	FEW_SHARE = 4,		/* at most one in so many of those who receive is not hungry */
};

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* For how long a member may still be waited for. */
static uint64_t
credit_ms(const struct hub_member *member, uint64_t now_ms)
{
	if (member->spent_until <= now_ms)
		return CREDIT_MS;
	uint64_t spent_ms = (member->spent_until - now_ms + CREDIT_RATIO - 1) / CREDIT_RATIO;
	return spent_ms < CREDIT_MS ? CREDIT_MS - spent_ms : 0;
}

bool
credit_holds(const struct hub_member *member)
{
	return !member->slow && transport_can_write(member->transport);
}

void
credit_inherit(struct hub_member *member)
{
	member->spent_until = member->hub->left_spent_until;
	member->slow = true;
	credit_forgive(member);
}

void
credit_forget(struct hub_member *member)
{
	struct hub *hub = member->hub;
	if (hub->left_spent_until < member->spent_until)
		hub->left_spent_until = member->spent_until;
}

void
credit_forgive(struct hub_member *member)
{
	if (member->slow && credit_ms(member, reactor_now_ms()) >= AGAIN_MS)
		member->slow = false;
}

/* Those who receive and are waited for or have everything, and those of them who are hungry. */
struct standing {
	unsigned receivers, hungry;
	/* Since the last tick: */
	bool moved;		/* one of those who are waited for has */
	bool turned;		/* one that was behind has got everything */
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
	for (struct hub_member *member = hub->all; member != NULL; member = member->next_receiver) {
		struct transport *transport = member->transport;
		if (!transport_can_write(transport))
			continue;
		bool is_ready = member->place == HUB_READY;
		bool is_hungry = is_ready && transport_is_delivered(transport);
		uint64_t acknowledged = transport_acknowledged(transport);
		bool moved = acknowledged > member->acknowledged;
		member->acknowledged = acknowledged;
		bool again = moved && member->moved_at == hub->turns;
		member->moved_ms = again ? member->still_ms + elapsed_ms : 0;
		member->moved_at = moved ? hub->turns : member->moved_at;
		member->still_ms = moved || is_hungry ? 0 : member->still_ms + elapsed_ms;
		bool is_gone = member->still_ms >= STILL_MOST_MS;
		standing.moved = standing.moved || (moved && !member->slow);
		standing.receivers += !is_gone && (is_ready || !member->slow);
		standing.hungry += is_hungry;
		standing.turned = standing.turned || (is_hungry && member->behind);
		member->behind = !is_hungry && (member->behind || !is_ready);
		hungry_publishers += is_hungry && member->waited;
	}
	if (hungry_publishers > 0) {
		standing.receivers--;
		standing.hungry--;
	}
	return standing;
}

/*
 * For how long nobody may move before one that is still is given up: the fewer may be those whom
 * one program has still to read, the shorter.
 */
static uint64_t
patience_ms(const struct standing *standing)
{
	uint64_t few = standing->receivers - standing->hungry;
	if (standing->hungry == 0 || few * FEW_SHARE > standing->receivers)
		return STILL_MS;
	return least(few * STILL_FEW_MS, STILL_MS);
}

/* Of a time, what is due to one whom so much credit is left. */
static uint64_t
share_ms(uint64_t ms, uint64_t credit)
{
	uint64_t share = ms * credit / CREDIT_MS;
	return share < STILL_FEW_MS ? STILL_FEW_MS : share;
}

/* Of one that has been still for so long that it is not waited for any more: how long; else 0. */
static uint64_t
stalled_ms(const struct hub_member *member, const struct standing *standing)
{
	const struct hub *hub = member->hub;
	uint64_t credit = credit_ms(member, hub->ticked_ms);
	uint64_t patience = share_ms(patience_ms(standing), credit);
	bool others_starve = standing->hungry > 0 || member->waited;
	bool nobody_moves = hub->still_ms >= patience && hub->still_ms >= 2 * hub->pause_ms;
	if (!nobody_moves)
		patience = share_ms(STILL_MOST_MS, credit);
	if (!others_starve || member->still_ms < patience)
		return 0;
	uint64_t way_ms = transport_way_ms(member->transport);
	if (member->still_ms < patience + way_ms)
		return 0;
	return least(member->still_ms, STILL_MS + way_ms);
}

static void
member_spend(struct hub_member *member, uint64_t ms)
{
	uint64_t now_ms = member->hub->ticked_ms;
	if (member->spent_until < now_ms)
		member->spent_until = now_ms;
	member->spent_until += ms * CREDIT_RATIO;
}

static void
member_charge(struct hub_member *member, const struct standing *standing)
{
	uint64_t now_ms = member->hub->ticked_ms;
	uint64_t stalled = stalled_ms(member, standing);
	if (stalled > 0) {
		/* All it has, or more; when in a tick it began is not known. */
		member_spend(member, stalled + TICK_MS);
		member_spend(member, credit_ms(member, now_ms));
	} else if (!standing->turned && standing->hungry * 2 >= standing->receivers
		   && standing->hungry > 0) {
		member_spend(member, least(member->moved_ms, STILL_MS));
	}
	member->slow = credit_ms(member, now_ms) == 0;
}

/* Somebody has moved while publishers wait, after so long since the last tick. */
static void
note_move(struct hub *hub, uint64_t elapsed_ms)
{
	uint64_t pause_ms = least(hub->still_ms + least(elapsed_ms, TICK_MS), PAUSE_MOST_MS);
	if (hub->pause_ms < pause_ms)
		hub->pause_ms = pause_ms;
	hub->still_ms = 0;
}

void
credit_member_moves(const struct hub_member *member)
{
	struct hub *hub = member->hub;
	if (hub->waiters != NULL && !member->slow)
		note_move(hub, reactor_now_ms() - hub->ticked_ms);
}

/* Takes note of for how long nobody has moved, and of whose turn is over. */
static void
compare(struct hub *hub, const struct standing *standing, uint64_t elapsed_ms)
{
	if (standing->moved)
		note_move(hub, 0);
	else
		hub->still_ms += elapsed_ms;
	hub->pause_ms -= (hub->pause_ms + PAUSE_TICKS - 1) / PAUSE_TICKS;
	hub->turns += standing->turned;
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
		   || !ring_fits(ring, member->line, pace_room_bytes(hub), pace_room_lines(hub)));
}

/* From here on only who waits has waited. */
static void
note_waiters(struct hub *hub)
{
	for (struct hub_member *member = hub->all; member != NULL; member = member->next_receiver)
		member->waited = false;
	for (struct hub_waiter *waiter = hub->waiters; waiter != NULL; waiter = waiter->next)
		if (waiter->member != NULL)
			waiter->member->waited = true;
}

void
credit_begin(struct hub *hub, uint64_t break_ms)
{
	if (break_ms > TICK_MS) {
		hub->still_ms = 0;
		for (struct hub_member *member = hub->all; member != NULL; member = member->next_receiver)
			member->still_ms = 0;
	}
	if (break_ms > PAUSE_TICKS * TICK_MS)
		hub->pause_ms = 0;
}

void
credit_tick(struct hub *hub, uint64_t elapsed_ms)
{
	const struct standing standing = hub_standing(hub, elapsed_ms);
	bool somebody_slows = false;
	compare(hub, &standing, elapsed_ms);
	for (struct hub_member *member = hub->all; member != NULL; member = member->next_receiver)
		if (credit_holds(member) && is_in_the_way(member)) {
			member_charge(member, &standing);
			somebody_slows = somebody_slows || member->slow;
		}
	note_waiters(hub);
	/* That those who waited for them go on now is no end of a pause. */
	if (somebody_slows)
		hub->still_ms = 0;
}
