/* hub_member.c - what a member gets: its lines, from the ring to its transport, and what it misses. */
#include <stdlib.h>
#include <string.h>

#include "net/transport.h"
#include "protocols/hub_private.h"

enum { OFFER_PIECES = 256 };

/* What is left of a line of which a member has got a part, with its end. */
struct hub_rest {
	size_t length, at;
	uint8_t bytes[];
};

void
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
	member->place = (uint8_t)place;
	member->next = *list;
	member->link = list;
	if (member->next != NULL)
		member->next->link = &member->next;
	*list = member;
}

void
member_clear(struct hub_member *member)
{
	member_unlink(member);
	free(member->rest);
	member->rest = NULL;
}

static bool
line_is_own(const struct hub_member *member, uint64_t number)
{
	return ring_line(member->hub->ring, number)->sender == member->id
	       && !member->policy->loopback;
}

/* The first line that a member is not to get any more, or not yet. */
static uint64_t
member_end_line(const struct hub_member *member)
{
	return member->ending ? member->end_line : member->hub->ring->next;
}

/* Whether all that is in the ring is for the member as it stands there. */
static bool
member_gets_all(const struct hub_member *member)
{
	return member->own == 0 && member->policy->filter == NULL && !member->policy->crlf;
}

/* Where a line ends, a byte of it or its begin being at `at`. */
static uint64_t
line_end(const struct hub *hub, uint64_t number, uint64_t at)
{
	return at + (uint32_t)(ring_line(hub->ring, number)->end - (uint32_t)at);
}

/* Whether the line comes with a CR before its LF, which is still to be sent. */
static bool
line_lacks_cr(const struct hub_member *member)
{
	return member->policy->crlf && !member->cr_sent;
}

/* Moves a member on by so many bytes that it has got, and past lines that are not for it. */
static void
member_advance(struct hub_member *member, size_t got)
{
	const struct hub *hub = member->hub;
	const struct ring *ring = hub->ring;
	if (member_gets_all(member) && got == ring->head - member->at) {
		member->at = ring->head;
		member->line = ring->next;
		return;
	}
	for (; member->line < ring->next; member->line++) {
		uint64_t end = line_end(hub, member->line, member->at);
		size_t rest = (size_t)(end - member->at), whole = rest + line_lacks_cr(member);
		if (line_is_own(member, member->line)) {
			member->own--;
		} else if (policy_passes(hub, member->policy, member->line)) {
			if (got < whole) {
				member->cr_sent =
					member->cr_sent || (line_lacks_cr(member) && got == rest);
				member->at = got == rest ? end - 1 : member->at + got;
				return;
			}
			got -= whole;
		}
		member->cr_sent = false;
		member->at = end;
	}
}

/* Gathers what a member is to get next: runs of lines that are for it. Returns how many bytes. */
static size_t
member_gather(const struct hub_member *member, struct iovec pieces[static OFFER_PIECES], int *count)
{
	static const struct iovec cr = { .iov_base = (void *)"\r", .iov_len = 1 };
	const struct hub *hub = member->hub;
	const struct ring *ring = hub->ring;
	uint64_t run = member->at, at = member->at, end_line = member_end_line(member);
	bool cr_sent = member->cr_sent;
	size_t bytes = 0;
	*count = 0;
	if (member->line >= end_line)
		return 0;
	if (member_gets_all(member)) {
		uint64_t end = end_line == ring->next ? ring->head : ring_begin(ring, end_line);
		*count = ring_pieces(ring, member->at, end, pieces);
		return (size_t)(end - member->at);
	}
	for (uint64_t number = member->line; number < end_line && *count < OFFER_PIECES - 5;
	     number++) {
		uint64_t end = line_end(hub, number, at);
		if (line_is_own(member, number) || !policy_passes(hub, member->policy, number)) {
			*count += ring_pieces(ring, run, at, pieces + *count);
			run = end;
		} else {
			bytes += (size_t)(end - at);
			if (member->policy->crlf && !cr_sent) {
				*count += ring_pieces(ring, run, end - 1, pieces + *count);
				pieces[(*count)++] = cr;
				run = end - 1;
				bytes++;
			}
		}
		cr_sent = false;
		at = end;
	}
	*count += ring_pieces(ring, run, at, pieces + *count);
	return bytes;
}

/* It gets nothing more: its transport does not take any. */
static void
member_silence(struct hub_member *member)
{
	member_clear(member);
	member->place = HUB_SILENT;
}

/* Sends what is left of a line that is not in the ring any more: whether all of it has gone. */
static bool
member_send_rest(struct hub_member *member)
{
	struct hub_rest *rest = member->rest;
	if (rest == NULL)
		return true;
	const struct iovec piece = { .iov_base = rest->bytes + rest->at,
				     .iov_len = rest->length - rest->at };
	rest->at += transport_offer(member->transport, &piece, 1);
	if (rest->at < rest->length)
		return false;
	free(rest);
	member->rest = NULL;
	return true;
}

uint64_t
member_count_dropped(struct hub_member *member)
{
	struct hub *hub = member->hub;
	const struct ring *ring = hub->ring;
	uint64_t own = 0;
	if (member->place != HUB_FALLEN)
		return 0;
	if (member->own > 0)
		for (uint64_t number = ring->first; number < ring->next; number++)
			own += line_is_own(member, number);
	uint64_t dropped = policy_gone(hub, member->policy) - member->gone - (member->own - own);
	member->own = own;
	member->gone = policy_gone(hub, member->policy);
	member->dropped += dropped;
	hub->counts.dropped += dropped;
	return dropped;
}

/* Puts a fallen member at the oldest line there is, and tells it, if it is to get that. */
static void
member_rise(struct hub_member *member)
{
	uint64_t dropped = member_count_dropped(member);
	member->line = member->hub->ring->first;
	member->at = member->hub->ring->tail;
	bool goes_on = member->line < member_end_line(member);
	if (dropped > 0 && goes_on && member->policy->drop_notice != NULL) {
		char notice[HUB_NOTICE_MAX];
		transport_write(member->transport, notice,
				member->policy->drop_notice(member->policy, dropped, notice,
							    sizeof notice));
	}
}

void
member_send(struct hub_member *member)
{
	struct hub *hub = member->hub;
	struct iovec pieces[OFFER_PIECES];
	int count;
	if (!transport_can_write(member->transport)) {
		member_silence(member);
		return;
	}
	if (member->place == HUB_FALLEN) {
		if (!member_send_rest(member))
			return;
		member_rise(member);
	}
	if (member->place == HUB_READY)
		credit_forgive(member);
	member_unlink(member);
	do {
		size_t offered = member_gather(member, pieces, &count);
		size_t taken = offered > 0 ? transport_offer(member->transport, pieces, count) : 0;
		member_advance(member, taken);
		if (taken < offered) {
			member_link(member, &ring_line(hub->ring, member->line)->stuck, HUB_STUCK);
			pace_stick(member);
			return;
		}
	} while (member->line < member_end_line(member));
	member_link(member, &hub->ready, HUB_READY);
	credit_forgive(member);
}

/* Keeps what a member has still to get of a line: 0, or -1 without memory. */
static int
member_keep_rest(struct hub_member *member, uint64_t end)
{
	const struct ring *ring = member->hub->ring;
	size_t length = (size_t)(end - member->at);
	struct hub_rest *rest = malloc(sizeof *rest + length + 1);
	if (rest == NULL)
		return -1;
	ring_copy(ring, member->at, end, rest->bytes);
	if (line_lacks_cr(member)) {
		memcpy(rest->bytes + length - 1, "\r\n", 2);
		length++;
	}
	rest->length = length;
	rest->at = 0;
	member->rest = rest;
	return 0;
}

bool
member_is_within_line(const struct hub_member *member)
{
	return member->place == HUB_STUCK
	       && (member->at != ring_begin(member->hub->ring, member->line) || member->cr_sent);
}

void
member_fall(struct hub_member *member)
{
	struct hub *hub = member->hub;
	uint64_t end = ring_begin(hub->ring, member->line + 1);
	bool partly = member_is_within_line(member);
	member_unlink(member);
	member->place = HUB_FALLEN;
	member->gone = policy_gone(hub, member->policy) + partly;
	if (partly && member_keep_rest(member, end) < 0) {
		member_silence(member);
		transport_abort(member->transport, REASON_NO_RESOURCES);
		return;
	}
	member->line += partly;
	member->cr_sent = false;
	if (member->policy->on_slow != ON_SLOW_CLOSE)
		return;
	if (member->rest != NULL)
		transport_write(member->transport, member->rest->bytes, member->rest->length);
	member_silence(member);
	transport_lose(member->transport, REASON_TOO_SLOW);
}
