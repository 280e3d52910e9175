/* test_proxy_way.c - a client's way to an upstream, in a world of one client where time passes by hand. */
#include "protocols/proxy_way.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "net/connector.h"
#include "net/deadline.h"
#include "net/factory.h"
#include "net/transport.h"
#include "protocols/proxy_factory.h"
#include "protocols/proxy_settings.h"
#include "protocols/upstreams.h"

enum { UPSTREAMS_MOST = 5000, AT_ONCE = 1 << 20, NO_TRANSPORT = -1 };

struct transport {
	bool closed, held;
	unsigned aborts;
	enum reason reason;
	int64_t idle_timeout_ms;
};

struct connector {
	struct dial dial;
};

struct upstream {
	bool tried, unresolved;
	int answer;		/* errno, 0: connects; AT_ONCE is added when that is known within the call */
	unsigned dialled;
};

/* The world: all that the way can see or touch. */
static struct {
	uint64_t now_ms;
	struct proxy_settings settings;
	struct transport client, reached;
	struct way *way;
	struct upstream upstreams[UPSTREAMS_MOST];
	size_t count;
	struct upstream *dialled;	/* the one picked last */
	unsigned open;			/* picked, and not given back */
	unsigned picks, arrivals, changes;
	struct connector *connector;	/* that exists */
	struct deadline *deadline;	/* that is set */
	uint64_t deadline_ms;
} world;

static struct places *places;

/* What a way asks of others. */

uint64_t
reactor_now_ms(void)
{
	return world.now_ms;
}

void
reactor_set_deadline(struct reactor *reactor, struct deadline *deadline, uint64_t at_ms)
{
	(void)reactor;
	world.deadline = deadline;
	world.deadline_ms = at_ms;
}

void
reactor_unset_deadline(struct reactor *reactor, struct deadline *deadline)
{
	(void)reactor;
	assert_true(world.deadline == NULL || world.deadline == deadline);
	world.deadline = NULL;
}

const void *
transport_settings(const struct transport *transport)
{
	(void)transport;
	return &world.settings;
}

struct factory *
transport_factory(const struct transport *transport)
{
	(void)transport;
	return NULL;
}

void *
factory_shared(const struct factory *factory)
{
	static struct proxy_shared shared;

	(void)factory;
	return &shared;
}

struct endpoint *
transport_endpoint(const struct transport *transport)
{
	(void)transport;
	return NULL;
}

struct reactor *
transport_reactor(const struct transport *transport)
{
	(void)transport;
	return NULL;
}

const char *
transport_place(const struct transport *transport)
{
	(void)transport;
	return "test";
}

const char *
transport_peer_text(const struct transport *transport)
{
	(void)transport;
	return "client";
}

const union peer_address *
transport_peer(const struct transport *transport)
{
	static const union peer_address peer;

	(void)transport;
	return &peer;
}

bool
transport_is_closed(const struct transport *transport)
{
	return transport->closed;
}

int64_t
transport_idle_timeout(const struct transport *transport)
{
	return transport->idle_timeout_ms;
}

void
transport_set_idle_timeout(struct transport *transport, int64_t ms)
{
	transport->idle_timeout_ms = ms;
}

void
transport_hold(struct transport *transport)
{
	transport->held = true;
}

void
transport_resume(struct transport *transport)
{
	transport->held = false;
}

void
transport_abort(struct transport *transport, enum reason reason)
{
	if (transport->closed)
		return;
	transport->closed = true;
	transport->aborts++;
	transport->reason = reason;
}

enum pick
upstreams_pick(struct upstreams *upstreams, const union peer_address *client, struct choice *choice)
{
	bool unresolved = false;

	(void)upstreams;
	(void)client;
	assert_null(choice->upstream);
	assert_null(choice->places);
	for (size_t i = 0; i < world.count; i++) {
		struct upstream *upstream = &world.upstreams[i];

		if (upstream->tried)
			continue;
		if (upstream->unresolved) {
			unresolved = true;
			continue;
		}
		world.open++;
		world.picks++;
		world.dialled = choice->upstream = upstream;
		choice->places = places;
		choice->tried = malloc(1);	/* so that what is not freed is found */
		assert_non_null(choice->tried);
		return PICK_OK;
	}
	return unresolved ? PICK_UNRESOLVED : PICK_NONE;
}

unsigned
upstreams_changes(const struct upstreams *upstreams)
{
	(void)upstreams;
	return world.changes;
}

void
choice_connected(struct choice *choice)
{
	free(choice->tried);
	*choice = (struct choice){ .upstream = choice->upstream };
}

void
choice_refused(struct choice *choice, int error)
{
	assert_true(error > 0 && error != EMFILE && error != ENOMEM);
	choice->upstream->tried = true;
	world.open--;
	free(choice->tried);
	*choice = (struct choice){ 0 };
}

void
choice_end(struct choice *choice)
{
	if (choice->upstream != NULL)
		world.open--;
	for (size_t i = 0; i < world.count; i++)
		world.upstreams[i].tried = false;
	free(choice->tried);
	*choice = (struct choice){ 0 };
}

/* Ends an attempt, from within connector_dial or later. */
static void
answer(const struct dial *dial, int error)
{
	if (error == 0 || error == NO_TRANSPORT)
		dial->connected(dial->arg, error == 0 ? &world.reached : NULL, 0);
	else
		dial->failed(dial->arg, error);
}

struct connector *
connector_dial(struct endpoint *endpoint, const struct protocol *protocol, const struct dial *dial)
{
	(void)endpoint;
	(void)protocol;
	assert_null(world.connector);
	/* Within a repeated round there is one for all of it. */
	assert_true(world.deadline == NULL
		    || world.deadline_ms == 1000 + (uint64_t)world.settings.wait_for_upstream_ms);
	assert_false(world.client.closed);
	assert_int_equal(dial->timeout_ms, world.settings.connect_timeout_ms);
	assert_ptr_equal(dial->source, &world.settings.bind);
	world.dialled->dialled++;
	if (world.dialled->answer >= AT_ONCE || world.dialled->answer == NO_TRANSPORT) {
		answer(dial, world.dialled->answer == NO_TRANSPORT ? NO_TRANSPORT
								     : world.dialled->answer - AT_ONCE);
		return NULL;
	}
	world.connector = malloc(sizeof *world.connector);
	assert_non_null(world.connector);
	world.connector->dial = *dial;
	return world.connector;
}

void
connector_cancel(struct connector *connector)
{
	assert_ptr_equal(connector, world.connector);
	free(connector);
	world.connector = NULL;
}

/* What the tests do. */

static void
arrived(struct transport *client, struct transport *transport, struct upstream *upstream)
{
	assert_ptr_equal(client, &world.client);
	assert_ptr_equal(transport, &world.reached);
	assert_ptr_equal(upstream, world.dialled);
	assert_null(world.way);
	assert_null(world.deadline);
	world.arrivals++;
}

/* A world of so many upstreams that all answer the same. */
static void
begin(size_t count, int how)
{
	memset(&world, 0, sizeof world);
	world.now_ms = 1000;
	world.settings.connect_timeout_ms = 5000;
	world.client.idle_timeout_ms = 60000;
	world.count = count;
	for (size_t i = 0; i < count; i++)
		world.upstreams[i].answer = how;
}

static void
come(void)
{
	way_begin(&world.way, &world.client, NULL, arrived);
}

/* The attempt that is under way ends. */
static void
let_answer(int error)
{
	struct dial dial = world.connector->dial;

	free(world.connector);
	world.connector = NULL;
	answer(&dial, error);
}

/* Time passes up to the deadline; returns how much that was. */
static uint64_t
let_pass(void)
{
	struct deadline *deadline = world.deadline;
	uint64_t passed_ms = 0;

	assert_non_null(deadline);
	if (world.deadline_ms > world.now_ms)
		passed_ms = world.deadline_ms - world.now_ms;
	world.now_ms += passed_ms;
	world.deadline = NULL;
	deadline->fn(deadline->arg);
	return passed_ms;
}

/* A whole pause passes, with all the looks within; returns how much time that was. */
static uint64_t
let_pause(void)
{
	unsigned picks = world.picks, aborts = world.client.aborts;
	uint64_t passed_ms = 0;

	while (world.picks == picks && world.client.aborts == aborts) {
		uint64_t look_ms = let_pass();

		assert_true(look_ms <= 250);
		passed_ms += look_ms;
	}
	return passed_ms;
}

/* The client's connection_lost, after which nothing may be left. */
static void
go(void)
{
	way_free(world.way);
	assert_null(world.way);
	assert_null(world.connector);
	assert_null(world.deadline);
	assert_int_equal(world.open, world.arrivals);
}

static void
assert_refused(enum reason reason)
{
	assert_int_equal(world.client.aborts, 1);
	assert_int_equal(world.client.reason, reason);
	assert_int_equal(world.arrivals, 0);
	assert_null(world.connector);
	assert_null(world.deadline);
	assert_int_equal(world.open, 0);
	go();
}

static void
assert_arrived(unsigned picks)
{
	assert_int_equal(world.arrivals, 1);
	assert_int_equal(world.picks, picks);
	assert_int_equal(world.open, 1);
	assert_int_equal(world.client.aborts, 0);
	assert_false(world.client.held);
	assert_int_equal(world.client.idle_timeout_ms, 60000);
	assert_null(world.connector);
	go();
}

static void
one_that_answers_at_once_is_all_there_is_to_it(void **state)
{
	(void)state;
	begin(3, AT_ONCE);
	come();
	assert_arrived(1);
}

static void
a_client_is_held_while_one_is_dialled(void **state)
{
	(void)state;
	begin(1, 0);
	come();
	assert_true(world.client.held);
	assert_int_equal(world.client.idle_timeout_ms, 0);
	assert_null(world.deadline);
	let_answer(0);
	assert_arrived(1);
}

static void
those_that_refuse_are_passed_over(void **state)
{
	(void)state;
	begin(4, ECONNREFUSED | AT_ONCE);
	world.upstreams[1].answer = ETIMEDOUT;
	world.upstreams[3].answer = 0;
	come();
	assert_int_equal(world.picks, 2);
	let_answer(ETIMEDOUT);
	assert_int_equal(world.picks, 4);
	let_answer(0);
	assert_arrived(4);
}

static void
a_client_is_reset_when_each_has_been_tried_once(void **state)
{
	(void)state;
	begin(3, ECONNREFUSED | AT_ONCE);
	come();
	assert_int_equal(world.picks, 3);
	assert_refused(REASON_UPSTREAM_REFUSED);
	begin(2, ETIMEDOUT);
	come();
	let_answer(ETIMEDOUT);
	let_answer(ETIMEDOUT);
	assert_refused(REASON_CONNECT_TIMEOUT);
	begin(0, 0);
	come();
	assert_refused(REASON_UPSTREAM_REFUSED);
	begin(1, EADDRNOTAVAIL | AT_ONCE);
	come();
	assert_refused(REASON_NO_RESOURCES);
}

static void
very_many_that_refuse_at_once_take_no_room(void **state)
{
	(void)state;
	begin(UPSTREAMS_MOST, ECONNREFUSED | AT_ONCE);
	come();
	assert_int_equal(world.picks, UPSTREAMS_MOST);
	assert_refused(REASON_UPSTREAM_REFUSED);
}

static void
what_we_are_short_of_is_no_upstreams_failure(void **state)
{
	static const int shortages[] = { EMFILE | AT_ONCE, ENOMEM | AT_ONCE, NO_TRANSPORT };

	(void)state;
	for (size_t i = 0; i < sizeof shortages / sizeof shortages[0]; i++) {
		begin(3, shortages[i]);
		come();
		assert_int_equal(world.picks, 1);
		assert_refused(REASON_NO_RESOURCES);
		/* It passes. */
		begin(3, shortages[i]);
		world.settings.wait_for_upstream_ms = 60000;
		come();
		let_pass();
		assert_int_equal(world.picks, 2);
		world.upstreams[0].answer = AT_ONCE;
		let_pass();
		assert_arrived(3);
	}
}

static void
pauses_grow_and_differ_up_to_the_limit(void **state)
{
	uint64_t most_ms = 100, shortest_ms = UINT64_MAX, longest_ms = 0;

	(void)state;
	begin(2, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 600000;
	come();
	assert_true(world.client.held);
	while (world.client.aborts == 0) {
		uint64_t passed_ms = let_pause();

		assert_true(passed_ms >= 1 && passed_ms <= most_ms);
		most_ms = most_ms < 2500 ? most_ms * 2 : 5000;
		if (most_ms < 5000 || world.now_ms == 1000 + 600000)
			continue;
		shortest_ms = passed_ms < shortest_ms ? passed_ms : shortest_ms;
		longest_ms = passed_ms > longest_ms ? passed_ms : longest_ms;
	}
	/* Some 240 pauses of anything up to 5 s: that none is of either end happens once in e^24. */
	assert_true(shortest_ms < 500 && longest_ms > 4500);
	assert_int_equal(world.now_ms, 1000 + 600000);
	assert_int_equal(world.upstreams[0].dialled, world.upstreams[1].dialled);
	assert_true(world.picks / 2 > 180 && world.picks / 2 < 320);
	assert_refused(REASON_UPSTREAM_REFUSED);
}

static void
one_that_comes_up_meanwhile_is_found(void **state)
{
	(void)state;
	begin(2, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 60000;
	come();
	let_pause();
	let_pause();
	world.upstreams[1].answer = 0;
	let_pause();
	let_answer(0);
	assert_arrived(8);
}

static void
what_others_have_found_out_shortens_a_pause(void **state)
{
	unsigned picks;

	(void)state;
	begin(1, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 600000;
	come();
	/* Up to a look after which the pause goes on for another one. */
	do {
		picks = world.picks;
		let_pass();
	} while (world.picks != picks || world.deadline_ms != world.now_ms + 250);
	world.upstreams[0].answer = AT_ONCE;
	world.changes++;
	world.picks = 0;
	let_pass();
	assert_arrived(1);
}

static void
the_limit_cuts_no_attempt_but_repeated_ones(void **state)
{
	(void)state;
	begin(2, ETIMEDOUT);
	world.settings.wait_for_upstream_ms = 6000;
	come();
	assert_null(world.deadline);
	world.now_ms += 5000;
	let_answer(ETIMEDOUT);
	assert_null(world.deadline);
	world.now_ms += 500;
	let_answer(ECONNREFUSED);
	let_pass();
	assert_non_null(world.connector);
	assert_int_equal(world.deadline_ms, 1000 + 6000);
	let_pass();
	assert_refused(REASON_UPSTREAM_REFUSED);
	/* However short the limit, each is tried once. */
	begin(2, ETIMEDOUT);
	world.settings.wait_for_upstream_ms = 100;
	come();
	world.now_ms += 5000;
	let_answer(ETIMEDOUT);
	world.now_ms += 5000;
	let_answer(0);
	assert_arrived(2);
}

static void
a_name_that_is_looked_up_has_as_long_as_an_address(void **state)
{
	(void)state;
	begin(2, ECONNREFUSED | AT_ONCE);
	world.upstreams[1].unresolved = true;
	come();
	assert_true(world.client.held);
	while (world.client.aborts == 0)
		let_pass();
	assert_int_equal(world.now_ms, 1000 + 5000);
	assert_int_equal(world.upstreams[0].dialled, 1);
	assert_refused(REASON_UPSTREAM_REFUSED);
	/* Known at last, it has its whole time. */
	begin(1, 0);
	world.upstreams[0].unresolved = true;
	come();
	let_pass();
	world.upstreams[0].unresolved = false;
	let_pass();
	assert_non_null(world.connector);
	assert_null(world.deadline);
	let_answer(0);
	assert_arrived(1);
	/* Not known at all. */
	begin(1, 0);
	world.upstreams[0].unresolved = true;
	come();
	let_pass();
	world.count = 0;
	let_pass();
	assert_refused(REASON_UPSTREAM_REFUSED);
	/* Without connect_timeout it ends as the look-up does. */
	begin(1, 0);
	world.settings.connect_timeout_ms = 0;
	world.upstreams[0].unresolved = true;
	come();
	for (unsigned i = 0; i < 100; i++)
		let_pass();
	assert_int_equal(world.client.aborts, 0);
	go();
}

static void
while_a_name_is_looked_up_the_others_are_tried_again(void **state)
{
	(void)state;
	begin(2, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 1000;
	world.upstreams[1].unresolved = true;
	come();
	let_pass();
	world.upstreams[0].answer = AT_ONCE;
	let_pass();
	assert_arrived(3);
}

static void
a_stop_ends_the_waiting_and_no_first_attempt(void **state)
{
	(void)state;
	begin(1, ECONNREFUSED | AT_ONCE);
	world.settings.wait_for_upstream_ms = 60000;
	come();
	way_stop(world.way);
	assert_refused(REASON_SHUTDOWN);
	/* A repeated attempt is a kind of waiting. */
	begin(1, ETIMEDOUT);
	world.settings.wait_for_upstream_ms = 60000;
	come();
	let_answer(ETIMEDOUT);
	let_pass();
	way_stop(world.way);
	assert_refused(REASON_SHUTDOWN);
	begin(2, 0);
	come();
	way_stop(world.way);
	let_answer(ECONNREFUSED);
	let_answer(0);
	assert_arrived(2);
	begin(1, 0);
	world.settings.wait_for_upstream_ms = 60000;
	come();
	way_stop(world.way);
	let_answer(ECONNREFUSED);
	assert_refused(REASON_UPSTREAM_REFUSED);
}

static void
a_client_that_is_closed_already_has_no_other_dialled(void **state)
{
	(void)state;
	begin(3, 0);
	come();
	world.client.closed = true;
	let_answer(ECONNREFUSED);
	assert_int_equal(world.picks, 1);
	go();
}

/* Whatever happens, in whatever order: what is picked is given back once, and nothing is left. */
static void
random_lives_leave_nothing_behind(void **state)
{
	static const int answers[] = { 0,      AT_ONCE,	    ECONNREFUSED,	    ECONNREFUSED | AT_ONCE,
				       ENOENT, NO_TRANSPORT, ETIMEDOUT,	    EMFILE | AT_ONCE,
				       EMFILE, EACCES,	    EACCES | AT_ONCE };
	unsigned arrivals = 0, resets = 0;

	(void)state;
	srand(7);
	for (unsigned life = 0; life < 20000; life++) {
		begin((size_t)rand() % 5, 0);
		for (size_t i = 0; i < world.count; i++) {
			world.upstreams[i].answer =
				answers[(size_t)rand() % (sizeof answers / sizeof answers[0])];
			world.upstreams[i].unresolved = rand() % 4 == 0;
		}
		world.settings.wait_for_upstream_ms = rand() % 2 * (1 + rand() % 20000);
		world.settings.connect_timeout_ms = rand() % 2 * (1 + rand() % 5000);
		come();
		for (unsigned step = rand() % 40u; step > 0 && world.way != NULL; step--) {
			assert_true(world.client.aborts == 0 || world.open == 0);
			switch (rand() % 8) {
			case 0:
				way_stop(world.way);
				break;
			case 1:
				if (world.count > 0)
					world.upstreams[(size_t)rand() % world.count].unresolved = false;
				break;
			case 2:
			case 3:
				world.now_ms += (uint64_t)rand() % 1000;
				break;
			case 4:
			case 5:
				if (world.connector != NULL && world.dialled->answer < AT_ONCE)
					let_answer(world.dialled->answer);
				break;
			default:
				if (world.deadline != NULL)
					let_pass();
			}
			/* There is always something that it goes on by. */
			assert_true(world.way == NULL || world.client.closed || world.connector != NULL
				    || world.deadline != NULL);
		}
		arrivals += world.arrivals;
		resets += world.client.aborts;
		go();
	}
	assert_true(arrivals > 1000 && resets > 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_answers_at_once_is_all_there_is_to_it),
		cmocka_unit_test(a_client_is_held_while_one_is_dialled),
		cmocka_unit_test(those_that_refuse_are_passed_over),
		cmocka_unit_test(a_client_is_reset_when_each_has_been_tried_once),
		cmocka_unit_test(very_many_that_refuse_at_once_take_no_room),
		cmocka_unit_test(what_we_are_short_of_is_no_upstreams_failure),
		cmocka_unit_test(pauses_grow_and_differ_up_to_the_limit),
		cmocka_unit_test(one_that_comes_up_meanwhile_is_found),
		cmocka_unit_test(what_others_have_found_out_shortens_a_pause),
		cmocka_unit_test(the_limit_cuts_no_attempt_but_repeated_ones),
		cmocka_unit_test(a_name_that_is_looked_up_has_as_long_as_an_address),
		cmocka_unit_test(while_a_name_is_looked_up_the_others_are_tried_again),
		cmocka_unit_test(a_stop_ends_the_waiting_and_no_first_attempt),
		cmocka_unit_test(a_client_that_is_closed_already_has_no_other_dialled),
		cmocka_unit_test(random_lives_leave_nothing_behind),
	};

	log_set_level(LEVEL_ERROR);
	places = calloc(1, sizeof *places + sizeof places->items[0]);
	if (places == NULL)
		return 1;
	places->count = 1;
	places->items[0].u.in.sin_family = AF_INET;
	places->items[0].length = sizeof places->items[0].u.in;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(places);
	return failed;
}
