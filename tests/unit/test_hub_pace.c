/* test_hub_pace.c - who a publisher waits for, and for how long. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hub_world.h"
#include "net/deadline.h"
#include "net/wheel.h"

/* A publisher of its own accord: publishes as long as there is room, and then waits. */
struct pump {
	struct hub_waiter waiter;	/* first */
	struct transport *transport;
	unsigned published, most;
};

enum { PUMPS = 2 };
static struct pump pumps[PUMPS];
static unsigned pumps_count;

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

static bool
pump_waits(const struct pump *pump)
{
	return pump->waiter.link != NULL;
}

/* So many lines are to be published by now, in all. */
static void
pump_to(struct pump *pump, unsigned most)
{
	pump->most = most;
	if (!pump_waits(pump))
		pump_go_on(&pump->waiter);
	fake_turn();
}

static struct pump *
pump_start(struct transport *transport, unsigned most)
{
	struct pump *pump = &pumps[pumps_count++ % PUMPS];
	hub_unwait(hub, &pump->waiter);
	*pump = (struct pump){
		.waiter = { .member = transport_state(transport),
			    .length = 100,
			    .go_on = pump_go_on },
		.transport = transport,
	};
	pump_to(pump, most);
	return pump;
}

static int
begin(void **state)
{
	memset(pumps, 0, sizeof pumps);
	return hub_world_begin(state);
}

static int
end(void **state)
{
	for (int i = 0; i < PUMPS; i++)
		hub_unwait(hub, &pumps[i].waiter);
	return hub_world_end(state);
}

static void
begin_anew(void)
{
	end(NULL);
	begin(NULL);
}

/* Members that read at once. */
static void
join_quick(struct transport **quick, int count)
{
	for (int i = 0; i < count; i++)
		quick[i] = join(&plain, 0, SIZE_MAX);
}

/* So many times, once in so many ms, it reads so many bytes. */
static void
read_on(struct transport *transport, int times, uint64_t every_ms, size_t bytes)
{
	for (int i = 0; i < times; i++) {
		fake_pass(every_ms);
		fake_drain(transport, bytes);
		fake_turn();
	}
}

static bool
is_slow(struct transport *transport)
{
	return ((struct hub_member *)transport_state(transport))->slow;
}

/* What happens in each step of a time: so many lines are published, and so many bytes read. */
struct steps {
	unsigned count, ms, lines;
	size_t bytes;
};

/* For how long, of the steps, the publisher waits for a member that reads bit by bit. */
static unsigned
held_ms(struct pump *pump, struct transport *slow, const struct steps *steps)
{
	unsigned held = 0;
	for (unsigned i = 0; i < steps->count; i++) {
		if (!pump_waits(pump))
			pump_to(pump, pump->published + steps->lines);
		fake_pass(steps->ms);
		held += pump_waits(pump);
		fake_drain(slow, steps->bytes);
		fake_turn();
	}
	return held * steps->ms;
}

/* At most a twentieth of the time, and what was there to begin with. */
static void
assert_a_twentieth(unsigned held, unsigned all)
{
	assert_in_range(held, 1, 500 + all / 20 + 200);
}

static void
a_publisher_waits_for_a_member_that_reads(void **state)
{
	(void)state;
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 0);
	struct transport *reader = join(&plain, 0, 0);
	pump_to(pump, 1000);
	assert_int_equal(pump->published, 40);
	/* It is the only one: nobody is held up. */
	for (int i = 0; i < 2000 && pump->published < 1000; i++) {
		fake_pass(100);
		fake_drain(reader, 60);
		fake_turn();
	}
	assert_int_equal(pump->published, 1000);
	fake_drain(reader, SIZE_MAX);
	fake_turn();
	assert_int_equal(got(reader), 100000);
	assert_int_equal(dropped(reader), 0);
}

static void
a_publisher_waits_for_one_that_has_stalled_but_a_moment(void **state)
{
	(void)state;
	struct transport *sender = join(&silent, 0, SIZE_MAX);
	struct transport *stalled = join(&plain, 0, 0), *quick = join(&plain, 0, SIZE_MAX);
	struct pump *pump = pump_start(sender, 1000);
	fake_pass(60);
	assert_int_equal(pump->published, 40);
	fake_pass(900);
	assert_int_equal(pump->published, 1000);
	assert_int_equal(hub_count(hub).slow, 1);
	assert_int_equal(got(quick), 100000);
	fake_drain(stalled, SIZE_MAX);
	assert_true(dropped(stalled) > 900);
	assert_int_equal(hub_count(hub).dropped, dropped(stalled));
	assert_int_equal(hub_count(hub).slow, 0);
}

/* Where nearly everybody starves. */
static void
a_publisher_waits_even_less_for_one_of_few_that_have_stalled(void **state)
{
	(void)state;
	enum { QUICK = 3 };
	struct transport *quick[QUICK];
	join_quick(quick, QUICK);
	join(&plain, 0, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 1000);
	fake_pass(32);
	assert_int_equal(pump->published, 40);
	fake_pass(64);
	assert_int_equal(pump->published, 1000);
	assert_int_equal(hub_count(hub).slow, 1);
}

/* Its system may have taken what we do not know of yet. */
static void
one_that_is_far_away_is_waited_for_longer(void **state)
{
	(void)state;
	struct transport *far = join(&plain, 0, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 1000);
	join(&plain, 0, SIZE_MAX);
	fake_set_way(far, 600);
	fake_pass(960);
	assert_int_equal(pump->published, 40);
	fake_pass(100);
	assert_int_equal(pump->published, 1000);
}

/* It has caught up, and some time has passed, in which nothing need be published. */
static void
one_that_has_stalled_is_waited_for_again(void **state)
{
	(void)state;
	struct transport *reader = join(&plain, 0, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 0);
	join(&plain, 0, SIZE_MAX);
	for (int has_stalled = 0; has_stalled < 2; has_stalled++) {
		uint64_t before = dropped(reader);
		fake_set_room(reader, 500);
		pump_to(pump, pump->published + 100);
		read_on(reader, 100, 20, 800);
		assert_false(pump_waits(pump));
		assert_int_equal(dropped(reader), before);
		fake_set_room(reader, 0);
		pump_to(pump, pump->published + 100);
		fake_pass(960);
		assert_true(is_slow(reader));
		fake_drain(reader, SIZE_MAX);
		fake_turn();
		fake_pass(2000);
	}
}

/* Others have everything as far as we go, but not yet as far as they go: nobody is held up. */
static void
who_still_has_something_to_read_is_not_held_up(void **state)
{
	(void)state;
	struct transport *last = join(&plain, 0, 0), *busy = join(&plain, 0, SIZE_MAX);
	fake_set_arriving(busy, 0);
	pump_start(join(&silent, 0, SIZE_MAX), 1000);
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
}

/* Where more than half are behind, it is the hub that is fast. */
static void
who_moves_is_charged_where_half_have_everything(void **state)
{
	(void)state;
	enum { SLOW = 3 };
	for (int quicks = SLOW - 1; quicks <= SLOW; quicks++) {
		struct transport *quick[SLOW], *slow[SLOW];
		join_quick(quick, quicks);
		for (int i = 0; i < SLOW; i++)
			slow[i] = join(&plain, 0, 0);
		pump_start(join(&silent, 0, SIZE_MAX), 100000);
		for (int step = 0; step < 1000; step++) {
			fake_pass(40);
			for (int i = 0; i < SLOW; i++)
				fake_drain(slow[i], 100);
			fake_turn();
		}
		assert_int_equal(hub_count(hub).dropped > 0, quicks >= SLOW);
		begin_anew();
	}
}

/*
 * One that reads all the time, but at a tenth of what is published: it costs a twentieth of the
 * time.
 */
static void
a_steadily_slow_member_holds_the_others_up_a_twentieth_of_the_time(void **state)
{
	static const struct steps steps = { .count = 3000, .ms = 40, .lines = 10, .bytes = 100 };
	(void)state;
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 0);
	struct transport *slow = join(&plain, 0, 100), *quick = join(&plain, 0, SIZE_MAX);
	assert_a_twentieth(held_ms(pump, slow, &steps), steps.count * steps.ms);
	assert_int_equal(dropped(quick), 0);
	assert_true(dropped(slow) > 0);
}

/* The same, but it makes room so often that no wait lasts until the next tick. */
static void
a_member_that_is_slow_without_a_pause_is_charged_too(void **state)
{
	static const struct steps steps = { .count = 5000, .ms = 8, .lines = 100, .bytes = 600 };
	(void)state;
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 0);
	struct transport *slow = join(&plain, 0, 100), *quick = join(&plain, 0, SIZE_MAX);
	assert_a_twentieth(held_ms(pump, slow, &steps), steps.count * steps.ms);
	assert_int_equal(dropped(quick), 0);
}

/* The same, but waits are short, and there is time between them. */
static void
a_member_that_is_a_little_slow_is_charged_too(void **state)
{
	enum { STEPS = 60000, EVERY_MS = 4 };
	(void)state;
	for (size_t read = 70; read <= 80; read += 10) {
		struct transport *quick[8], *slow = join(&plain, 0, 0);
		struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 0);
		unsigned held = 0;
		join_quick(quick, 8);
		for (unsigned i = 0; i < STEPS; i++) {
			if (!pump_waits(pump) && i % EVERY_MS == 0)
				pump_to(pump, pump->published + 1);
			fake_pass(1);
			held += pump_waits(pump);
			if (i % EVERY_MS == 0)
				fake_drain(slow, read);
			fake_turn();
		}
		assert_a_twentieth(held, STEPS);
		begin_anew();
	}
}

/* They have everything but for what is on its way; that is no turn that a program takes. */
static void
members_that_are_far_away_do_not_shield_a_slow_one(void **state)
{
	enum { QUICK = 8, STEP_MS = 4, STEPS = 40000, LATE_MS = 40, LATE = LATE_MS / STEP_MS };
	(void)state;
	for (size_t bytes = 14; bytes <= 35; bytes += 7) {
		struct transport *quick[QUICK], *slow = join(&plain, 0, 0);
		struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 0);
		size_t sent[LATE] = { 0 };
		unsigned held = 0;
		join_quick(quick, QUICK);
		for (unsigned i = 0; i < STEPS; i++) {
			if (!pump_waits(pump))
				pump_to(pump, pump->published + 10);
			for (int k = 0; k < QUICK; k++)
				fake_set_arriving(quick[k], sent[i % LATE]);
			sent[i % LATE] = got(quick[0]);
			fake_pass(STEP_MS);
			held += pump_waits(pump);
			fake_drain(slow, bytes);
			fake_turn();
		}
		assert_a_twentieth(held * STEP_MS, STEPS * STEP_MS);
		begin_anew();
	}
}

/* To give one up is no sign that the others need longer. */
static void
each_that_stalls_is_waited_for_no_longer_than_the_one_before(void **state)
{
	(void)state;
	enum { QUICK = 12, STALLED = 4 };
	struct transport *sender = join(&silent, 0, SIZE_MAX), *quick[QUICK];
	join_quick(quick, QUICK);
	for (int i = 0; i < STALLED; i++) {
		join(&plain, 0, 10);
		struct pump *one = pump_start(sender, 100), *other = pump_start(sender, 100);
		fake_pass(112);
		assert_int_equal(one->published, 100);
		assert_int_equal(other->published, 100);
	}
	assert_int_equal(hub_count(hub).slow, STALLED);
}

/* Who is being lost does not receive any more: most of those who do starve. */
static void
who_is_being_lost_does_not_count(void **state)
{
	(void)state;
	struct transport *slow = join(&plain, 0, 0);
	join(&plain, 0, SIZE_MAX);
	for (int i = 0; i < 3; i++)
		transport_lose(join(&plain, 0, SIZE_MAX), REASON_IDLE_TIMEOUT);
	pump_start(join(&silent, 0, SIZE_MAX), 1000);
	for (int i = 0; i < 100; i++) {
		fake_pass(40);
		fake_drain(slow, 100);
	}
	assert_true(dropped(slow) > 0);
}

/* Those who come and go are no sign that somebody who is still is about to read. */
static void
who_comes_and_goes_does_not_shield_one_that_has_stalled(void **state)
{
	(void)state;
	enum { QUICK = 8 };
	struct transport *quick[QUICK], *visitor = NULL;
	join_quick(quick, QUICK);
	join(&plain, 0, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 1000);
	for (unsigned i = 0; i < 12; i++) {
		fake_pass(10);
		if (visitor != NULL)
			leave(visitor, REASON_PEER_CLOSED);
		visitor = join(&plain, 1 + i % 5, SIZE_MAX);
	}
	fake_turn();
	assert_int_equal(pump->published, 1000);
}

/* It will not be in the way before the slow one is past it: it is not charged by then. */
static void
one_that_has_stalled_further_on_does_not_shield_a_slow_one(void **state)
{
	(void)state;
	struct transport *slow = join(&plain, 0, 0), *stalled = join(&plain, 0, 3500);
	join(&plain, 0, SIZE_MAX);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 1000);
	for (int i = 0; i < 300 && !is_slow(slow); i++) {
		assert_false(is_slow(stalled));
		fake_pass(10);
		fake_drain(slow, 2);
	}
	assert_true(is_slow(slow));
	fake_turn();
	assert_true(pump->published > 40);
}

/* Those who publish have had what the others have published. */
static void
a_slow_member_among_publishers_is_charged(void **state)
{
	(void)state;
	struct transport *slow = join(&plain, 0, 0);
	struct pump *a = pump_start(join(&plain, 0, SIZE_MAX), 1000),
		    *b = pump_start(join(&plain, 0, SIZE_MAX), 1000);
	for (int i = 0; i < 100; i++) {
		fake_pass(10);
		fake_drain(slow, 50);
	}
	assert_int_equal(hub_count(hub).slow, 1);
	assert_int_equal(a->published, 1000);
	assert_int_equal(b->published, 1000);
}

/* It is no other one that starves, although it receives too and does not wait at every tick. */
static void
a_lone_reader_of_a_publisher_that_receives_too_loses_nothing(void **state)
{
	(void)state;
	for (size_t read = 320; read <= 410; read += 10) {
		struct transport *reader = join(&plain, 0, 0);
		struct pump *pump = pump_start(join(&plain, 0, SIZE_MAX), 0);
		for (unsigned i = 0; i < 5000; i++) {
			if (!pump_waits(pump))
				pump_to(pump, pump->published + 1);
			fake_pass(1);
			if (i % 8 == 0)
				fake_drain(reader, read);
			fake_turn();
		}
		assert_int_equal(hub_count(hub).slow, 0);
		assert_int_equal(dropped(reader), 0);
		begin_anew();
	}
}

/* Nor does it help to catch up, or to come again; and that is so beside few and many. */
static void
one_that_stalls_again_and_again_costs_no_more_than_a_slow_one(void **state)
{
	enum { QUICK = 8, STEPS = 10000, STEP_MS = 4 };
	(void)state;
	for (int round = 0; round < 4 * QUICK; round++) {
		struct transport *quick[QUICK], *slow = join(&plain, 0, 0);
		struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 0);
		bool comes_again = round % 2 == 1;
		unsigned held = 0, times = 0, way_ms = round / 2 % 2 * 600;
		join_quick(quick, round / 4 + 1);
		fake_set_way(slow, way_ms);
		for (unsigned i = 0; i < STEPS; i++) {
			if (!pump_waits(pump))
				pump_to(pump, pump->published + 10);
			fake_pass(STEP_MS);
			held += pump_waits(pump);
			if (is_slow(slow) && comes_again) {
				leave(slow, REASON_PEER_CLOSED);
				slow = join(&plain, 0, 0);
				fake_set_way(slow, way_ms);
				times++;
			} else if (is_slow(slow) && fake_wants_drained(slow)) {
				fake_drain(slow, SIZE_MAX);
				fake_turn();
				times++;
			}
			fake_set_room(slow, is_slow(slow) && !comes_again ? SIZE_MAX : 0);
		}
		assert_true(times > 1);
		assert_a_twentieth(held * STEP_MS - way_ms, STEPS * STEP_MS);
		assert_int_equal(dropped(quick[0]), 0);
		begin_anew();
	}
}

/* All that is for it is on its way, and none of that arrives: nothing of ours waits. */
static void
one_whose_system_is_gone_does_not_shield_a_slow_one(void **state)
{
	(void)state;
	struct transport *slow = join(&plain, 0, 0), *gone = join(&plain, 0, SIZE_MAX);
	join(&plain, 0, SIZE_MAX);
	fake_set_arriving(gone, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 100000);
	read_on(slow, 200, 40, 100);
	assert_int_equal(pump->published, 100000);
}

/* Nobody has moved for half a second, once, an hour ago. */
static void
an_old_pause_does_not_count(void **state)
{
	(void)state;
	enum { QUICK = 12 };
	struct transport *sender = join(&silent, 0, SIZE_MAX), *quick[QUICK];
	for (int i = 0; i < QUICK; i++)
		quick[i] = join(&plain, 0, 0);
	struct pump *pump = pump_start(sender, 60);
	fake_pass(480);
	for (int i = 0; i < QUICK; i++)
		fake_drain(quick[i], SIZE_MAX);
	fake_turn();
	assert_int_equal(pump->published, 60);
	fake_pass(3600000);
	join(&plain, 0, 0);
	pump = pump_start(sender, 1000);
	fake_pass(112);
	assert_int_equal(pump->published, 1000);
}

/* Nor does it that one was still once, when it is behind for a moment an hour later. */
static void
an_old_stillness_does_not_count(void **state)
{
	(void)state;
	struct transport *reader = join(&plain, 0, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 1000);
	join(&plain, 0, SIZE_MAX);
	fake_pass(960);
	assert_int_equal(pump->published, 1000);
	assert_true(is_slow(reader));
	fake_drain(reader, SIZE_MAX);
	fake_turn();
	for (int i = 0; i < 3600; i++) {
		publish(NULL, "x\n");
		fake_pass(1000);
	}
	uint64_t before = dropped(reader);
	fake_set_room(reader, 200);
	fake_pass(20);
	pump_to(pump, pump->published + 100);
	read_on(reader, 100, 5, 200);
	assert_false(pump_waits(pump));
	assert_int_equal(dropped(reader), before);
}

/* All are cut off for a while: nobody is held up by one of them, whoever is the first to be back. */
static void
an_outage_of_all_does_not_count(void **state)
{
	(void)state;
	enum { QUICK = 8 };
	struct transport *quick[QUICK], *reader = join(&plain, 0, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 5000);
	join_quick(quick, QUICK);
	read_on(reader, 10, 10, 1000);
	assert_true(pump_waits(pump));
	for (int i = 0; i < QUICK; i++)
		fake_set_arriving(quick[i], got(quick[0]) - 1);
	fake_pass(10000);
	assert_false(is_slow(reader));
	for (int i = 0; i < QUICK; i++)
		fake_set_arriving(quick[i], SIZE_MAX);
	fake_drain(reader, 200);
	fake_pass(32);
	assert_false(is_slow(reader));
}

/* The machine, or we and the others, have not run for a while. */
static void
a_time_in_which_nothing_runs_does_not_count(void **state)
{
	(void)state;
	enum { QUICK = 3 };
	struct transport *quick[QUICK], *reader = join(&plain, 0, 0);
	join_quick(quick, QUICK);
	pump_start(join(&silent, 0, SIZE_MAX), 200);
	read_on(reader, 16, 20, 100);
	fake_freeze(3000);
	fake_pass(16);
	assert_false(is_slow(reader));
}

/* Nor if one had just become stuck. */
static void
a_time_in_which_nothing_runs_does_not_count_for_one_just_stuck(void **state)
{
	(void)state;
	enum { QUICK = 3 };
	for (unsigned first_ms = 16; first_ms < WHEEL_TICK_MS; first_ms += 5) {
		struct transport *quick[QUICK], *reader = join(&plain, 0, 0);
		join_quick(quick, QUICK);
		fake_pass(2 * WHEEL_TICK_MS - reactor_now_ms() % WHEEL_TICK_MS - first_ms);
		pump_start(join(&silent, 0, SIZE_MAX), 200);
		fake_pass(first_ms);
		fake_freeze(200);
		fake_pass(1);
		assert_false(is_slow(reader));
		begin_anew();
	}
}

/*
 * What it has not read yet of some is in their systems, which have room left: they look hungry while
 * the others' turn has still to come.
 */
static void
members_that_one_program_reads_in_turn_are_waited_for(void **state)
{
	enum { READERS = 8 };
	(void)state;
	for (unsigned turn_ms = 10; turn_ms <= 210; turn_ms += 40) {
		struct transport *readers[READERS];
		struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 0);
		for (int i = 0; i < READERS; i++)
			readers[i] = join(&plain, 0, 4000);
		pump_to(pump, UINT_MAX);
		for (unsigned i = 0; i < 2000; i++) {
			fake_pass(turn_ms);
			fake_drain(readers[i % READERS], 4000);
			fake_turn();
		}
		assert_int_equal(hub_count(hub).dropped, 0);
		begin_anew();
	}
}

/* Where all are behind, it is the publisher that is fast: nobody loses anything. */
static void
members_that_are_all_behind_are_waited_for(void **state)
{
	(void)state;
	enum { READERS = 8 };
	struct transport *readers[READERS];
	for (int i = 0; i < READERS; i++)
		readers[i] = join(&plain, 0, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 500);
	for (int i = 0; i < 3000 && pump->published < 500; i++) {
		fake_pass(50);
		fake_drain(readers[i % READERS], 100 * (1 + (unsigned)i % 3));
	}
	assert_int_equal(pump->published, 500);
	for (int i = 0; i < READERS; i++) {
		fake_drain(readers[i], SIZE_MAX);
		assert_int_equal(got(readers[i]), 50000);
	}
}

/* Each would read only once it has sent everything. */
static void
publishers_that_do_not_read_do_not_wait_for_each_other_for_ever(void **state)
{
	(void)state;
	struct transport *a = join(&plain, 0, 0), *b = join(&plain, 0, 0);
	struct pump *from_a = pump_start(a, 200), *from_b = pump_start(b, 200);
	assert_true(from_a->published < 200);
	fake_pass(3000);
	assert_int_equal(from_a->published, 200);
	fake_drain(a, SIZE_MAX);
	fake_turn();
	assert_int_equal(from_b->published, 200);
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
	(void)state;
	struct transport *stalled = join(&plain, 0, 0);
	join(&plain, 0, SIZE_MAX);
	fake_pass(WHEEL_TICK_MS - reactor_now_ms() % WHEEL_TICK_MS);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 45);
	struct deadline deadline = { .fn = pump_due, .arg = pump };
	fake_pass(10);
	fake_drain(stalled, 1000);
	fake_pass(22);
	assert_int_equal(pump->published, 45);
	reactor_set_deadline(NULL, &deadline, reactor_now_ms() + 32);
	fake_pass(32);
	assert_in_range(pump->published, 46, 60);
	fake_pass(2000);
	assert_int_equal(pump->published, 1000);
}

static void
who_goes_is_not_waited_for(void **state)
{
	(void)state;
	struct transport *reader = join(&plain, 0, 0), *other = join(&plain, 0, 0);
	struct pump *pump = pump_start(join(&silent, 0, SIZE_MAX), 60);
	assert_int_equal(pump->published, 40);
	transport_lose(reader, REASON_IDLE_TIMEOUT);
	fake_drain(other, SIZE_MAX);
	fake_turn();
	assert_int_equal(pump->published, 60);
	pump_to(pump, 160);
	leave(reader, REASON_IDLE_TIMEOUT);
	fake_turn();
	assert_int_equal(pump->published, 160);
}

int
main(void)
{
#define PACE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		PACE_TEST(a_publisher_waits_for_a_member_that_reads),
		PACE_TEST(a_publisher_waits_for_one_that_has_stalled_but_a_moment),
		PACE_TEST(a_publisher_waits_even_less_for_one_of_few_that_have_stalled),
		PACE_TEST(one_that_is_far_away_is_waited_for_longer),
		PACE_TEST(one_that_has_stalled_is_waited_for_again),
		PACE_TEST(who_still_has_something_to_read_is_not_held_up),
		PACE_TEST(who_moves_is_charged_where_half_have_everything),
		PACE_TEST(a_steadily_slow_member_holds_the_others_up_a_twentieth_of_the_time),
		PACE_TEST(a_member_that_is_slow_without_a_pause_is_charged_too),
		PACE_TEST(a_member_that_is_a_little_slow_is_charged_too),
		PACE_TEST(members_that_are_far_away_do_not_shield_a_slow_one),
		PACE_TEST(each_that_stalls_is_waited_for_no_longer_than_the_one_before),
		PACE_TEST(who_is_being_lost_does_not_count),
		PACE_TEST(who_comes_and_goes_does_not_shield_one_that_has_stalled),
		PACE_TEST(one_that_has_stalled_further_on_does_not_shield_a_slow_one),
		PACE_TEST(a_slow_member_among_publishers_is_charged),
		PACE_TEST(a_lone_reader_of_a_publisher_that_receives_too_loses_nothing),
		PACE_TEST(one_that_stalls_again_and_again_costs_no_more_than_a_slow_one),
		PACE_TEST(one_whose_system_is_gone_does_not_shield_a_slow_one),
		PACE_TEST(an_old_pause_does_not_count),
		PACE_TEST(an_old_stillness_does_not_count),
		PACE_TEST(an_outage_of_all_does_not_count),
		PACE_TEST(a_time_in_which_nothing_runs_does_not_count),
		PACE_TEST(a_time_in_which_nothing_runs_does_not_count_for_one_just_stuck),
		PACE_TEST(members_that_one_program_reads_in_turn_are_waited_for),
		PACE_TEST(members_that_are_all_behind_are_waited_for),
		PACE_TEST(publishers_that_do_not_read_do_not_wait_for_each_other_for_ever),
		PACE_TEST(who_begins_to_wait_just_before_the_tick_does_not_wait_for_ever),
		PACE_TEST(who_goes_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
