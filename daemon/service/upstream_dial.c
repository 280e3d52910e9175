/* upstream_dial.c - is a client of every upstream of a listener, as far as connecting goes. */
#include "service/upstream_dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/section_config.h"
#include "net/dialling.h"
#include "net/endpoint.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "net/transport.h"

enum { DIALLED_MAX = 32, LIMIT_MS = 3000, LINGER_MS = 100 };

struct dials;

/* One upstream. */
struct dialled {
	struct dials *dials;
	const struct address *address;
	struct sockaddr_any *places;
	struct dialling *dialling;	/* NULL: its outcome is known, or it was not dialled */
	const char *outcome;
};

struct dials {
	struct reactor *reactor;
	struct endpoint endpoint;
	struct counters counters;
	const union peer_address *source;
	struct deadline deadline;
	struct dialled items[DIALLED_MAX];
	size_t count, left_out, pending;
};

static void
dialled_settle(struct dialled *dialled, const char *outcome)
{
	dialled->dialling = NULL;
	dialled->outcome = outcome;
	if (--dialled->dials->pending == 0)
		reactor_stop(dialled->dials->reactor);
}

/* The state of a connection to an upstream. */
struct visitor {
	struct dialled *dialled;
};

static void
visitor_lost(struct transport *transport, enum reason reason)
{
	(void)reason;
	dialled_settle(((struct visitor *)transport_state(transport))->dialled, "answers");
}

static const struct protocol visitor_protocol = {
	.name = "probe",
	.summary = "a client that says nothing",
	.transports = PROTOCOL_STREAM,
	.state_size = sizeof(struct visitor),
	.connection_lost = visitor_lost,
};

static void
dialled_connected(void *arg, struct transport *transport, size_t index)
{
	struct dialled *dialled = arg;

	(void)index;
	dialled->dialling = NULL;
	if (transport == NULL) {
		dialled_settle(dialled, strerror(ENOMEM));
		return;
	}
	((struct visitor *)transport_state(transport))->dialled = dialled;
	transport_lose(transport, REASON_DONE);
}

static void
dialled_failed(void *arg, int error)
{
	dialled_settle(arg, strerror(error));
}

static void
dials_timed_out(void *arg)
{
	struct dials *dials = arg;

	for (size_t i = 0; i < dials->count; i++)
		if (dials->items[i].dialling != NULL) {
			dialling_cancel(dials->items[i].dialling);
			dialled_settle(&dials->items[i], "no answer within 3 s");
		}
}

/* Notes the stream upstreams, and where to dial them from. */
static void
dials_gather(struct dials *dials, const struct section_config *listener)
{
	for (const struct option *row = listener->protocol->options;
	     row != NULL && row->name != NULL; row++) {
		const void *field = (const char *)listener->settings + row->offset;
		const struct upstream_list *list = field;

		if (row->type == OPTION_IP)
			dials->source = field;
		for (size_t i = 0; row->type == OPTION_UPSTREAMS && i < list->count; i++) {
			const struct address *address = &list->items[i].address;

			if (address_is_datagram(address->kind))
				continue;
			if (dials->count == DIALLED_MAX)
				dials->left_out++;
			else
				dials->items[dials->count++] =
					(struct dialled){ .dials = dials, .address = address };
		}
	}
}

/* Looks it up and begins to dial. */
static void
dialled_begin(struct dialled *dialled)
{
	struct dial dial = {
		.source = dialled->dials->source,
		.connected = dialled_connected,
		.failed = dialled_failed,
		.arg = dialled,
	};
	struct dialling *dialling;

	dialled->outcome = address_resolve(dialled->address, &dialled->places, &dial.count);
	if (dialled->outcome != NULL)
		return;
	dial.addresses = dialled->places;
	dialled->dials->pending++;
	dialling = dialling_begin(&dialled->dials->endpoint, &visitor_protocol, &dial);
	if (dialling != NULL)
		dialled->dialling = dialling;
}

static void
dials_run(struct dials *dials)
{
	dials->endpoint = (struct endpoint){
		.reactor = dials->reactor,
		.name = "probe",
		.counters = &dials->counters,
		.linger_timeout_ms = LINGER_MS,
	};
	dials->deadline.fn = dials_timed_out;
	dials->deadline.arg = dials;
	/* One more, so that none stops the reactor before all have begun. */
	dials->pending = 1;
	for (size_t i = 0; i < dials->count; i++)
		dialled_begin(&dials->items[i]);
	dials->pending--;
	reactor_set_deadline(dials->reactor, &dials->deadline, reactor_now_ms() + LIMIT_MS);
	if (dials->pending == 0)
		reactor_stop(dials->reactor);
	reactor_run(dials->reactor);
	reactor_unset_deadline(dials->reactor, &dials->deadline);
}

void
upstreams_dial(const struct section_config *listener, char *text, size_t size)
{
	struct dials dials = { .reactor = reactor_new(0, REACTOR_AUTO) };
	size_t used = 0;

	text[0] = '\0';
	if (dials.reactor == NULL)
		return;
	dials_gather(&dials, listener);
	if (dials.count > 0)
		dials_run(&dials);
	reactor_free(dials.reactor);
	for (size_t i = 0; i < dials.count; i++) {
		if (used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%s: %s",
						 i > 0 ? "; " : "", dials.items[i].address->text,
						 dials.items[i].outcome);
		free(dials.items[i].places);
	}
	if (dials.left_out > 0 && used < size)
		snprintf(text + used, size - used, "; and %zu more", dials.left_out);
}
