/* test_hub.c - a hub gives every member whole lines in one order, and counts exactly what it cannot give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hub_world.h"
#include "protocols/filter.h"
#include "protocols/hub_ring.h"

static void
lines_of_a_turn_are_one_write(void **state)
{
	(void)state;
	struct transport *a = join(&plain, 0, SIZE_MAX),
			 *b = join(&plain, 0, SIZE_MAX);
	publish(a, "one\n");
	publish(a, "two\n");
	publish(NULL, "three\n");
	assert_int_equal(fake_sends(b), 0);
	fake_turn();
	assert_int_equal(fake_sends(b), 1);
	assert_got(b, "one\ntwo\nthree\n");
	assert_got(a, "three\n");
	leave(a, REASON_PEER_CLOSED);
	leave(b, REASON_PEER_CLOSED);
}

static void
own_lines_come_with_loopback_only(void **state)
{
	(void)state;
	struct transport *a = join(&with_loopback, 0, SIZE_MAX);
	struct transport *b = join(&plain, 0, SIZE_MAX);
	struct transport *c = join(&silent, 0, SIZE_MAX);
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
	leave(a, REASON_PEER_CLOSED);
	leave(b, REASON_PEER_CLOSED);
	leave(c, REASON_PEER_CLOSED);
}

/* More runs of lines than one write has pieces, around the edge of the ring too. */
static void
own_lines_between_many_others(void **state)
{
	(void)state;
	char expected[10000], text[40];
	hub_unref(hub);
	hub = hub_new(16 * RING);
	struct transport *a = join(&plain, 0, SIZE_MAX);
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
	leave(a, REASON_PEER_CLOSED);
}

/* Many more short lines than the ring keeps, in one turn. */
static void
who_keeps_up_gets_every_short_line(void **state)
{
	(void)state;
	struct transport *a = join(&plain, 0, SIZE_MAX);
	size_t length;
	for (int i = 0; i < 5000; i++)
		publish(NULL, "\n");
	fake_turn();
	fake_sent(a, &length);
	assert_int_equal(length, 5000);
	assert_in_range(fake_sends(a), 1, 5000 / 32);	/* and not line by line */
	leave(a, REASON_PEER_CLOSED);
}

static void
history_is_sent_to_whoever_joins(void **state)
{
	(void)state;
	publish(NULL, "1\n");
	publish(NULL, "2\n");
	publish(NULL, "3\n");
	struct transport *none = join(&plain, 0, SIZE_MAX);
	struct transport *two = join(&plain, 2, SIZE_MAX);
	struct transport *all = join(&plain, 100, SIZE_MAX);
	publish(two, "4\n");
	fake_turn();
	assert_got(none, "4\n");
	assert_got(two, "2\n3\n");
	assert_got(all, "1\n2\n3\n4\n");
	leave(none, REASON_PEER_CLOSED);
	leave(two, REASON_PEER_CLOSED);
	leave(all, REASON_PEER_CLOSED);
}

static void
a_stalled_member_loses_whole_lines_and_is_told(void **state)
{
	(void)state;
	struct transport *sender = join(&silent, 0, SIZE_MAX);
	struct transport *slow = join(&plain, 0, 150);
	struct transport *quick = join(&plain, 0, SIZE_MAX);
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
	leave(sender, REASON_PEER_CLOSED);
	leave(slow, REASON_PEER_CLOSED);
	leave(quick, REASON_PEER_CLOSED);
}

static void
own_lines_are_not_counted_as_dropped(void **state)
{
	(void)state;
	struct transport *slow = join(&plain, 0, 0);
	publish_hundreds(NULL, 0, 10);
	publish_hundreds(slow, 10, 90);
	fake_turn();
	fake_drain(slow, SIZE_MAX);
	assert_got(slow, "# 10\n");
	assert_int_equal(dropped(slow), 10);
	leave(slow, REASON_PEER_CLOSED);
}

static void
an_impatient_hub_closes_after_a_whole_line(void **state)
{
	(void)state;
	struct transport *slow = join(&impatient, 0, 150);
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
	leave(slow, REASON_TOO_SLOW);
}

static void
stalled_members_cost_nothing(void **state)
{
	(void)state;
	enum { STALLED = 500 };
	struct transport *stalled[STALLED], *quick = join(&plain, 0, SIZE_MAX);
	size_t length;
	for (int i = 0; i < STALLED; i++)
		stalled[i] = join(&plain, 0, (size_t)i % 130);
	for (unsigned i = 0; i < 1000; i++) {
		publish_hundreds(NULL, i, i + 1);
		fake_turn();
	}
	for (int i = 0; i < STALLED; i++) {
		/* The first line, the second, the rest of one when it was overwritten. */
		assert_in_range(fake_sends(stalled[i]), 1, 3);
		assert_int_equal(transport_pending(stalled[i]), 0);
		leave(stalled[i], REASON_WRITE_TIMEOUT);
	}
	/* What they did not get is counted although they will never ask for it. */
	assert_in_range(hub_count(hub).dropped, STALLED * 955, STALLED * 960);
	fake_sent(quick, &length);
	assert_int_equal(length, 100000);
	leave(quick, REASON_PEER_CLOSED);
}

static void
a_hub_ends_when_all_have_got_everything(void **state)
{
	(void)state;
	struct transport *a = join(&plain, 0, SIZE_MAX), *slow = join(&plain, 0, 3);
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
	leave(a, REASON_SHUTDOWN);
	leave(slow, REASON_SHUTDOWN);
}

static void
a_member_ends_alone_when_it_has_got_everything(void **state)
{
	(void)state;
	struct transport *other = join(&plain, 0, SIZE_MAX),
			 *quick = join(&plain, 0, SIZE_MAX);
	struct transport *slow = join(&plain, 0, 3);
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
	leave(quick, REASON_DONE);
	leave(slow, REASON_PEER_CLOSED);
	publish(NULL, "after\n");
	fake_turn();
	assert_got(other, "before\nafter\n");
	assert_false(fake_is_lost(other));
	leave(other, REASON_DONE);
}

/* What comes after that is not owed: else one that is slower than its hub never ends. */
static void
a_member_that_ends_alone_gets_nothing_that_comes_later(void **state)
{
	(void)state;
	static struct hub_policy *const policies[] = { &plain, &with_crlf, &with_loopback };
	for (int i = 0; i < 3; i++) {
		struct transport *ending = join(policies[i], 0, 3),
				 *other = join(&plain, 0, SIZE_MAX);
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
		leave(ending, REASON_SILENCE_TIMEOUT);
		leave(other, REASON_DONE);
	}
}

/* It has had its time: the line that it is within is its last. */
static void
a_member_that_is_cut_gets_a_whole_line_and_no_other(void **state)
{
	(void)state;
	static const struct {
		size_t first;
		const char *got;
	} cases[] = { { 0, "" }, { 1, "one\n" }, { 4, "one\n" }, { 5, "one\ntwo\n" } };
	for (int way = 0; way < 4; way++)
		for (size_t i = 0; i < 4; i++) {
			bool falls = way & 1, ends = way & 2;
			struct transport *slow = join(&plain, 0, cases[i].first);
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
			leave(slow, REASON_DONE);
		}
}

/* It has nothing to say any more. */
static void
a_member_that_ends_alone_does_not_hold_up_the_end_of_the_hub(void **state)
{
	(void)state;
	struct transport *quick = join(&plain, 0, SIZE_MAX);
	struct transport *slow = join(&plain, 0, 3);
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
	leave(quick, REASON_SHUTDOWN);
	leave(slow, REASON_PEER_CLOSED);
}

static void
a_member_that_goes_does_not_hold_up_the_end(void **state)
{
	(void)state;
	struct transport *a = join(&plain, 0, SIZE_MAX),
			 *b = join(&plain, 0, SIZE_MAX);
	hub_member_stop(transport_state(a));
	fake_turn();
	assert_false(fake_is_lost(a));
	leave(b, REASON_PEER_RESET);
	fake_turn();
	assert_true(fake_is_lost(a));
	leave(a, REASON_SHUTDOWN);
}

static void
the_hub_outlives_what_is_deferred(void **state)
{
	(void)state;
	struct transport *a = join(&plain, 0, SIZE_MAX);
	publish(NULL, "x\n");
	leave(a, REASON_PEER_RESET);
	/* teardown frees the hub before the turn ends */
}

static void
crlf_is_of_whoever_gets_it(void **state)
{
	(void)state;
	struct transport *lf = join(&plain, 0, SIZE_MAX);
	for (size_t room = 0; room < 16; room++) {
		struct transport *crlf = join(&with_crlf, 0, room);
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
		leave(crlf, REASON_PEER_CLOSED);
	}
	leave(lf, REASON_PEER_CLOSED);
}

/* Cut at every place, the line it has begun with comes whole when that is overwritten. */
static void
crlf_of_a_line_that_is_overwritten(void **state)
{
	(void)state;
	for (size_t room = 1; room < 6; room++) {
		struct transport *slow = join(&with_crlf, 0, room);
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
		leave(slow, REASON_PEER_CLOSED);
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
	(void)state;
	struct filter *filter;
	struct hub_policy numbers = filtered("/^[0-9]+$/", &filter);
	publish_bytes(NULL, "p ", "1", 1);
	publish_bytes(NULL, "p ", "one", 3);
	publish(NULL, "2\n");
	struct transport *a = join(&numbers, 2, SIZE_MAX);
	struct transport *b = join(&numbers, 9, SIZE_MAX);
	struct transport *all = join(&plain, 9, SIZE_MAX);
	assert_got(a, "2\n");
	assert_got(b, "p 1\n2\n");
	publish(NULL, "two\n");
	publish_bytes(NULL, "3", "three", 5);
	publish_bytes(NULL, "three ", "3", 1);
	fake_turn();
	assert_got(a, "2\nthree 3\n");
	assert_got(all, "p 1\np one\n2\ntwo\n3three\nthree 3\n");
	leave(a, REASON_PEER_CLOSED);
	leave(b, REASON_PEER_CLOSED);
	leave(all, REASON_PEER_CLOSED);
	filter_free(filter);
}

/* Which lines are judged, the first one of them says. */
static void
lines_are_judged_while_nobody_is_there(void **state)
{
	(void)state;
	struct filter *filter;
	struct hub_policy numbers = filtered("/^[0-9]+$/", &filter);
	publish(NULL, "0\n");
	hub_keep_verdicts(hub, &numbers);
	publish(NULL, "1\n");
	publish(NULL, "one\n");
	publish(NULL, "2\n");
	struct transport *a = join(&numbers, 3, SIZE_MAX);
	assert_got(a, "1\n2\n");
	leave(a, REASON_PEER_CLOSED);
	assert_true(hub_resize(hub, ring_new(2 * RING)));
	publish(NULL, "three\n");
	publish(NULL, "3\n");
	assert_int_equal(numbers.judged, 2);
	a = join(&numbers, 5, SIZE_MAX);
	assert_got(a, "1\n2\n3\n");
	assert_int_equal(numbers.judged, 2);
	struct transport *b = join(&numbers, 9, SIZE_MAX);
	assert_got(b, "0\n1\n2\n3\n");
	assert_int_equal(numbers.judged, 1);
	hub_drop_verdicts(hub, &numbers);
	publish(NULL, "4\n");
	leave(a, REASON_PEER_CLOSED);
	fake_turn();
	assert_got(b, "0\n1\n2\n3\n4\n");
	leave(b, REASON_PEER_CLOSED);
	assert_null(numbers.verdicts);
	publish(NULL, "5\n");
	filter_free(filter);
}

/* Lines of all ages from one in which there were none to now. */
static void
history_may_have_an_age(void **state)
{
	(void)state;
	static const char *const expected[] = { "", "3\n", "2\n3\n", "1\n2\n3\n" };
	publish(NULL, "1\n");
	fake_pass(10000);
	publish(NULL, "2\n");
	fake_pass(10000);
	publish(NULL, "3\n");
	fake_pass(5000);
	for (int i = 0; i < 4; i++) {
		history_age_ms = 10000 * i + (i == 0);
		struct transport *a = join(&plain, 100, SIZE_MAX);
		assert_got(a, expected[i]);
		leave(a, REASON_PEER_CLOSED);
		struct transport *b = join(&plain, 1, SIZE_MAX);
		assert_got(b, i == 0 ? "" : "3\n");
		leave(b, REASON_PEER_CLOSED);
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
	(void)state;
	struct transport *slow = join(&plain, 0, 50),
			 *quick = join(&plain, 0, SIZE_MAX);
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
	struct transport *late = join(&plain, 100, SIZE_MAX);
	fake_sent(late, &length);
	assert_int_equal(length, 4000);
	fake_drain(slow, SIZE_MAX);
	assert_int_equal(dropped(slow), 39);
	publish(slow, "after\n");
	fake_turn();
	fake_sent(quick, &length);
	assert_int_equal(length, 8006);
	leave(slow, REASON_PEER_CLOSED);
	leave(quick, REASON_PEER_CLOSED);
	leave(late, REASON_PEER_CLOSED);
}

int
main(void)
{
#define HUB_TEST(name) cmocka_unit_test_setup_teardown(name, hub_world_begin, hub_world_end)
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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
