/* connector.c - dials one address after another, and begins anew after a loss. */
#include "net/connector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/device.h"
#include "net/factory.h"
#include "net/link.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/resolver.h"
#include "net/rotation.h"
#include "net/tally.h"
#include "net/trail.h"

enum {
	LASTING_MS = 10 * 1000,		/* a connection that has lasted so long was one */
	/*
	 * How long a connection that has been given up, also by a predecessor, is waited for, and
	 * how often it is looked at. Side by side with it lines would come twice, out of order.
	 */
	ENDING_MS = 2000,
	LOOK_MS = 10,
};

/*
 *   open ─▶ look up ─▶ dial ── failed ────▶ the next address; if all have failed after a WAIT ─┐
 *             ▲          └─ up ─▶ UP ─ lost soon, silent ▲                                     │
 *             │                    └─ lost ─▶ the first address, after the shortest WAIT       │
 *             └────────────────────────────────────────────────────────────────────────────────┘
 *
 * Names are looked up anew each time. All on one reactor, but for what the control thread calls.
 */
struct connector {
	const struct connector_settings *settings;
	struct factory *factory;
	struct tally *tally;
	struct reactor *reactor;	/* NULL: not open */
	struct reactor *const *reactors;	/* all, on which predecessors may have been */
	size_t reactor_count;
	struct resolver *resolver;
	char *name;			/* with the address that is tried */
	struct rotation rotation;	/* of the addresses */
	struct lookup *lookup;
	struct link *link;
	struct deadline again;
	struct file_place place;	/* in the file that was read last */
	struct trail *trail;		/* of what was written to a path last */
	const struct connector *predecessor;	/* until it is open */
	uint64_t up_ms;			/* since when it is connected; 0: it is not */
	uint64_t again_ms;
	uint64_t ending_until_ms;
	bool has_failed;		/* and has not been connected since: it is known */
};

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
	connector->trail = predecessor != NULL ? trail_ref(predecessor->trail) : trail_new();
	if (connector->tally == NULL || connector->trail == NULL) {
		connector_free(connector);
		errno = ENOMEM;
		return NULL;
	}
	return connector;
}

static const struct address *
current_address(const struct connector *connector)
{
	return &connector->settings->connect.items[connector->rotation.at];
}

/* Tells what has become of an address, and dials the one whose turn it is after the wait. */
static void
connector_go_on(struct connector *connector, const struct address *address, enum log_level level,
		const char *what, uint64_t wait_ms)
{
	if (wait_ms != 0)
		log_line(level, "%s %s: %s; again in %.1f s", connector_name(connector),
			 address->text, what, (double)wait_ms / 1000);
	else
		log_line(level, "%s %s: %s; next %s", connector_name(connector), address->text,
			 what, current_address(connector)->text);
	/* In a later turn in any case: an address may fail as soon as it is dialled. */
	connector->again_ms = reactor_now_ms() + wait_ms;
	reactor_set_deadline(connector->reactor, &connector->again, connector->again_ms);
}

static void
connector_fail(struct connector *connector, const char *why)
{
	enum log_level level = connector->has_failed ? LEVEL_INFO : LEVEL_WARNING;
	const struct address *address = current_address(connector);

	/* Each address is told once, and then only for who wants to know. */
	if (rotation_is_last(&connector->rotation))
		connector->has_failed = true;
	connector_go_on(connector, address, level, why, rotation_fail(&connector->rotation));
}

static void
link_up(void *arg)
{
	struct connector *connector = arg;

	connector->up_ms = reactor_now_ms();
	connector->has_failed = false;
	log_notice("%s %s: connected", connector_name(connector), current_address(connector)->text);
}

static void
link_failed(void *arg, const char *why)
{
	connector_fail(arg, why);
}

static void
link_lost(void *arg, enum reason reason, const char *why)
{
	struct connector *connector = arg;
	struct rotation *rotation = &connector->rotation;
	const struct address *address = current_address(connector);
	uint64_t lasted_ms = reactor_now_ms() - connector->up_ms, wait_ms;
	char what[120];

	connector->up_ms = 0;
	connector->ending_until_ms = reactor_now_ms() + ENDING_MS;
	snprintf(what, sizeof what, "lost: %s, after %.1f s",
		 why != NULL ? why : reason_word(reason), (double)lasted_ms / 1000);
	if (lasted_ms >= LASTING_MS)
		rotation_forgive(rotation);
	wait_ms = lasted_ms < LASTING_MS || reason == REASON_SILENCE_TIMEOUT
			  ? rotation_fail(rotation)
			  : rotation_begin(rotation);
	connector_go_on(connector, address, LEVEL_WARNING, what, wait_ms);
}

static struct link_plan
plan_of(struct connector *connector)
{
	return (struct link_plan){
		.settings = connector->settings,
		.factory = connector->factory,
		.tally = connector->tally,
		.reactor = connector->reactor,
		.name = connector->name,
		.kind = current_address(connector)->kind,
		.address = current_address(connector)->text,
		.place = &connector->place,
		.trail = connector->trail,
		.up = link_up,
		.failed = link_failed,
		.lost = link_lost,
		.arg = connector,
	};
}

static void
connector_open_device(struct connector *connector, struct device *device, const char *why)
{
	struct link_plan plan = plan_of(connector);

	if (device == NULL)
		connector_fail(connector, why);
	else
		link_open(&plan, &connector->link, device);
}

static unsigned
connector_ways(const struct connector *connector)
{
	return connector->settings->protocol->ways(factory_settings(connector->factory));
}

static void
looked_up(void *arg, const char *error, struct sockaddr_any *found, size_t count)
{
	struct connector *connector = arg;
	struct link_plan plan = plan_of(connector);

	connector->lookup = NULL;
	if (error == NULL && !address_is_datagram(plan.kind)) {
		link_dial(&plan, &connector->link, found, count);
		return;
	}
	if (error != NULL) {
		connector_fail(connector, error);
	} else {
		const struct connector_settings *settings = connector->settings;
		struct device *device =
			device_of_datagrams(found, count, &settings->bind, &settings->socket,
					    connector_name(connector));

		connector_open_device(connector, device, strerror(errno));
	}
	free(found);
}

static void
connector_dial(void *arg)
{
	struct connector *connector = arg;
	const struct address *address = current_address(connector);
	const char *why = NULL;

	if (link_is_ending(connector->reactor, connector_name(connector))
	    && (reactor_now_ms() < connector->ending_until_ms
		|| link_cut_device(connector->reactor, connector_name(connector),
				   address->text))) {
		reactor_set_deadline(connector->reactor, &connector->again,
				     reactor_now_ms() + LOOK_MS);
		return;
	}
	connector->again_ms = 0;
	free(connector->name);
	if (asprintf(&connector->name, "%s %s", connector_name(connector), address->text) < 0)
		connector->name = NULL;
	if (connector->name == NULL) {
		connector_fail(connector, strerror(ENOMEM));
		return;
	}
	if (address->kind == ADDRESS_FILE) {
		struct device *device =
			device_open(address->host, connector_ways(connector),
				    connector->settings->baud, &connector->place, &why);

		if (device != NULL)
			device_leave_trail(device, connector->trail);
		connector_open_device(connector, device, why);
		return;
	}
	connector->lookup = resolver_look_up(connector->resolver, connector->reactor,
					     address, looked_up, connector);
	if (connector->lookup == NULL)
		connector_fail(connector, strerror(ENOMEM));
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
	trail_unref(connector->trail);
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
