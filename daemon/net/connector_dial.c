/* connector_dial.c - which address a connector dials, and when. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/connector_private.h"
#include "net/factory.h"
#include "net/link.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/resolver.h"
#include "net/trail.h"

enum {
	LASTING_MS = 10 * 1000,		/* a connection that has lasted so long was one */
	LOOK_MS = 10,			/* how often one that was given up is looked at */
};

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
		.trail = connector->trails[connector->rotation.at],
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

/* Whether what was given up before has still something to say, or a path to write to. */
static bool
connector_is_to_wait(const struct connector *connector, const struct address *address)
{
	const char *name = connector_name(connector);
	bool is_ending = link_is_ending(connector->reactor, name);

	if (is_ending && reactor_now_ms() < connector->ending_until_ms)
		return true;
	if (address->kind != ADDRESS_FILE || !(connector_ways(connector) & PROTOCOL_WRITES))
		return false;
	/* Two that write there at once would tear each other's lines. */
	if (is_ending)
		link_cut_device(connector->reactor, name, address->text);
	return trail_is_written(connector->trails[connector->rotation.at]);
}

static void
connector_wait(struct connector *connector, const struct address *address)
{
	bool is_overdue = reactor_now_ms() >= connector->ending_until_ms;

	if (is_overdue && !connector->says_waits)
		log_notice("%s %s: waits until nobody writes there any more",
			   connector_name(connector), address->text);
	connector->says_waits = is_overdue;
	reactor_set_deadline(connector->reactor, &connector->again, reactor_now_ms() + LOOK_MS);
}

void
connector_dial(void *arg)
{
	struct connector *connector = arg;
	const struct address *address = current_address(connector);
	const char *why = NULL;

	if (connector_is_to_wait(connector, address)) {
		connector_wait(connector, address);
		return;
	}
	connector->says_waits = false;
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
			device_leave_trail(device, connector->trails[connector->rotation.at]);
		connector_open_device(connector, device, why);
		return;
	}
	connector->lookup = resolver_look_up(connector->resolver, connector->reactor,
					     address, looked_up, connector);
	if (connector->lookup == NULL)
		connector_fail(connector, strerror(ENOMEM));
}

