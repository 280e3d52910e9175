/* test_hub_model.c - a hub against a simple model of it, with random operations. */
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
model_join(struct model_member *model)
{
	static struct hub_policy *const policies[] = { &plain, &with_crlf, &with_loopback, &silent,
						       &even };
	uint64_t history = random() % 3 ? 0 : (uint64_t)random() % 200;
	*model = (struct model_member){ .unlimited = random() % 4 == 0, .may_lose = !polite };
	model->next = published_next - published_first < history ? published_first
								 : published_next - history;
	model->transport = join(policies[random() % 5], history,
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
	leave(model->transport, REASON_PEER_CLOSED);
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
model_run(void)
{
	static struct model_member models[MEMBERS];
	memset(models, 0, sizeof models);
	while (published_next < steps) {
		struct model_member *model = &models[random() % MEMBERS];
		long operation = random() % 1000;
		if (model->transport == NULL) {
			if (operation < 100)
				model_join(model);
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
	(void)state;
	struct filter *filter;
	assert_null(filter_parse("/^[0-9]*[02468] /", &filter));
	even.filter = filter;
	for (int is_polite = 0; is_polite < 2; is_polite++) {
		model_begin(is_polite);
		model_run();
		free(published);
		hub_unref(hub);
		hub = hub_new(RING);
	}
	filter_free(filter);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(holds_under_random_operations, hub_world_begin,
						hub_world_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
