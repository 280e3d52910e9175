/* way_world.c - what a client's way to an upstream can see: both of them, and time. */
#include "way_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/deadline.h"
#include "net/dialling.h"
#include "net/factory.h"
#include "net/transport.h"
#include "protocols/proxy_factory.h"
#include "protocols/proxy_way.h"
#include "protocols/upstreams.h"

struct dialling {
	struct dial dial;
};

struct way_world world;

static struct places *places;	/* where each leads */

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

/* Ends an attempt, from within dialling_begin or later. */
static void
answer(const struct dial *dial, int error)
{
	if (error == 0 || error == NO_TRANSPORT)
		dial->connected(dial->arg, error == 0 ? &world.reached : NULL, 0);
	else
		dial->failed(dial->arg, error);
}

struct dialling *
dialling_begin(struct endpoint *endpoint, const struct protocol *protocol, const struct dial *dial)
{
	int how = world.dialled->answer;

	(void)endpoint;
	(void)protocol;
	assert_null(world.dialling);
	/* Within a repeated round there is one for all of it. */
	assert_true(world.deadline == NULL
		    || world.deadline_ms == 1000 + (uint64_t)world.settings.wait_for_upstream_ms);
	assert_false(world.client.closed);
	assert_int_equal(dial->timeout_ms, world.settings.connect_timeout_ms);
	assert_ptr_equal(dial->source, &world.settings.bind);
	world.dialled->dialled++;
	if (how >= AT_ONCE || how == NO_TRANSPORT) {
		answer(dial, how == NO_TRANSPORT ? NO_TRANSPORT : how - AT_ONCE);
		return NULL;
	}
	world.dialling = malloc(sizeof *world.dialling);
	assert_non_null(world.dialling);
	world.dialling->dial = *dial;
	return world.dialling;
}

void
dialling_cancel(struct dialling *dialling)
{
	assert_ptr_equal(dialling, world.dialling);
	free(dialling);
	world.dialling = NULL;
}

/* What a test does. */

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

void
world_begin(size_t count, int answer_of_all)
{
	if (places == NULL) {
		places = calloc(1, sizeof *places + sizeof places->items[0]);
		assert_non_null(places);
		places->count = 1;
		places->items[0].u.in.sin_family = AF_INET;
		places->items[0].length = sizeof places->items[0].u.in;
	}
	memset(&world, 0, sizeof world);
	world.now_ms = 1000;
	world.settings.connect_timeout_ms = 5000;
	world.client.idle_timeout_ms = 60000;
	world.count = count;
	for (size_t i = 0; i < count; i++)
		world.upstreams[i].answer = answer_of_all;
}

void
world_come(void)
{
	way_begin(&world.way, &world.client, NULL, arrived);
}

void
world_answer(int how)
{
	struct dial dial = world.dialling->dial;

	free(world.dialling);
	world.dialling = NULL;
	answer(&dial, how);
}

uint64_t
world_pass(void)
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

uint64_t
world_pause(void)
{
	unsigned picks = world.picks, aborts = world.client.aborts;
	uint64_t passed_ms = 0;

	while (world.picks == picks && world.client.aborts == aborts) {
		uint64_t look_ms = world_pass();

		assert_true(look_ms <= 250);
		passed_ms += look_ms;
	}
	return passed_ms;
}

void
world_go(void)
{
	way_free(world.way);
	assert_null(world.way);
	assert_null(world.dialling);
	assert_null(world.deadline);
	assert_int_equal(world.open, world.arrivals);
}

void
assert_refused(enum reason reason)
{
	assert_int_equal(world.client.aborts, 1);
	assert_int_equal(world.client.reason, reason);
	assert_int_equal(world.arrivals, 0);
	assert_null(world.dialling);
	assert_null(world.deadline);
	assert_int_equal(world.open, 0);
	world_go();
}

void
assert_arrived(unsigned picks)
{
	assert_int_equal(world.arrivals, 1);
	assert_int_equal(world.picks, picks);
	assert_int_equal(world.open, 1);
	assert_int_equal(world.client.aborts, 0);
	assert_false(world.client.held);
	assert_int_equal(world.client.idle_timeout_ms, 60000);
	assert_null(world.dialling);
	world_go();
}
