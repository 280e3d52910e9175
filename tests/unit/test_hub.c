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
#include "protocols/hub.h"

enum { RING = 4096, RING_LINES = 128, LINE_LONGEST = RING / 2 };

/* The least protocol that is a member of a hub; the hub is the test's. */
static struct hub *hub;
static const struct hub_policy *join_policy;
static uint64_t join_history;

static void
member_made(struct transport *transport)
{
	hub_join(hub, transport_state(transport), transport, join_policy, join_history);
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

static const struct hub_policy plain = { .receives = true, .drop_notice = notice_write };
static const struct hub_policy with_loopback = { .receives = true, .loopback = true,
						 .drop_notice = notice_write };
static const struct hub_policy silent = { .receives = false };
static const struct hub_policy impatient = { .receives = true, .on_slow = ON_SLOW_CLOSE };

static struct transport *
join(struct factory *factory, const struct hub_policy *policy, uint64_t history, size_t room)
{
	join_policy = policy;
	join_history = history;
	fake_set_first_room(room);
	struct transport *transport = fake_open(factory);
	fake_set_first_room(SIZE_MAX);
	return transport;
}

static void
publish(struct transport *sender, const char *text)
{
	const struct iovec piece = { .iov_base = (void *)text, .iov_len = strlen(text) };
	hub_publish(hub, sender != NULL ? transport_state(sender) : NULL, &piece, 1);
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
	struct transport *a = join(*state, &plain, 0, SIZE_MAX), *b = join(*state, &plain, 0, SIZE_MAX);
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
		assert_in_range(transport_pending(stalled[i]), 0, 100);
		fake_close(stalled[i], REASON_WRITE_TIMEOUT);
	}
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
a_member_that_goes_does_not_hold_up_the_end(void **state)
{
	struct transport *a = join(*state, &plain, 0, SIZE_MAX), *b = join(*state, &plain, 0, SIZE_MAX);
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

/*
 * Random operations against what must hold: a stream is whole lines, growing numbers, none of the member's
 * own, nothing missing but what a notice in that place counts; and what is missing had to be.
 */
enum { LINES = 1000000, MEMBERS = 10, SPARE = LINE_LONGEST + 64 };

static struct {
	uint32_t sender;
	uint64_t begin;		/* of its bytes, counted from the first line's */
} *published;			/* by number */
static uint64_t published_next, published_bytes;

struct model_member {
	struct transport *transport;
	struct hub_member *member;
	uint64_t next;			/* the number of the line that comes next, if it is not skipped */
	uint64_t told;			/* by notices */
	uint64_t notice;		/* those since the last line */
	bool unlimited;
	char rest[SPARE];		/* a line that has come in part */
	size_t rest_length;
};

static size_t
model_line(uint64_t number, uint32_t sender, size_t length, char line[static LINE_LONGEST])
{
	size_t written = (size_t)sprintf(line, "%llu %u ", (unsigned long long)number, sender);
	while (written + 1 < length)
		line[written++] = (char)('a' + number % 26);
	line[written] = '\n';
	return written + 1;
}

static bool
model_skips(const struct model_member *model, uint64_t number)
{
	return published[number].sender == model->member->id && !model->member->policy->loopback;
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

static uint64_t
model_oldest(void)
{
	uint64_t oldest = published_next;
	while (oldest > 1 && published_bytes - published[oldest - 1].begin <= RING
	       && published_next - (oldest - 1) <= RING_LINES)
		oldest--;
	return oldest;
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
	uint64_t number = strtoull(line, NULL, 10);
	assert_in_range(number, model->next, published_next - 1);
	assert_false(model_skips(model, number));
	size_t expected_length = model_line(number, published[number].sender, length, expected);
	assert_int_equal(length, expected_length);
	assert_memory_equal(line, expected, length);
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
	static const struct hub_policy *const policies[] = { &plain, &plain, &with_loopback, &silent };
	uint64_t history = random() % 3 ? 0 : (uint64_t)random() % 200, oldest = model_oldest();
	*model = (struct model_member){ .unlimited = random() % 4 == 0 };
	model->next = published_next - oldest < history ? oldest : published_next - history;
	model->transport = join(factory, policies[random() % 4], history,
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
	if (model->unlimited)
		assert_int_equal(model->told, 0);
	fake_close(model->transport, REASON_PEER_CLOSED);
	model->transport = NULL;
}

static void
model_publish(struct model_member *sender)
{
	char line[LINE_LONGEST];
	uint32_t id = sender != NULL ? sender->member->id : 0;
	long kind = published_next / 2000 % 4 == 0 ? 15 : random() % 16;	/* short ones only, at times */
	size_t length = 12 + (size_t)random() % (kind == 0 ? LINE_LONGEST - 11 : kind < 6 ? 200 : 8);
	length = model_line(published_next, id, length, line);
	published[published_next].sender = id;
	published[published_next].begin = published_bytes;
	size_t cut = (size_t)random() % (length + 1);
	const struct iovec pieces[] = { { line, cut }, { line + cut, length - cut } };
	assert_int_equal(hub_next_line(hub), published_next);
	published_next++;
	published_bytes += length;
	hub_publish(hub, sender != NULL ? sender->member : NULL, pieces, 2);
}

static void
model_drain(struct model_member *model)
{
	static const size_t rooms[] = { 0, 1, 7, 100, 1000, 5000, 20000 };
	bool fallen = model->member->place == HUB_FALLEN && transport_pending(model->transport) == 0;
	uint64_t line = model->member->line, before = model->member->dropped, oldest = model_oldest();
	size_t room = rooms[random() % 7];
	if (model->unlimited)
		return;
	fake_drain(model->transport, room);
	if (fallen && room > 0)
		assert_int_equal(model->member->dropped - before, model_count(model, line, oldest));
	else if (!fallen && room > 0 && model->member->place == HUB_STUCK)
		assert_true(model->member->line >= oldest);
}

static void
holds_under_random_operations(void **state)
{
	static struct model_member models[MEMBERS];
	published = calloc(LINES + 1, sizeof *published);
	assert_non_null(published);
	published_next = 1;
	published_bytes = 0;
	memset(models, 0, sizeof models);
	srandom(7);
	while (published_next < LINES) {
		struct model_member *model = &models[random() % MEMBERS];
		long operation = random() % 1000;
		if (model->transport == NULL) {
			if (operation < 100)
				model_join(model, *state);
			else if (operation < 600)
				model_publish(NULL);
		} else if (operation < 2) {
			model_leave(model);
		} else if (operation < 400) {
			model_publish(model);
		} else if (operation < 403) {
			for (long burst = random() % 400; burst > 0 && published_next < LINES; burst--)
				model_publish(model);
		} else if (operation < 700) {
			model_drain(model);
		} else {
			fake_turn();
			model_take(model);
			if (model->unlimited && model->member->policy->receives)
				assert_int_equal(model_count(model, model->next, published_next), 0);
		}
	}
	for (int i = 0; i < MEMBERS; i++)
		if (models[i].transport != NULL)
			model_leave(&models[i]);
	free(published);
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
		HUB_TEST(a_member_that_goes_does_not_hold_up_the_end),
		HUB_TEST(the_hub_outlives_what_is_deferred),
		HUB_TEST(holds_under_random_operations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
