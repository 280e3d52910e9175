/* connector.c - what a section runs: opened, looked at and closed by the control thread. */
#include "net/connector_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/factory.h"
#include "net/link.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/resolver.h"
#include "net/tally.h"
#include "net/trail.h"

/* The trail of a path; NULL: it has not been one of the connector's. */
static struct trail *
connector_trail(const struct connector *connector, const char *path)
{
	const struct address_list *connect = &connector->settings->connect;

	for (size_t i = 0; i < connect->count; i++)
		if (connector->trails[i] != NULL && strcmp(connect->items[i].host, path) == 0)
			return connector->trails[i];
	return NULL;
}

/* 0, or -1 with errno. */
static int
connector_make_trails(struct connector *connector)
{
	const struct address_list *connect = &connector->settings->connect;
	const struct connector *old = connector->predecessor;

	connector->trails = calloc(connect->count + 1, sizeof *connector->trails);
	if (connector->trails == NULL)
		return -1;
	for (size_t i = 0; i < connect->count; i++) {
		struct trail *trail = NULL;

		if (connect->items[i].kind != ADDRESS_FILE)
			continue;
		if (old != NULL)
			trail = connector_trail(old, connect->items[i].host);
		connector->trails[i] = trail != NULL ? trail_ref(trail) : trail_new();
		if (connector->trails[i] == NULL)
			return -1;
	}
	return 0;
}

struct connector *
connector_new(const struct connector_settings *settings, struct factory *factory,
	      const struct connector *predecessor, unsigned reactor_count)
{
	struct connector *connector = calloc(1, sizeof *connector);

	if (connector == NULL) {
		factory_unref(factory);
		return NULL;
	}
	connector->settings = settings;
	connector->factory = factory;
	connector->predecessor = predecessor;
	connector->tally =
		predecessor != NULL ? tally_ref(predecessor->tally) : tally_new(reactor_count);
	if (connector->tally == NULL || connector_make_trails(connector) < 0) {
		connector_free(connector);
		errno = ENOMEM;
		return NULL;
	}
	return connector;
}

void
connector_open(struct connector *connector, struct reactor *const *reactors, size_t reactor_count,
	       struct resolver *resolver)
{
	const struct connector_settings *settings = connector->settings;
	uint64_t seed;

	arc4random_buf(&seed, sizeof seed);
	rotation_init(&connector->rotation, settings->connect.count,
		      (uint64_t)settings->reconnect_min_ms, (uint64_t)settings->reconnect_max_ms,
		      seed);
	connector->reactor = reactors[factory_home(connector->factory, reactor_count)];
	connector->reactors = reactors;
	connector->reactor_count = reactor_count;
	connector->resolver = resolver;
	/* A file is not read again because a key has changed. */
	if (connector->predecessor != NULL) {
		connector->place = connector->predecessor->place;
		connector->ending_until_ms = reactor_now_ms() + ENDING_MS;
	}
	connector->predecessor = NULL;
	connector->again.fn = connector_dial;
	connector->again.arg = connector;
	factory_start(connector->factory, connector->reactor, resolver);
	reactor_call_wait(connector->reactor, connector_dial, connector);
}

static void
connector_halt(struct connector *connector)
{
	lookup_cancel(connector->lookup);
	reactor_unset_deadline(connector->reactor, &connector->again);
}

static void
close_call(void *arg)
{
	struct connector *connector = arg;

	connector_halt(connector);
	link_end(connector->link, REASON_DONE);
}

static void
stop_call(void *arg)
{
	struct connector *connector = arg;

	connector_halt(connector);
	link_forsake(connector->link);
}

static void
connector_shut(struct connector *connector, void (*call)(void *connector))
{
	if (connector->reactor == NULL)
		return;
	reactor_call_wait(connector->reactor, call, connector);
	factory_stop(connector->factory);
	connector->reactor = NULL;
}

void
connector_close(struct connector *connector)
{
	connector_shut(connector, close_call);
}

void
connector_stop(struct connector *connector)
{
	connector_shut(connector, stop_call);
}

void
connector_free(struct connector *connector)
{
	if (connector == NULL)
		return;
	connector_close(connector);
	tally_unref(connector->tally);
	for (size_t i = 0; connector->trails != NULL && i < connector->settings->connect.count; i++)
		trail_unref(connector->trails[i]);
	free(connector->trails);
	factory_unref(connector->factory);
	free(connector->name);
	free(connector);
}

const char *
connector_name(const struct connector *connector)
{
	return factory_name(connector->factory);
}

const struct protocol *
connector_protocol(const struct connector *connector)
{
	return factory_protocol(connector->factory);
}

struct state_call {
	const struct connector *connector;
	struct connector_state *state;
	unsigned counted;		/* the reactor whose counters are added */
};

static void
state_call(void *arg)
{
	const struct state_call *call = arg;
	const struct connector *connector = call->connector;
	const char *address = current_address(connector)->text;
	uint64_t now_ms = reactor_now_ms();
	struct connector_state *state = call->state;
	uint64_t pause_ms = connector->again_ms > now_ms ? connector->again_ms - now_ms : 0;

	state->connected = connector->up_ms != 0;
	if (state->connected)
		snprintf(state->text, sizeof state->text, "connected to %s for %.1f s", address,
			 (double)(now_ms - connector->up_ms) / 1000);
	else if (connector->again_ms != 0)
		snprintf(state->text, sizeof state->text, "not connected, %s in %.1f s", address,
			 (double)pause_ms / 1000);
	else
		snprintf(state->text, sizeof state->text, "dialling %s", address);
}

static void
count_call(void *arg)
{
	const struct state_call *call = arg;

	counters_add(&call->state->counters,
		     tally_counters(call->connector->tally, call->counted));
}

void
connector_look(const struct connector *connector, struct connector_state *state)
{
	struct state_call call = { .connector = connector, .state = state };

	*state = (struct connector_state){ 0 };
	reactor_call_wait(connector->reactor, state_call, &call);
	for (; call.counted < connector->reactor_count; call.counted++)
		reactor_call_wait(connector->reactors[call.counted], count_call, &call);
}

void
connector_report(const struct connector *connector, void (*line)(void *arg, const char *text),
		 void *arg)
{
	const struct protocol *protocol = connector_protocol(connector);

	if (protocol->factory_report != NULL)
		protocol->factory_report(connector->factory, line, arg);
}
