/* link.c - what there is to a connection besides its protocol: preamble, silence, the end. */
#include "net/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/connector.h"
#include "net/dialling.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/pump.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/trail.h"
#include "net/transport.h"

struct link {
	struct endpoint endpoint;	/* first */
	struct protocol protocol;	/* the factory's, with what follows around its callbacks */
	const struct protocol *inner;
	struct link_plan plan;
	struct link **owner;		/* NULL: nobody's */
	struct sockaddr_any *addresses;
	struct dialling *dialling;
	struct transport *transport;
	struct pump *pump;		/* NULL: it is a stream socket itself */
	struct deadline silence;
	uint64_t line_ms;		/* when the last line came, or its time began */
	size_t begun;			/* bytes that have come since then */
	enum reason reason;		/* of its ending */
	bool ending;
	bool deaf;			/* what comes is read again */
	bool skips;			/* what comes is the rest of a line whose begin is lost */
	char name[];
};

static struct link *
link_of(struct transport *transport)
{
	return (struct link *)transport_endpoint(transport);
}

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

	if (place.inode == 0) {
		link_take_rest(link);
		trail_set_begun(link->plan.trail, link->begun > 0);
		return;
	}
	if (link->transport != NULL)
		again += transport_unread(link->transport);
	link->deaf = true;
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

/* The same, and it reads no more: whether it was somebody's. */
static bool
link_leave_owner(struct link *link)
{
	if (link->owner == NULL)
		return false;
	link_disown(link);
	if (link->pump != NULL)
		link_halt(link);
	return true;
}

static const char *
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

/* Ends it by itself. */
static void
link_lose(struct link *link, enum reason reason)
{
	bool owned = link_leave_owner(link);

	link_begin_end(link, reason);
	if (owned)
		link->plan.lost(link->plan.arg, reason, link_failure(link));
}

static void
silence_due(void *arg)
{
	struct link *link = arg;
	uint64_t due_ms;

	/* Then it is we who do not listen. */
	if (transport_is_paused(link->transport))
		link->line_ms = reactor_now_ms();
	due_ms = link->line_ms + (uint64_t)link->plan.settings->silence_timeout_ms;
	if (due_ms <= reactor_now_ms())
		link_lose(link, REASON_SILENCE_TIMEOUT);
	else
		reactor_set_deadline(link->endpoint.reactor, &link->silence, due_ms);
}

static void
link_connection_made(struct transport *transport)
{
	struct link *link = link_of(transport);
	const struct connector_settings *settings = link->plan.settings;

	link->transport = transport;
	link->line_ms = reactor_now_ms();
	if (settings->silence_timeout_ms != 0)
		reactor_set_deadline(link->endpoint.reactor, &link->silence,
				     link->line_ms + (uint64_t)settings->silence_timeout_ms);
	if (settings->preamble.length > 0)
		transport_write(transport, settings->preamble.bytes, settings->preamble.length);
	if (link->inner->connection_made != NULL)
		link->inner->connection_made(transport);
}

static void
link_data_received(struct transport *transport, const uint8_t *bytes, size_t length)
{
	struct link *link = link_of(transport);
	const uint8_t *end = memrchr(bytes, '\n', length);

	if (link->deaf || (link->skips && end == NULL))
		return;
	if (link->skips) {
		const uint8_t *begin = (const uint8_t *)memchr(bytes, '\n', length) + 1;

		link->skips = false;
		length -= (size_t)(begin - bytes);
		bytes = begin;
	}
	if (end != NULL)
		link->line_ms = reactor_now_ms();
	link->begun = end != NULL ? (size_t)(bytes + length - end - 1) : link->begun + length;
	if (length > 0)
		link->inner->data_received(transport, bytes, length);
}

/* Whoever ends the side that we dialled for has gone. */
static void
link_read_ended(struct transport *transport)
{
	struct link *link = link_of(transport);

	if (link->inner->read_ended != NULL)
		link->inner->read_ended(transport);
	link->begun = 0;		/* that was a line */
	link_lose(link, REASON_PEER_CLOSED);
}

static void
link_stopping(struct transport *transport)
{
	struct link *link = link_of(transport);

	if (link->ending && link->inner->ending != NULL)
		link->inner->ending(transport, link->reason);
	else if (!link->ending && link->inner->stopping != NULL)
		link->inner->stopping(transport);
	else
		transport_lose(transport, link->ending ? link->reason : REASON_SHUTDOWN);
}

static void
link_connection_lost(struct transport *transport, enum reason reason)
{
	struct link *link = link_of(transport);

	if (link->inner->connection_lost != NULL)
		link->inner->connection_lost(transport, reason);
	link->transport = NULL;
	if (link_leave_owner(link))
		link->plan.lost(link->plan.arg, reason, link_failure(link));
}

static void
link_fail(struct link *link, int error)
{
	struct link_plan plan = link->plan;
	bool owned = link_leave_owner(link);

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
	link->protocol = *link->inner;
	link->protocol.connection_made = link_connection_made;
	if (link->inner->data_received != NULL)
		link->protocol.data_received = link_data_received;
	link->protocol.read_ended = link_read_ended;
	link->protocol.stopping = link_stopping;
	link->protocol.connection_lost = link_connection_lost;
	link->silence.fn = silence_due;
	link->silence.arg = link;
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
	link->skips = trail_take_begun(plan->trail);
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

bool
link_cut_devices(struct reactor *reactor, const char *connector_name)
{
	struct link *link = next_ending(*reactor_endpoints(reactor), connector_name);
	bool found = false;

	for (; link != NULL; link = next_ending(link->endpoint.next, connector_name)) {
		if (link->pump == NULL)
			continue;
		found = true;
		if (link->inner->ending != NULL)
			link->inner->ending(link->transport, link->reason);
	}
	return found;
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
