/* link.c - how a connection of a connector begins and ends. */
#include "net/link_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/connector.h"
#include "net/dialling.h"
#include "net/factory.h"
#include "net/pump.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/trail.h"
#include "net/transport.h"

static void
link_free(struct link *link)
{
	reactor_unset_deadline(link->endpoint.reactor, &link->silence);
	endpoint_leave(&link->endpoint);
	pump_free(link->pump);
	tally_unref(link->plan.tally);
	factory_unref(link->plan.factory);
	free(link->addresses);
	free(link);
}

static void
link_all_gone(struct endpoint *endpoint)
{
	link_free((struct link *)endpoint);
}

/* Hands on what has been read from a device. */
static void
link_take_rest(struct link *link)
{
	do
		if (link->transport != NULL)
			transport_read_all(link->transport);
	while (pump_push(link->pump));
}

/*
 * Reads no more: what has come would not come again. A file is to be read on from behind the last
 * line that has come whole.
 */
static void
link_halt(struct link *link)
{
	struct file_place place = pump_halt(link->pump);
	uint64_t again = link->begun;

	if (link->transport != NULL)
		again += transport_unread(link->transport);
	/* What has come of a file before the one that took its place cannot be read again, either. */
	if (place.inode == 0 || again > place.offset) {
		link_take_rest(link);
		again = link->begun;
	} else {
		link->deaf = true;
	}
	if (place.inode == 0) {
		bool is_begun = link->begun > 0 || link->skips;

		if (link->plan.trail != NULL)
			trail_set_begun(link->plan.trail,
					is_begun && pump_failure(link->pump) == NULL);
		return;
	}
	place.offset -= again < place.offset ? again : place.offset;
	*link->plan.place = place;
}

/* From here on it is nobody's. */
static void
link_disown(struct link *link)
{
	*link->owner = NULL;
	link->owner = NULL;
	reactor_unset_deadline(link->endpoint.reactor, &link->silence);
}

bool
link_leave_owner(struct link *link)
{
	if (link->owner == NULL)
		return false;
	link_disown(link);
	if (link->pump != NULL)
		link_halt(link);
	return true;
}

const char *
link_failure(const struct link *link)
{
	return link->pump != NULL ? pump_failure(link->pump) : NULL;
}

static void
link_begin_end(struct link *link, enum reason reason)
{
	if (link->ending)
		return;
	link->ending = true;
	link->reason = reason;
	transport_stop(link->transport);
}

void
link_lose(struct link *link, enum reason reason)
{
	bool owned = link_leave_owner(link);

	link_begin_end(link, reason);
	if (owned)
		link->plan.lost(link->plan.arg, reason, link_failure(link));
}

static void
link_fail(struct link *link, int error)
{
	struct link_plan plan = link->plan;
	bool owned = link_leave_owner(link);

	if (link->skips)
		trail_set_begun(plan.trail, true);
	link_free(link);
	if (owned)
		plan.failed(plan.arg, error == EAFNOSUPPORT ? "no address is of the family of bind"
							    : strerror(error));
}

static void
dialling_connected(void *arg, struct transport *transport, size_t index)
{
	struct link *link = arg;

	(void)index;
	link->dialling = NULL;
	if (transport == NULL)
		link_fail(link, ENOMEM);
	else if (link->owner != NULL)
		link->plan.up(link->plan.arg);
}

static void
dialling_failed(void *arg, int error)
{
	struct link *link = arg;

	link->dialling = NULL;
	link_fail(link, error);
}

/* A link that has not dialled yet. */
static struct link *
link_new(const struct link_plan *plan)
{
	const struct connector_settings *settings = plan->settings;
	struct link *link = calloc(1, sizeof *link + strlen(plan->name) + 1);

	if (link == NULL)
		return NULL;
	strcpy(link->name, plan->name);
	link->plan = *plan;
	link->plan.name = link->name;
	factory_ref(plan->factory);
	tally_ref(plan->tally);
	link->inner = factory_protocol(plan->factory);
	link_wrap_protocol(link);
	link->endpoint = (struct endpoint){
		.reactor = plan->reactor,
		.factory = plan->factory,
		.name = link->name,
		.kind = plan->kind,
		.dialled = true,
		.idle_timeout_ms = settings->idle_timeout_ms,
		.write_timeout_ms = settings->write_timeout_ms,
		.linger_timeout_ms = settings->linger_timeout_ms,
		.socket = &settings->socket,
		.counters = tally_counters(plan->tally, reactor_index(plan->reactor)),
		.all_gone = link_all_gone,
	};
	endpoint_enter(&link->endpoint);
	return link;
}

void
link_dial(const struct link_plan *plan, struct link **owner, struct sockaddr_any *addresses,
	  size_t count)
{
	struct link *link = link_new(plan);
	struct dialling *dialling;
	struct dial dial = {
		.addresses = addresses,
		.count = count,
		.timeout_ms = plan->settings->connect_timeout_ms,
		.source = &plan->settings->bind,
		.interface = plan->settings->socket.bind_device,
		.quiet = true,		/* whoever is told says it */
		.connected = dialling_connected,
		.failed = dialling_failed,
		.arg = link,
	};

	*owner = link;
	if (link == NULL) {
		free(addresses);
		plan->failed(plan->arg, strerror(ENOMEM));
		return;
	}
	link->owner = owner;
	link->addresses = addresses;
	dialling = dialling_begin(&link->endpoint, &link->protocol, &dial);
	/* Without one the link may be gone. */
	if (dialling != NULL)
		link->dialling = dialling;
}

void
link_open(const struct link_plan *plan, struct link **owner, struct device *device)
{
	struct link *link = link_new(plan);
	int stream;

	*owner = link;
	if (link == NULL) {
		device_close(device);
		plan->failed(plan->arg, strerror(ENOMEM));
		return;
	}
	link->owner = owner;
	link->endpoint.kind = ADDRESS_UNIX;	/* of the pump */
	link->endpoint.peer_text = plan->address;
	link->endpoint.pumped = true;
	link->skips = plan->trail != NULL && trail_take_begun(plan->trail);
	link->pump = pump_new(plan->reactor, device, &stream);
	if (link->pump == NULL)
		link_fail(link, errno);
	else if (transport_new(&link->endpoint, &link->protocol, stream, NULL) == NULL)
		link_fail(link, ENOMEM);
	else
		plan->up(plan->arg);
}

/* Gives up what is not connected yet: whether that was so. */
static bool
link_undial(struct link *link)
{
	if (link->transport != NULL)
		return false;
	dialling_cancel(link->dialling);
	link_free(link);
	return true;
}

void
link_end(struct link *link, enum reason reason)
{
	if (link == NULL)
		return;
	link_leave_owner(link);
	if (!link_undial(link))
		link_begin_end(link, reason);
}

/* What a pump has got is on its way to its device, and no peer's end is waited for after that. */
static bool
link_owes(const struct link *link)
{
	return link->transport != NULL
	       && (link->pump != NULL || !transport_is_losing(link->transport));
}

/* The next link of a connector that was given up and still owes something; NULL: none. */
static struct link *
next_ending(const struct endpoint *at, const char *connector_name)
{
	for (; at != NULL; at = at->next) {
		struct link *link = (struct link *)at;

		if (at->dialled && strcmp(factory_name(at->factory), connector_name) == 0
		    && link->ending && link_owes(link))
			return link;
	}
	return NULL;
}

bool
link_is_ending(struct reactor *reactor, const char *connector_name)
{
	return next_ending(*reactor_endpoints(reactor), connector_name) != NULL;
}

void
link_cut_device(struct reactor *reactor, const char *connector_name, const char *address)
{
	struct link *link = next_ending(*reactor_endpoints(reactor), connector_name);

	for (; link != NULL; link = next_ending(link->endpoint.next, connector_name))
		if (link->pump != NULL && link->inner->cut != NULL
		    && strcmp(link->plan.address, address) == 0)
			link->inner->cut(link->transport);
}

void
link_forsake(struct link *link)
{
	if (link == NULL)
		return;
	/* What has come is handed on, to where the daemon has come when it stops. */
	link_disown(link);
	if (link->pump != NULL) {
		pump_halt(link->pump);
		link_take_rest(link);
	}
	link_undial(link);
}
