/* test_hub.c - a hub gives every member whole lines in one order, and counts exactly what it cannot give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_transport.h"
#include "net/deadline.h"
#include "protocols/filter.h"
#include "protocols/hub.h"
#include "protocols/hub_ring.h"

enum { RING = 4096, LINE_LONGEST = RING / 2 };

/* The least protocol that is a member of a hub; the hub is the test's. */
static struct hub *hub;
static struct hub_policy *join_policy;
static struct hub_history join_history;

static void
member_made(struct transport *transport)
{
	hub_join(hub, transport_state(transport), transport, join_policy, &join_history);
}

static void
member_drained(struct transport *transport)
{
	hub_member_drained(transport_state(transport));
}

static void
member_lost(struct transport *transport, enum reason reason)
{
	(void)reason;
	hub_leave(transport_state(transport));
}

static const struct protocol member_protocol = {
	.name = "member",
	.state_size = sizeof(struct hub_member),
	.connection_made = member_made,
	.drained = member_drained,
	.connection_lost = member_lost,
};

static size_t
notice_write(const struct hub_policy *policy, uint64_t n, char *to, size_t size)
{
	(void)policy;
	return (size_t)snprintf(to, size, "# %llu\n", (unsigned long long)n);
}

static struct hub_policy plain = { .receives = true, .drop_notice = notice_write };
static struct hub_policy with_loopback = { .receives = true,
					   .loopback = true,
					   .drop_notice = notice_write };
static struct hub_policy silent = { .receives = false };
static struct hub_policy impatient = { .receives = true, .on_slow = ON_SLOW_CLOSE };
static struct hub_policy with_crlf = { .receives = true,
				       .crlf = true,
				       .drop_notice = notice_write };

static struct transport *
join(struct factory *factory, struct hub_policy *policy, uint64_t history, size_t room)
{
	join_policy = policy;
	join_history.lines = history;
	fake_set_first_room(room);
	struct transport *transport = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	return transport;
}

static void
publish_bytes(struct transport *sender, const char *prefix, const char *text, size_t length)
{
	const struct hub_text line = {
		.sender = sender != NULL ? transport_state(sender) : NULL,
		.prefix = prefix,
		.prefix_length = strlen(prefix),
		.text = text,
		.length = length,
	};
	assert_true(hub_publish(hub, &line));
}

/* A text that ends in LF. */
static void
publish(struct transport *sender, const char *text)
{
	publish_bytes(sender, "", text, strlen(text) - 1);
}

#define assert_got(transport, text) assert_got_at(transport, text, __LINE__)

static void
assert_got_at(const struct transport *transport, const char *text, int at)
{
	size_t length;
	const uint8_t *sent = fake_sent(transport, &length);
	if (length != strlen(text) || (length > 0 && memcmp(sent, text, length) != 0))
		fail_msg("line %d: got \"%.*s\"", at, (int)length, (const char *)sent);
}

static uint64_t
dropped(struct transport *transport)
{
	return ((struct hub_member *)transport_state(transport))->dropped;
}

static int
setup(void **state)
{
	hub = hub_new(RING);
	join_history = (struct hub_history){ 0 };
	*state = fake_factory(&member_protocol, NULL);
	return 0;
}

static int
teardown(void **state)
{
	factory_unref(*state);
	hub_unref(hub);
	fake_turn();
	return 0;
}

static void
lines_of_a_turn_are_one_write(void **state)
{
	struct transport *a = join(*state, &plain, 0, SIZE_MAX),
			 *b = join(*state, &plain, 0, SIZE_MAX);
	publish(a, "one\n");
	publish(a, "two\n");
	publish(NULL, "three\n");
	assert_int_equal(fake_sends(b), 0);
	fake_turn();
	assert_int_equal(fake_sends(b), 1);
	assert_got(b, "one\ntwo\nthree\n");
	assert_got(a, "three\n");
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
}

static void
own_lines_come_with_loopback_only(void **state)
{
	struct transport *a = join(*state, &with_loopback, 0, SIZE_MAX);
	struct transport *b = join(*state, &plain, 0, SIZE_MAX);
	struct transport *c = join(*state, &silent, 0, SIZE_MAX);
	for (int round = 0; round < 2; round++) {
		publish(a, "a\n");
		publish(b, "b\n");
		publish(c, "c\n");
		publish(b, "bb\n");
		if (round == 0)
			fake_turn();
	}
	fake_turn();
	assert_got(a, "a\nb\nc\nbb\na\nb\nc\nbb\n");
	assert_got(b, "a\nc\na\nc\n");
	assert_got(c, "");
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	fake_close(c, REASON_PEER_CLOSED);
}

/* More runs of lines than one write has pieces, around the edge of the ring too. */
static void
own_lines_between_many_others(void **state)
{
	char expected[10000], text[40];
	hub_unref(hub);
	hub = hub_new(16 * RING);
	struct transport *a = join(*state, &plain, 0, SIZE_MAX);
	for (int round = 0; round < 40; round++) {
		*expected = '\0';
		for (int i = 0; i < 600; i++) {
			sprintf(text, "%d of %d\n", i, round);
			publish(i % 2 ? a : NULL, text);
			if (i % 2 == 0)
				strcat(expected, text);
		}
		fake_turn();
		assert_got(a, expected);
		fake_forget_sent(a);
	}
	fake_close(a, REASON_PEER_CLOSED);
}

/* Many more short lines than the ring keeps, in one turn. */
static void
who_keeps_up_gets_every_short_line(void **state)
{
	struct transport *a = join(*state, &plain, 0, SIZE_MAX);
	size_t length;
	for (int i = 0; i < 5000; i++)
		publish(NULL, "\n");
	fake_turn();
	fake_sent(a, &length);
	assert_int_equal(length, 5000);
	assert_in_range(fake_sends(a), 1, 5000 / 32);	/* and not line by line */
	fake_close(a, REASON_PEER_CLOSED);
}

static void
history_is_sent_to_whoever_joins(void **state)
{
	publish(NULL, "1\n");
	publish(NULL, "2\n");
	publish(NULL, "3\n");
	struct transport *none = join(*state, &plain, 0, SIZE_MAX);
	struct transport *two = join(*state, &plain, 2, SIZE_MAX);
	struct transport *all = join(*state, &plain, 100, SIZE_MAX);
	publish(two, "4\n");
	fake_turn();
	assert_got(none, "4\n");
	assert_got(two, "2\n3\n");
	assert_got(all, "1\n2\n3\n4\n");
	fake_close(none, REASON_PEER_CLOSED);
	fake_close(two, REASON_PEER_CLOSED);
	fake_close(all, REASON_PEER_CLOSED);
}

/* Publishes numbered lines of 100 bytes. */
static void
publish_hundreds(struct transport *sender, unsigned from, unsigned to)
{
	char text[101];
	for (unsigned i = from; i < to; i++) {
		snprintf(text, sizeof text, "%099u\n", i);
		publish(sender, text);
	}
}

static void
a_stalled_member_loses_whole_lines_and_is_told(void **state)
{
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *slow = join(*state, &plain, 0, 150);
	struct transport *quick = join(*state, &plain, 0, SIZE_MAX);
	char expected[20000] = "";
	size_t length;
	publish_hundreds(sender, 0, 100);	/* 10,000 bytes in one turn, through 4,096 */
	fake_turn();
	fake_sent(quick, &length);
	assert_int_equal(length, 10000);
	assert_int_equal(dropped(quick), 0);

	/* It has 0 and half of 1; the ring has 60 to 99. */
	fake_drain(slow, SIZE_MAX);
	for (unsigned i = 0; i < 100; i++) {
		if (i == 2)
			strcat(expected, "# 58\n");
		if (i < 2 || i >= 60)
			sprintf(expected + strlen(expected), "%099u\n", i);
	}
	assert_got(slow, expected);
	assert_int_equal(dropped(slow), 58);
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(slow, REASON_PEER_CLOSED);
	fake_close(quick, REASON_PEER_CLOSED);
}

static void
own_lines_are_not_counted_as_dropped(void **state)
{
	struct transport *slow = join(*state, &plain, 0, 0);
	publish_hundreds(NULL, 0, 10);
	publish_hundreds(slow, 10, 90);
	fake_turn();
	fake_drain(slow, SIZE_MAX);
	assert_got(slow, "# 10\n");
	assert_int_equal(dropped(slow), 10);
	fake_close(slow, REASON_PEER_CLOSED);
}

static void
an_impatient_hub_closes_after_a_whole_line(void **state)
{
	struct transport *slow = join(*state, &impatient, 0, 150);
	size_t length;
	publish_hundreds(NULL, 0, 20);
	fake_turn();
	assert_false(fake_is_lost(slow));
	publish_hundreds(NULL, 20, 60);
	assert_true(fake_is_lost(slow));
	assert_int_equal(fake_reason(slow), REASON_TOO_SLOW);
	fake_drain(slow, SIZE_MAX);
	fake_sent(slow, &length);
	assert_int_equal(length, 200);
	publish_hundreds(NULL, 60, 200);
	fake_turn();
	fake_close(slow, REASON_TOO_SLOW);
}

static void
stalled_members_cost_nothing(void **state)
{
	enum { STALLED = 500 };
	struct transport *stalled[STALLED], *quick = join(*state, &plain, 0, SIZE_MAX);
	size_t length;
	for (int i = 0; i < STALLED; i++)
		stalled[i] = join(*state, &plain, 0, (size_t)i % 130);
	for (unsigned i = 0; i < 1000; i++) {
		publish_hundreds(NULL, i, i + 1);
		fake_turn();
	}
	for (int i = 0; i < STALLED; i++) {
		/* The first line, the second, the rest of one when it was overwritten. */
		assert_in_range(fake_sends(stalled[i]), 1, 3);
		assert_int_equal(transport_pending(stalled[i]), 0);
		fake_close(stalled[i], REASON_WRITE_TIMEOUT);
	}
	/* What they did not get is counted although they will never ask for it. */
	assert_in_range(hub_count(hub).dropped, STALLED * 955, STALLED * 960);
	fake_sent(quick, &length);
	assert_int_equal(length, 100000);
	fake_close(quick, REASON_PEER_CLOSED);
}

static void
a_hub_ends_when_all_have_got_everything(void **state)
{
	struct transport *a = join(*state, &plain, 0, SIZE_MAX), *slow = join(*state, &plain, 0, 3);
	publish(NULL, "before\n");
	hub_member_stop(transport_state(a));
	fake_turn();
	assert_false(fake_is_lost(a));		/* others may still say something */
	publish(slow, "last\n");
	hub_member_stop(transport_state(slow));
	fake_turn();
	assert_got(a, "before\nlast\n");
	assert_true(fake_is_lost(a));
	assert_false(fake_is_lost(slow));
	fake_drain(slow, SIZE_MAX);
	fake_turn();
	assert_got(slow, "before\n");
	assert_true(fake_is_lost(slow));
	assert_int_equal(fake_reason(slow), REASON_SHUTDOWN);
	fake_close(a, REASON_SHUTDOWN);
	fake_close(slow, REASON_SHUTDOWN);
}

static void
a_member_ends_alone_when_it_has_got_everything(void **state)
{
	struct transport *other = join(*state, &plain, 0, SIZE_MAX),
			 *quick = join(*state, &plain, 0, SIZE_MAX);
	struct transport *slow = join(*state, &plain, 0, 3);
	publish(NULL, "before\n");
	hub_member_end(transport_state(quick), REASON_DONE);
	hub_member_end(transport_state(slow), REASON_PEER_CLOSED);
	fake_turn();
	assert_got(quick, "before\n");
	assert_int_equal(fake_reason(quick), REASON_DONE);
	assert_false(fake_is_lost(slow));
	fake_drain(slow, SIZE_MAX);
	fake_turn();
	assert_got(slow, "before\n");
	assert_int_equal(fake_reason(slow), REASON_PEER_CLOSED);
	fake_close(quick, REASON_DONE);
	fake_close(slow, REASON_PEER_CLOSED);
	publish(NULL, "after\n");
	fake_turn();
	assert_got(other, "before\nafter\n");
	assert_false(fake_is_lost(other));
	fake_close(other, REASON_DONE);
}

/* What comes after that is not owed: else one that is slower than its hub never ends. */
static void
a_member_that_ends_alone_gets_nothing_that_comes_later(void **state)
{
	static struct hub_policy *const policies[] = { &plain, &with_crlf, &with_loopback };
	for (int i = 0; i < 3; i++) {
		struct transport *ending = join(*state, policies[i], 0, 3),
				 *other = join(*state, &plain, 0, SIZE_MAX);
		publish(NULL, "be\n");
		publish(NULL, "fore\n");
		hub_member_end(transport_state(ending), REASON_SILENCE_TIMEOUT);
		publish(NULL, "more\n");
		fake_turn();
		assert_false(fake_is_lost(ending));
		for (int k = 0; k < 9 && !fake_is_lost(ending); k++) {
			publish(NULL, "after\n");
			fake_drain(ending, 1);
			fake_turn();
		}
		assert_true(fake_is_lost(ending));
		assert_got(ending, i == 1 ? "be\r\nfore\r\n" : "be\nfore\n");
		assert_int_equal(fake_reason(ending), REASON_SILENCE_TIMEOUT);
		fake_close(ending, REASON_SILENCE_TIMEOUT);
		fake_close(other, REASON_DONE);
	}
}

/* It has had its time: the line that it is within is its last. */
static void
a_member_that_is_cut_gets_a_whole_line_and_no_other(void **state)
{
	static const struct {
		size_t first;
		const char *got;
	} cases[] = { { 0, "" }, { 1, "one\n" }, { 4, "one\n" }, { 5, "one\ntwo\n" } };
	for (int way = 0; way < 4; way++)
		for (size_t i = 0; i < 4; i++) {
			bool falls = way & 1, ends = way & 2;
			struct transport *slow = join(*state, &plain, 0, cases[i].first);
			publish(NULL, "one\n");
			publish(NULL, "two\n");
			publish(NULL, "three\n");
			fake_turn();
			if (falls)
				publish_hundreds(NULL, 0, 60);
			if (ends)
				hub_member_end(transport_state(slow), REASON_DONE);
			hub_member_cut(transport_state(slow), REASON_DONE);
			fake_turn();
			fake_drain(slow, 1);
			hub_member_cut(transport_state(slow), REASON_DONE);
			fake_drain(slow, SIZE_MAX);
			fake_turn();
			assert_got(slow, cases[i].got);
			assert_int_equal(fake_reason(slow), REASON_DONE);
			fake_close(slow, REASON_DONE);
		}
}

/* It has nothing to say any more. */
static void
a_member_that_ends_alone_does_not_hold_up_the_end_of_the_hub(void **state)
{
	struct transport *quick = join(*state, &plain, 0, SIZE_MAX);
	struct transport *slow = join(*state, &plain, 0, 3);
	publish(NULL, "before\n");
	hub_member_end(transport_state(slow), REASON_PEER_CLOSED);
	fake_turn();
	hub_member_stop(transport_state(quick));
	fake_turn();
	assert_true(fake_is_lost(quick));
	assert_int_equal(fake_reason(quick), REASON_SHUTDOWN);
	fake_drain(slow, SIZE_MAX);
	fake_turn();
	assert_got(slow, "before\n");
	assert_int_equal(fake_reason(slow), REASON_PEER_CLOSED);
	fake_close(quick, REASON_SHUTDOWN);
	fake_close(slow, REASON_PEER_CLOSED);
}

static void
a_member_that_goes_does_not_hold_up_the_end(void **state)
{
	struct transport *a = join(*state, &plain, 0, SIZE_MAX),
			 *b = join(*state, &plain, 0, SIZE_MAX);
	hub_member_stop(transport_state(a));
	fake_turn();
	assert_false(fake_is_lost(a));
	fake_close(b, REASON_PEER_RESET);
	fake_turn();
	assert_true(fake_is_lost(a));
	fake_close(a, REASON_SHUTDOWN);
}

static void
the_hub_outlives_what_is_deferred(void **state)
{
	(void)state;
	struct transport *a = join(*state, &plain, 0, SIZE_MAX);
	publish(NULL, "x\n");
	fake_close(a, REASON_PEER_RESET);
	/* teardown frees the hub before the turn ends */
}

static void
crlf_is_of_whoever_gets_it(void **state)
{
	struct transport *lf = join(*state, &plain, 0, SIZE_MAX);
	for (size_t room = 0; room < 16; room++) {
		struct transport *crlf = join(*state, &with_crlf, 0, room);
		publish(NULL, "one\n");
		publish(crlf, "own\n");
		publish(NULL, "\n");
		publish(NULL, "two\n");
		fake_turn();
		for (size_t more = 0; more < 12; more++)
			fake_drain(crlf, 1);
		assert_got(crlf, "one\r\n\r\ntwo\r\n");
		assert_got(lf, "one\nown\n\ntwo\n");
		fake_forget_sent(lf);
		fake_close(crlf, REASON_PEER_CLOSED);
	}
	fake_close(lf, REASON_PEER_CLOSED);
}

/* Cut at every place, the line it has begun with comes whole when that is overwritten. */
static void
crlf_of_a_line_that_is_overwritten(void **state)
{
	for (size_t room = 1; room < 6; room++) {
		struct transport *slow = join(*state, &with_crlf, 0, room);
		size_t length;
		publish(NULL, "one\n");
		for (int i = 0; i < 5000; i++)
			publish(NULL, "x\n");
		fake_turn();
		fake_drain(slow, 5 - room + 6);
		const char *sent = (const char *)fake_sent(slow, &length);
		assert_true(length >= 5);
		assert_memory_equal(sent, "one\r\n", 5);
		if (length > 5)
			assert_int_equal(sent[5], '#');
		fake_close(slow, REASON_PEER_CLOSED);
	}
}

static struct hub_policy
filtered(const char *rules, struct filter **filter)
{
	assert_null(filter_parse(rules, filter));
	return (struct hub_policy){ .receives = true,
				    .filter = *filter,
				    .drop_notice = notice_write };
}

static void
a_filter_is_of_whoever_gets_it(void **state)
{
	struct filter *filter;
	struct hub_policy numbers = filtered("/^[0-9]+$/", &filter);
	publish_bytes(NULL, "p ", "1", 1);
	publish_bytes(NULL, "p ", "one", 3);
	publish(NULL, "2\n");
	struct transport *a = join(*state, &numbers, 2, SIZE_MAX);
	struct transport *b = join(*state, &numbers, 9, SIZE_MAX);
	struct transport *all = join(*state, &plain, 9, SIZE_MAX);
	assert_got(a, "2\n");
	assert_got(b, "p 1\n2\n");
	publish(NULL, "two\n");
	publish_bytes(NULL, "3", "three", 5);
	publish_bytes(NULL, "three ", "3", 1);
	fake_turn();
	assert_got(a, "2\nthree 3\n");
	assert_got(all, "p 1\np one\n2\ntwo\n3three\nthree 3\n");
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	fake_close(all, REASON_PEER_CLOSED);
	filter_free(filter);
}

/* Which lines are judged, the first one of them says. */
static void
lines_are_judged_while_nobody_is_there(void **state)
{
	struct filter *filter;
	struct hub_policy numbers = filtered("/^[0-9]+$/", &filter);
	publish(NULL, "0\n");
	hub_keep_verdicts(hub, &numbers);
	publish(NULL, "1\n");
	publish(NULL, "one\n");
	publish(NULL, "2\n");
	struct transport *a = join(*state, &numbers, 3, SIZE_MAX);
	assert_got(a, "1\n2\n");
	fake_close(a, REASON_PEER_CLOSED);
	assert_true(hub_resize(hub, ring_new(2 * RING)));
	publish(NULL, "three\n");
	publish(NULL, "3\n");
	assert_int_equal(numbers.judged, 2);
	a = join(*state, &numbers, 5, SIZE_MAX);
	assert_got(a, "1\n2\n3\n");
	assert_int_equal(numbers.judged, 2);
	struct transport *b = join(*state, &numbers, 9, SIZE_MAX);
	assert_got(b, "0\n1\n2\n3\n");
	assert_int_equal(numbers.judged, 1);
	hub_drop_verdicts(hub, &numbers);
	publish(NULL, "4\n");
	fake_close(a, REASON_PEER_CLOSED);
	fake_turn();
	assert_got(b, "0\n1\n2\n3\n4\n");
	fake_close(b, REASON_PEER_CLOSED);
	assert_null(numbers.verdicts);
	publish(NULL, "5\n");
	filter_free(filter);
}

/* Lines of all ages from one in which there were none to now. */
static void
history_may_have_an_age(void **state)
{
	static const char *const expected[] = { "", "3\n", "2\n3\n", "1\n2\n3\n" };
	publish(NULL, "1\n");
	fake_pass(10000);
	publish(NULL, "2\n");
	fake_pass(10000);
	publish(NULL, "3\n");
	fake_pass(5000);
	for (int i = 0; i < 4; i++) {
		join_history.age_ms = 10000 * i + (i == 0);
		struct transport *a = join(*state, &plain, 100, SIZE_MAX);
		assert_got(a, expected[i]);
		fake_close(a, REASON_PEER_CLOSED);
		struct transport *b = join(*state, &plain, 1, SIZE_MAX);
		assert_got(b, i == 0 ? "" : "3\n");
		fake_close(b, REASON_PEER_CLOSED);
	}
}

static void
a_line_that_the_ring_cannot_hold_is_refused(void **state)
{
	static char text[RING];
	struct hub_text line = { .prefix = "", .text = text, .length = LINE_LONGEST - 1 };
	(void)state;
	memset(text, 'x', sizeof text);
	assert_true(hub_publish(hub, &line));
	line.length++;
	assert_false(hub_publish(hub, &line));
	assert_true(hub_resize(hub, ring_new(2 * RING)));
	assert_true(hub_publish(hub, &line));
}

static void
a_hub_that_is_resized_keeps_its_members_and_lines(void **state)
{
	struct transport *slow = join(*state, &plain, 0, 50),
			 *quick = join(*state, &plain, 0, SIZE_MAX);
	uint64_t next;
	publish_hundreds(NULL, 0, 40);
	next = hub_next_line(hub);
	assert_true(hub_resize(hub, ring_new(2 * RING)));
	assert_int_equal(hub_next_line(hub), next);
	publish_hundreds(NULL, 40, 80);
	fake_turn();
	size_t length;
	fake_sent(quick, &length);
	assert_int_equal(length, 8000);
	assert_true(hub_resize(hub, ring_new(RING)));	/* which has room for 40 of them */
	struct transport *late = join(*state, &plain, 100, SIZE_MAX);
	fake_sent(late, &length);
	assert_int_equal(length, 4000);
	fake_drain(slow, SIZE_MAX);
	assert_int_equal(dropped(slow), 39);
	publish(slow, "after\n");
	fake_turn();
	fake_sent(quick, &length);
	assert_int_equal(length, 8006);
	fake_close(slow, REASON_PEER_CLOSED);
	fake_close(quick, REASON_PEER_CLOSED);
	fake_close(late, REASON_PEER_CLOSED);
}

/* A publisher of its own accord: publishes as long as there is room, and then waits. */
struct pump {
	struct hub_waiter waiter;	/* first */
	struct transport *transport;
	unsigned published, most;
};

static void
pump_go_on(struct hub_waiter *waiter)
{
	struct pump *pump = (struct pump *)waiter;
	while (pump->published < pump->most && hub_has_room(hub, 100)) {
		publish_hundreds(pump->transport, pump->published, pump->published + 1);
		pump->published++;
	}
	if (pump->published < pump->most)
		hub_wait(hub, waiter);
}

static struct pump *
pump_start(struct pump *pump, struct transport *transport, unsigned most)
{
	*pump = (struct pump){
		.waiter = { .member = transport_state(transport),
			    .length = 100,
			    .go_on = pump_go_on },
		.transport = transport,
		.most = most,
	};
	pump_go_on(&pump->waiter);
	fake_turn();
	return pump;
}

static void
a_publisher_waits_for_a_member_that_reads(void **state)
{
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *reader = join(*state, &plain, 0, 0);
	struct pump pump;
	size_t length;
	pump_start(&pump, sender, 1000);
	assert_int_equal(pump.published, 40);
	/* It is the only one: nobody is held up. */
	for (int i = 0; i < 2000 && pump.published < 1000; i++) {
		fake_pass(100);
		fake_drain(reader, 60);
		fake_turn();
	}
	assert_int_equal(pump.published, 1000);
	fake_drain(reader, SIZE_MAX);
	fake_turn();
	fake_sent(reader, &length);
	assert_int_equal(length, 100000);
	assert_int_equal(dropped(reader), 0);
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(reader, REASON_PEER_CLOSED);
}

static void
a_publisher_waits_for_one_that_has_stalled_but_a_moment(void **state)
{
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *stalled = join(*state, &plain, 0, 0),
			 *quick = join(*state, &plain, 0, SIZE_MAX);
	struct pump pump;
	size_t length;
	pump_start(&pump, sender, 1000);
	fake_pass(60);
	assert_int_equal(pump.published, 40);
	fake_pass(900);
	assert_int_equal(pump.published, 1000);
	assert_int_equal(hub_count(hub).slow, 1);
	fake_sent(quick, &length);
	assert_int_equal(length, 100000);
	/* It is waited for again as soon as it has everything and some credit. */
	fake_drain(stalled, SIZE_MAX);
	assert_true(dropped(stalled) > 900);
	assert_int_equal(hub_count(hub).dropped, dropped(stalled));
	fake_pass(1000);
	pump_start(&pump, sender, 1);
	assert_int_equal(hub_count(hub).slow, 0);
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(stalled, REASON_PEER_CLOSED);
	fake_close(quick, REASON_PEER_CLOSED);
}

/* Where nearly everybody starves. */
static void
a_publisher_waits_even_less_for_one_of_few_that_have_stalled(void **state)
{
	enum { QUICK = 3 };
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX), *quick[QUICK];
	struct transport *stalled = join(*state, &plain, 0, 0);
	struct pump pump;
	for (int i = 0; i < QUICK; i++)
		quick[i] = join(*state, &plain, 0, SIZE_MAX);
	pump_start(&pump, sender, 1000);
	fake_pass(32);
	assert_int_equal(pump.published, 40);
	fake_pass(64);
	assert_int_equal(pump.published, 1000);
	assert_int_equal(hub_count(hub).slow, 1);
	for (int i = 0; i < QUICK; i++)
		fake_close(quick[i], REASON_PEER_CLOSED);
	fake_close(stalled, REASON_PEER_CLOSED);
	fake_close(sender, REASON_PEER_CLOSED);
}

/* Others have everything as far as we go, but not yet as far as they go: nobody is held up. */
static void
who_still_has_something_to_read_is_not_held_up(void **state)
{
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *last = join(*state, &plain, 0, 0),
			 *busy = join(*state, &plain, 0, SIZE_MAX);
	struct pump pump;
	fake_set_arriving(busy, 0);
	pump_start(&pump, sender, 1000);
	for (size_t i = 0; i < 100; i++) {
		fake_set_arriving(busy, i);
		fake_pass(50);
		fake_drain(last, 100);
	}
	assert_int_equal(hub_count(hub).slow, 0);
	assert_int_equal(dropped(last), 0);
	fake_set_arriving(busy, SIZE_MAX);
	for (int i = 0; i < 20; i++) {
		fake_pass(50);
		fake_drain(last, 100);
	}
	assert_int_equal(hub_count(hub).slow, 1);
	hub_unwait(hub, &pump.waiter);
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(last, REASON_PEER_CLOSED);
	fake_close(busy, REASON_PEER_CLOSED);
}

/*
 * One that reads all the time, but at a tenth of what is published: it costs a twentieth of the
 * time.
 */
static void
a_steadily_slow_member_holds_the_others_up_a_twentieth_of_the_time(void **state)
{
	enum { STEP_MS = 40, STEPS = 3000, A_STEP = 10 };
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *slow = join(*state, &plain, 0, 100),
			 *quick = join(*state, &plain, 0, SIZE_MAX);
	struct pump pump;
	unsigned held = 0;
	pump_start(&pump, sender, 0);
	for (unsigned i = 0; i < STEPS; i++) {
		if (pump.waiter.link == NULL) {
			pump.most += A_STEP;
			pump_go_on(&pump.waiter);
		}
		fake_pass(STEP_MS);
		held += pump.waiter.link != NULL;
		fake_drain(slow, 100);
	}
	assert_in_range(held * STEP_MS, 100, 500 + STEPS * STEP_MS / 20 + 100);
	assert_int_equal(dropped(quick), 0);
	assert_true(dropped(slow) > 0);
	hub_unwait(hub, &pump.waiter);
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(slow, REASON_PEER_CLOSED);
	fake_close(quick, REASON_PEER_CLOSED);
}

/* The same, but it makes room so often that no wait lasts until the next tick. */
static void
a_member_that_is_slow_without_a_pause_is_charged_too(void **state)
{
	enum { STEP_MS = 8, STEPS = 5000 };
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *slow = join(*state, &plain, 0, 100),
			 *quick = join(*state, &plain, 0, SIZE_MAX);
	struct pump pump;
	unsigned held = 0;
	pump_start(&pump, sender, 0);
	for (unsigned i = 0; i < STEPS; i++) {
		if (pump.waiter.link == NULL) {
			pump.most = pump.published + 100;
			pump_go_on(&pump.waiter);
		}
		fake_pass(STEP_MS);
		held += pump.waiter.link != NULL;
		fake_drain(slow, 600);
		fake_turn();
	}
	assert_in_range(held * STEP_MS, 100, 500 + STEPS * STEP_MS / 20 + 200);
	assert_int_equal(dropped(quick), 0);
	hub_unwait(hub, &pump.waiter);
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(slow, REASON_PEER_CLOSED);
	fake_close(quick, REASON_PEER_CLOSED);
}

/* To give one up is no sign that the others need longer. */
static void
each_that_stalls_is_waited_for_no_longer_than_the_one_before(void **state)
{
	enum { QUICK = 12, STALLED = 4 };
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX), *quick[QUICK],
			 *stalled[STALLED];
	struct pump pumps[2];
	for (int i = 0; i < QUICK; i++)
		quick[i] = join(*state, &plain, 0, SIZE_MAX);
	for (int i = 0; i < STALLED; i++) {
		stalled[i] = join(*state, &plain, 0, 10);
		pump_start(&pumps[0], sender, 100);
		pump_start(&pumps[1], sender, 100);
		fake_pass(112);
		assert_int_equal(pumps[0].published, 100);
		assert_int_equal(pumps[1].published, 100);
	}
	assert_int_equal(hub_count(hub).slow, STALLED);
	for (int i = 0; i < QUICK; i++)
		fake_close(quick[i], REASON_PEER_CLOSED);
	for (int i = 0; i < STALLED; i++)
		fake_close(stalled[i], REASON_PEER_CLOSED);
	fake_close(sender, REASON_PEER_CLOSED);
}

/* Who is being lost does not receive any more: most of those who do starve. */
static void
who_is_being_lost_does_not_count(void **state)
{
	enum { LOST = 3 };
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX), *lost[LOST];
	struct transport *slow = join(*state, &plain, 0, 0);
	struct transport *quick = join(*state, &plain, 0, SIZE_MAX);
	struct pump pump;
	for (int i = 0; i < LOST; i++) {
		lost[i] = join(*state, &plain, 0, SIZE_MAX);
		transport_lose(lost[i], REASON_IDLE_TIMEOUT);
	}
	pump_start(&pump, sender, 1000);
	for (int i = 0; i < 100; i++) {
		fake_pass(40);
		fake_drain(slow, 100);
	}
	assert_true(dropped(slow) > 0);
	hub_unwait(hub, &pump.waiter);
	for (int i = 0; i < LOST; i++)
		fake_close(lost[i], REASON_IDLE_TIMEOUT);
	fake_close(slow, REASON_PEER_CLOSED);
	fake_close(quick, REASON_PEER_CLOSED);
	fake_close(sender, REASON_PEER_CLOSED);
}

/* Those who come and go are no sign that somebody who is still is about to read. */
static void
who_comes_and_goes_does_not_shield_one_that_has_stalled(void **state)
{
	enum { QUICK = 8 };
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX), *quick[QUICK];
	struct transport *stalled = join(*state, &plain, 0, 0), *visitor = NULL;
	struct pump pump;
	for (int i = 0; i < QUICK; i++)
		quick[i] = join(*state, &plain, 0, SIZE_MAX);
	pump_start(&pump, sender, 1000);
	for (unsigned i = 0; i < 12; i++) {
		fake_pass(10);
		if (visitor != NULL)
			fake_close(visitor, REASON_PEER_CLOSED);
		visitor = join(*state, &plain, 1 + i % 5, SIZE_MAX);
	}
	fake_turn();
	assert_int_equal(pump.published, 1000);
	for (int i = 0; i < QUICK; i++)
		fake_close(quick[i], REASON_PEER_CLOSED);
	fake_close(visitor, REASON_PEER_CLOSED);
	fake_close(stalled, REASON_PEER_CLOSED);
	fake_close(sender, REASON_PEER_CLOSED);
}

/* It will not be in the way before the slow one is past it. */
static void
one_that_has_stalled_further_on_does_not_shield_a_slow_one(void **state)
{
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *slow = join(*state, &plain, 0, 0),
			 *stalled = join(*state, &plain, 0, 3500),
			 *quick = join(*state, &plain, 0, SIZE_MAX);
	struct pump pump;
	pump_start(&pump, sender, 1000);
	for (int i = 0; i < 300; i++) {
		fake_pass(10);
		fake_drain(slow, 2);
	}
	assert_true(pump.published > 40);
	hub_unwait(hub, &pump.waiter);
	fake_close(quick, REASON_PEER_CLOSED);
	fake_close(stalled, REASON_PEER_CLOSED);
	fake_close(slow, REASON_PEER_CLOSED);
	fake_close(sender, REASON_PEER_CLOSED);
}

/* Those who publish have had what the others have published. */
static void
a_slow_member_among_publishers_is_charged(void **state)
{
	struct transport *a = join(*state, &plain, 0, SIZE_MAX),
			 *b = join(*state, &plain, 0, SIZE_MAX);
	struct transport *slow = join(*state, &plain, 0, 0);
	struct pump pump_a, pump_b;
	pump_start(&pump_a, a, 1000);
	pump_start(&pump_b, b, 1000);
	for (int i = 0; i < 100; i++) {
		fake_pass(10);
		fake_drain(slow, 50);
	}
	assert_int_equal(hub_count(hub).slow, 1);
	assert_int_equal(pump_a.published, 1000);
	assert_int_equal(pump_b.published, 1000);
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
	fake_close(slow, REASON_PEER_CLOSED);
}

/* It is no other one that starves, although it receives too and does not wait at every tick. */
static void
a_lone_reader_of_a_publisher_that_receives_too_loses_nothing(void **state)
{
	for (size_t read = 320; read <= 410; read += 10) {
		struct transport *sender = join(*state, &plain, 0, SIZE_MAX);
		struct transport *reader = join(*state, &plain, 0, 0);
		struct pump pump;
		pump_start(&pump, sender, 0);
		for (unsigned i = 0; i < 5000; i++) {
			if (pump.waiter.link == NULL) {
				pump.most = pump.published + 1;
				pump_go_on(&pump.waiter);
				fake_turn();
			}
			fake_pass(1);
			if (i % 8 == 0)
				fake_drain(reader, read);
			fake_turn();
		}
		assert_int_equal(hub_count(hub).slow, 0);
		assert_int_equal(dropped(reader), 0);
		hub_unwait(hub, &pump.waiter);
		fake_close(sender, REASON_PEER_CLOSED);
		fake_close(reader, REASON_PEER_CLOSED);
		fake_turn();
		hub_unref(hub);
		hub = hub_new(RING);
	}
}

/* Nor does it help to catch up, or to come again. */
static void
one_that_stalls_again_and_again_costs_no_more_than_a_slow_one(void **state)
{
	enum { QUICK = 8, STEPS = 10000, STEP_MS = 4 };
	for (int comes_again = 0; comes_again < 2; comes_again++) {
		struct transport *sender = join(*state, &silent, 0, SIZE_MAX), *quick[QUICK];
		struct transport *slow = join(*state, &plain, 0, 0);
		struct pump pump;
		unsigned held = 0, times = 0;
		for (int i = 0; i < QUICK; i++)
			quick[i] = join(*state, &plain, 0, SIZE_MAX);
		pump_start(&pump, sender, 0);
		for (unsigned i = 0; i < STEPS; i++) {
			if (pump.waiter.link == NULL) {
				pump.most += 10;
				pump_go_on(&pump.waiter);
			}
			fake_pass(STEP_MS);
			held += pump.waiter.link != NULL;
			struct hub_member *member = transport_state(slow);
			if (member->slow && comes_again) {
				fake_close(slow, REASON_PEER_CLOSED);
				slow = join(*state, &plain, 0, 0);
				member = transport_state(slow);
				times++;
			} else if (member->slow && member->place != HUB_READY) {
				fake_drain(slow, SIZE_MAX);
				fake_turn();
				times++;
			}
			fake_set_room(slow, member->slow && !comes_again ? SIZE_MAX : 0);
		}
		assert_true(times > 1);
		assert_in_range(held * STEP_MS, 1, 500 + STEPS * STEP_MS / 20 + 200);
		assert_int_equal(dropped(quick[0]), 0);
		hub_unwait(hub, &pump.waiter);
		for (int i = 0; i < QUICK; i++)
			fake_close(quick[i], REASON_PEER_CLOSED);
		fake_close(slow, REASON_PEER_CLOSED);
		fake_close(sender, REASON_PEER_CLOSED);
	}
}

/* All that is for it is on its way, and none of that arrives: nothing of ours waits. */
static void
one_whose_system_is_gone_does_not_shield_a_slow_one(void **state)
{
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *slow = join(*state, &plain, 0, 0),
			 *gone = join(*state, &plain, 0, SIZE_MAX),
			 *quick = join(*state, &plain, 0, SIZE_MAX);
	struct pump pump;
	fake_set_arriving(gone, 0);
	pump_start(&pump, sender, 100000);
	for (int i = 0; i < 200; i++) {
		fake_pass(40);
		fake_drain(slow, 100);
		fake_turn();
	}
	assert_int_equal(pump.published, 100000);
	fake_close(gone, REASON_PEER_CLOSED);
	fake_close(quick, REASON_PEER_CLOSED);
	fake_close(slow, REASON_PEER_CLOSED);
	fake_close(sender, REASON_PEER_CLOSED);
}

/* Nobody has moved for half a second, once, an hour ago. */
static void
an_old_pause_does_not_count(void **state)
{
	enum { QUICK = 12 };
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX), *quick[QUICK], *stalled;
	struct pump pump;
	for (int i = 0; i < QUICK; i++)
		quick[i] = join(*state, &plain, 0, 0);
	pump_start(&pump, sender, 60);
	fake_pass(480);
	for (int i = 0; i < QUICK; i++)
		fake_drain(quick[i], SIZE_MAX);
	fake_turn();
	assert_int_equal(pump.published, 60);
	fake_pass(3600000);
	stalled = join(*state, &plain, 0, 0);
	pump_start(&pump, sender, 1000);
	fake_pass(112);
	assert_int_equal(pump.published, 1000);
	for (int i = 0; i < QUICK; i++)
		fake_close(quick[i], REASON_PEER_CLOSED);
	fake_close(stalled, REASON_PEER_CLOSED);
	fake_close(sender, REASON_PEER_CLOSED);
}

/* Where all are behind, it is the publisher that is fast: nobody loses anything. */
static void
members_that_are_all_behind_are_waited_for(void **state)
{
	enum { READERS = 8 };
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX), *readers[READERS];
	struct pump pump;
	size_t length;
	for (int i = 0; i < READERS; i++)
		readers[i] = join(*state, &plain, 0, 0);
	pump_start(&pump, sender, 500);
	for (int i = 0; i < 3000 && pump.published < 500; i++) {
		fake_pass(50);
		fake_drain(readers[i % READERS], 100 * (1 + (unsigned)i % 3));
	}
	assert_int_equal(pump.published, 500);
	for (int i = 0; i < READERS; i++) {
		fake_drain(readers[i], SIZE_MAX);
		fake_sent(readers[i], &length);
		assert_int_equal(length, 50000);
		fake_close(readers[i], REASON_PEER_CLOSED);
	}
	fake_close(sender, REASON_PEER_CLOSED);
}

/* Each would read only once it has sent everything. */
static void
publishers_that_do_not_read_do_not_wait_for_each_other_for_ever(void **state)
{
	struct transport *a = join(*state, &plain, 0, 0), *b = join(*state, &plain, 0, 0);
	struct pump pump_a, pump_b;
	pump_start(&pump_a, a, 200);
	pump_start(&pump_b, b, 200);
	assert_true(pump_a.published < 200);
	fake_pass(3000);
	assert_int_equal(pump_a.published, 200);
	fake_drain(a, SIZE_MAX);
	fake_turn();
	assert_int_equal(pump_b.published, 200);
	fake_close(a, REASON_PEER_CLOSED);
	fake_close(b, REASON_PEER_CLOSED);
}

static void
pump_due(void *arg)
{
	struct pump *pump = arg;
	pump->most = 1000;
	pump_go_on(&pump->waiter);
}

/* The hub's tick finds somebody who has waited for no time yet. */
static void
who_begins_to_wait_just_before_the_tick_does_not_wait_for_ever(void **state)
{
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX);
	struct transport *stalled = join(*state, &plain, 0, 0),
			 *quick = join(*state, &plain, 0, SIZE_MAX);
	struct pump pump;
	struct deadline deadline = { .fn = pump_due, .arg = &pump };
	pump_start(&pump, sender, 45);
	fake_pass(10);
	fake_drain(stalled, 1000);
	fake_pass(22);
	assert_int_equal(pump.published, 45);
	reactor_set_deadline(NULL, &deadline, reactor_now_ms() + 32);
	fake_pass(32);
	assert_in_range(pump.published, 46, 60);
	fake_pass(2000);
	assert_int_equal(pump.published, 1000);
	fake_close(sender, REASON_PEER_CLOSED);
	fake_close(stalled, REASON_PEER_CLOSED);
	fake_close(quick, REASON_PEER_CLOSED);
}

static void
who_goes_is_not_waited_for(void **state)
{
	struct transport *sender = join(*state, &silent, 0, SIZE_MAX),
			 *reader = join(*state, &plain, 0, 0);
	struct transport *other = join(*state, &plain, 0, 0);
	struct pump pump;
	pump_start(&pump, sender, 60);
	assert_int_equal(pump.published, 40);
	transport_lose(reader, REASON_IDLE_TIMEOUT);
	fake_drain(other, SIZE_MAX);
	fake_turn();
	assert_int_equal(pump.published, 60);
	pump_start(&pump, sender, 100);
	fake_close(reader, REASON_IDLE_TIMEOUT);
	fake_turn();
	assert_int_equal(pump.published, 100);
	fake_close(other, REASON_PEER_CLOSED);
	fake_close(sender, REASON_PEER_CLOSED);
}

/*
 * Random operations against what must hold: a stream is whole lines, growing numbers, none that is
 * not for the member, nothing missing but what a notice in that place counts; and what is missing
 * had to be. Polite publishers publish only where there is room: then nothing is missing at all,
 * unless the ring has shrunk.
 */
enum { MEMBERS = 10, SPARE = LINE_LONGEST + 64 };

static struct {
	uint32_t sender;
	uint64_t begin;		/* of its bytes, counted from the first line's */
} *published;			/* by number */
static uint64_t published_next, published_bytes, published_first, steps;
static size_t ring_size;
static bool polite;
static struct hub_policy even = { .receives = true, .drop_notice = notice_write };

struct model_member {
	struct transport *transport;
	struct hub_member *member;
	uint64_t next;			/* the number of the line that comes next, if it is not skipped */
	uint64_t told;			/* by notices */
	uint64_t notice;		/* those since the last line */
	bool unlimited;
	bool may_lose;
	char rest[SPARE];		/* a line that has come in part */
	size_t rest_length;
};

static const char *
model_prefix(uint64_t number)
{
	return number % 3 == 0 ? "@@" : "";
}

/* What is sent for a line, with its prefix and LF. */
static size_t
model_line(uint64_t number, uint32_t sender, size_t length, char line[static LINE_LONGEST])
{
	size_t written = (size_t)sprintf(line, "%s%llu %u ", model_prefix(number),
					 (unsigned long long)number, sender);
	while (written + 1 < length)
		line[written++] = (char)('a' + number % 26);
	line[written] = '\n';
	return written + 1;
}

static bool
model_skips(const struct model_member *model, uint64_t number)
{
	const struct hub_policy *policy = model->member->policy;
	return (published[number].sender == model->member->id && !policy->loopback)
	       || (policy == &even && number % 2 != 0);
}

/* How many of the lines are not skipped. */
static uint64_t
model_count(const struct model_member *model, uint64_t from, uint64_t to)
{
	uint64_t count = 0;
	for (uint64_t number = from; number < to; number++)
		count += !model_skips(model, number);
	return count;
}

/* Gives up what does not fit with so much more. */
static void
model_make_room(size_t length, size_t lines)
{
	while (published_first < published_next
	       && (published_bytes - published[published_first].begin + length > ring_size
		   || published_next - published_first + lines > ring_size / RING_LINE_BYTES))
		published_first++;
}

static void
model_take_line(struct model_member *model, const char *line, size_t length)
{
	char expected[LINE_LONGEST];
	if (*line == '#') {
		uint64_t n = strtoull(line + 2, NULL, 10);
		assert_true(n > 0);
		model->notice += n;
		model->told += n;
		return;
	}
	uint64_t number = strtoull(line + strspn(line, "@"), NULL, 10);
	assert_in_range(number, model->next, published_next - 1);
	assert_false(model_skips(model, number));
	if (model->member->policy->crlf) {
		assert_int_equal(line[length - 2], '\r');
		length--;
	}
	size_t expected_length = model_line(number, published[number].sender, length, expected);
	assert_int_equal(length, expected_length);
	assert_memory_equal(line, expected, length - 1);
	assert_int_equal(model_count(model, model->next, number), model->notice);
	model->notice = 0;
	model->next = number + 1;
}

static void
model_take(struct model_member *model)
{
	size_t length;
	const char *sent = (const char *)fake_sent(model->transport, &length);
	for (size_t i = 0; i < length; i++) {
		assert_true(model->rest_length < SPARE);
		model->rest[model->rest_length++] = sent[i];
		if (sent[i] != '\n')
			continue;
		model_take_line(model, model->rest, model->rest_length);
		model->rest_length = 0;
	}
	fake_forget_sent(model->transport);
}

static void
model_join(struct model_member *model, struct factory *factory)
{
	static struct hub_policy *const policies[] = { &plain, &with_crlf, &with_loopback, &silent,
						       &even };
	uint64_t history = random() % 3 ? 0 : (uint64_t)random() % 200;
	*model = (struct model_member){ .unlimited = random() % 4 == 0, .may_lose = !polite };
	model->next = published_next - published_first < history ? published_first
								 : published_next - history;
	model->transport = join(factory, policies[random() % 5], history,
				model->unlimited ? SIZE_MAX : (size_t)random() % 5000);
	model->member = transport_state(model->transport);
}

/* It has got everything, and the books balance. */
static void
model_leave(struct model_member *model)
{
	while (fake_wants_drained(model->transport) || transport_pending(model->transport) > 0)
		fake_drain(model->transport, SIZE_MAX);
	fake_set_room(model->transport, SIZE_MAX);
	fake_turn();
	model_take(model);
	assert_int_equal(model->rest_length, 0);
	assert_int_equal(model->told, model->member->dropped);
	if (model->member->policy->receives)
		assert_int_equal(model_count(model, model->next, published_next), model->notice);
	if (model->unlimited || !model->may_lose)
		assert_int_equal(model->told, 0);
	fake_close(model->transport, REASON_PEER_CLOSED);
	model->transport = NULL;
}

static void
model_publish(struct model_member *sender)
{
	char line[LINE_LONGEST];
	const char *prefix = model_prefix(published_next);
	uint32_t id = sender != NULL ? sender->member->id : 0;
	long kind = published_next / 2000 % 4 == 0 ? 15 : random() % 16;	/* short ones only, at times */
	size_t length = 20
			+ (size_t)random()
				  % (kind == 0  ? LINE_LONGEST - 19
				     : kind < 6 ? 200
						: 8);
	length = model_line(published_next, id, length, line);
	if (published_next == steps || (polite && !hub_has_room(hub, length)))
		return;
	/* Its section's filter comes before the hub. */
	if (sender != NULL && sender->member->policy == &even && published_next % 2 != 0)
		return;
	model_make_room(length, 1);
	published[published_next].sender = id;
	published[published_next].begin = published_bytes;
	assert_int_equal(hub_next_line(hub), published_next);
	published_next++;
	published_bytes += length;
	const struct hub_text text = {
		.sender = sender != NULL ? sender->member : NULL,
		.policy = sender != NULL ? sender->member->policy : NULL,
		.prefix = prefix,
		.prefix_length = strlen(prefix),
		.text = line + strlen(prefix),
		.length = length - strlen(prefix) - 1,
	};
	assert_true(hub_publish(hub, &text));
}

static void
model_drain(struct model_member *model)
{
	static const size_t rooms[] = { 0, 1, 7, 100, 1000, 5000, 20000 };
	bool fallen = model->member->place == HUB_FALLEN && model->member->rest == NULL
		      && transport_pending(model->transport) == 0;
	uint64_t line = model->member->line, before = model->member->dropped;
	size_t room = rooms[random() % 7];
	if (model->unlimited)
		return;
	fake_drain(model->transport, room);
	if (fallen && room > 0)
		assert_int_equal(model->member->dropped - before,
				 model_count(model, line, published_first));
	else if (!fallen && room > 0 && model->member->place == HUB_STUCK)
		assert_true(model->member->line >= published_first);
}

static void
model_resize(struct model_member models[static MEMBERS])
{
	ring_size = (size_t)RING << random() % 3;
	model_make_room(0, 0);
	assert_true(hub_resize(hub, ring_new(ring_size)));
	for (int i = 0; i < MEMBERS; i++)
		models[i].may_lose = true;
}

static void
model_run(struct factory *factory)
{
	static struct model_member models[MEMBERS];
	memset(models, 0, sizeof models);
	while (published_next < steps) {
		struct model_member *model = &models[random() % MEMBERS];
		long operation = random() % 1000;
		if (model->transport == NULL) {
			if (operation < 100)
				model_join(model, factory);
			else if (operation < 600)
				model_publish(NULL);
		} else if (operation < 2) {
			model_leave(model);
		} else if (operation < 400) {
			model_publish(model);
		} else if (operation < 403) {
			for (long burst = random() % 400; burst > 0; burst--)
				model_publish(model);
		} else if (operation < 700) {
			model_drain(model);
		} else if (operation == 700 && random() % 20 == 0) {
			model_resize(models);
		} else if (operation == 701) {
			hub_drop_verdicts(hub, &even);
			if (random() % 2 == 0)
				hub_keep_verdicts(hub, &even);
		} else {
			fake_turn();
			model_take(model);
			if (model->unlimited && model->member->policy->receives)
				assert_int_equal(model_count(model, model->next, published_next),
						 0);
		}
	}
	for (int i = 0; i < MEMBERS; i++)
		if (models[i].transport != NULL)
			model_leave(&models[i]);
	hub_drop_verdicts(hub, &even);
	assert_null(even.verdicts);
}

/* TWINED_STEPS: how many lines are published. */
static void
model_begin(bool is_polite)
{
	const char *wanted = getenv("TWINED_STEPS");
	steps = wanted != NULL ? strtoull(wanted, NULL, 10) : 600000;
	published = calloc(steps + 1, sizeof *published);
	assert_non_null(published);
	published_next = published_first = 1;
	published_bytes = 0;
	ring_size = RING;
	polite = is_polite;
	srandom(7);
}

static void
holds_under_random_operations(void **state)
{
	struct filter *filter;
	assert_null(filter_parse("/^[0-9]*[02468] /", &filter));
	even.filter = filter;
	for (int is_polite = 0; is_polite < 2; is_polite++) {
		model_begin(is_polite);
		model_run(*state);
		free(published);
		hub_unref(hub);
		hub = hub_new(RING);
	}
	filter_free(filter);
}

int
main(void)
{
#define HUB_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		HUB_TEST(lines_of_a_turn_are_one_write),
		HUB_TEST(own_lines_come_with_loopback_only),
		HUB_TEST(own_lines_between_many_others),
		HUB_TEST(who_keeps_up_gets_every_short_line),
		HUB_TEST(history_is_sent_to_whoever_joins),
		HUB_TEST(a_stalled_member_loses_whole_lines_and_is_told),
		HUB_TEST(own_lines_are_not_counted_as_dropped),
		HUB_TEST(an_impatient_hub_closes_after_a_whole_line),
		HUB_TEST(stalled_members_cost_nothing),
		HUB_TEST(a_hub_ends_when_all_have_got_everything),
		HUB_TEST(a_member_ends_alone_when_it_has_got_everything),
		HUB_TEST(a_member_that_ends_alone_gets_nothing_that_comes_later),
		HUB_TEST(a_member_that_is_cut_gets_a_whole_line_and_no_other),
		HUB_TEST(a_member_that_ends_alone_does_not_hold_up_the_end_of_the_hub),
		HUB_TEST(a_member_that_goes_does_not_hold_up_the_end),
		HUB_TEST(the_hub_outlives_what_is_deferred),
		HUB_TEST(crlf_is_of_whoever_gets_it),
		HUB_TEST(crlf_of_a_line_that_is_overwritten),
		HUB_TEST(a_filter_is_of_whoever_gets_it),
		HUB_TEST(lines_are_judged_while_nobody_is_there),
		HUB_TEST(history_may_have_an_age),
		HUB_TEST(a_line_that_the_ring_cannot_hold_is_refused),
		HUB_TEST(a_hub_that_is_resized_keeps_its_members_and_lines),
		HUB_TEST(a_publisher_waits_for_a_member_that_reads),
		HUB_TEST(a_publisher_waits_for_one_that_has_stalled_but_a_moment),
		HUB_TEST(a_publisher_waits_even_less_for_one_of_few_that_have_stalled),
		HUB_TEST(who_still_has_something_to_read_is_not_held_up),
		HUB_TEST(a_member_that_is_slow_without_a_pause_is_charged_too),
		HUB_TEST(each_that_stalls_is_waited_for_no_longer_than_the_one_before),
		HUB_TEST(who_is_being_lost_does_not_count),
		HUB_TEST(a_steadily_slow_member_holds_the_others_up_a_twentieth_of_the_time),
		HUB_TEST(who_comes_and_goes_does_not_shield_one_that_has_stalled),
		HUB_TEST(one_that_has_stalled_further_on_does_not_shield_a_slow_one),
		HUB_TEST(a_slow_member_among_publishers_is_charged),
		HUB_TEST(a_lone_reader_of_a_publisher_that_receives_too_loses_nothing),
		HUB_TEST(one_that_stalls_again_and_again_costs_no_more_than_a_slow_one),
		HUB_TEST(one_whose_system_is_gone_does_not_shield_a_slow_one),
		HUB_TEST(an_old_pause_does_not_count),
		HUB_TEST(members_that_are_all_behind_are_waited_for),
		HUB_TEST(publishers_that_do_not_read_do_not_wait_for_each_other_for_ever),
		HUB_TEST(who_begins_to_wait_just_before_the_tick_does_not_wait_for_ever),
		HUB_TEST(who_goes_is_not_waited_for),
		HUB_TEST(holds_under_random_operations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
