/* link_protocol.c - what there is to a connection besides its protocol: preamble, silence, the end. */
#include <string.h>

#include "net/connector.h"
#include "net/link_private.h"
#include "net/reactor.h"
#include "net/transport.h"

static struct link *
link_of(struct transport *transport)
{
	return (struct link *)transport_endpoint(transport);
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
	link->skips = false;
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

void
link_wrap_protocol(struct link *link)
{
	link->protocol = *link->inner;
	link->protocol.connection_made = link_connection_made;
	if (link->inner->data_received != NULL)
		link->protocol.data_received = link_data_received;
	link->protocol.read_ended = link_read_ended;
	link->protocol.stopping = link_stopping;
	link->protocol.connection_lost = link_connection_lost;
	link->silence.fn = silence_due;
	link->silence.arg = link;
}
