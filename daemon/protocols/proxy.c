/* proxy.c - carries bytes to an upstream and back, with half-closes and resets as they come. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "net/address.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/proxy_header.h"
#include "net/transport.h"
#include "protocols/proxy_datagram.h"
#include "protocols/proxy_factory.h"
#include "protocols/proxy_probe.h"
#include "protocols/proxy_settings.h"
#include "protocols/proxy_way.h"
#include "protocols/registry.h"
#include "protocols/upstreams.h"

static const struct option_default proxy_defaults[] = {
	{ "idle_timeout", "1h" },
	{ 0 },
};

/* The state of both transports of a pair: the client's and the upstream's. */
struct proxy_side {
	struct transport *other;	/* NULL: not yet, or no longer */
	union {
		struct way *way;		/* the client's, until there is an upstream */
		struct upstream *upstream;	/* the upstream's: which one it is */
	};
};

static const struct protocol upstream_protocol;

/* Tells an upstream, before anything else, for whom this is. */
static void
send_proxy_header(struct transport *client, struct transport *upstream, enum send_proxy version)
{
	uint8_t header[PROXY_HEADER_MAX];
	union peer_address local;
	size_t length;

	transport_local(client, &local);
	length = proxy_header_write(version == SEND_PROXY_V1 ? 1 : 2, transport_peer(client),
				    &local, header);
	transport_write(upstream, header, length);
}

static void
proxy_arrived(struct transport *client, struct transport *transport, struct upstream *upstream)
{
	const struct proxy_settings *settings = transport_settings(client);
	struct proxy_side *near = transport_state(client), *far = transport_state(transport);

	near->other = transport;
	far->other = client;
	far->upstream = upstream;
	if (settings->send_proxy != SEND_PROXY_NO)
		send_proxy_header(client, transport, (enum send_proxy)settings->send_proxy);
}

static void
proxy_connection_made(struct transport *client)
{
	struct proxy_side *side = transport_state(client);

	way_begin(&side->way, client, &upstream_protocol, proxy_arrived);
}

/* Sends on what one side has sent, and reads no more from it than the other side takes. */
static void
proxy_data_received(struct transport *transport, const uint8_t *bytes, size_t length)
{
	struct proxy_side *side = transport_state(transport);

	if (side->other == NULL)
		return;
	transport_write(side->other, bytes, length);
	if (transport_pending(side->other) > 0)
		transport_pause(transport);
	else if (transport_is_long_stream(transport))
		transport_splice(transport, side->other);
}

static void
proxy_drained(struct transport *transport)
{
	struct proxy_side *side = transport_state(transport);

	if (side->other == NULL)
		return;
	if (transport_is_long_stream(side->other))
		transport_splice(side->other, transport);
	transport_resume(side->other);
}

/*
 * The end is passed on. The other side, if it has not ended too, may now be silent for less long.
 */
static void
proxy_read_ended(struct transport *transport)
{
	const struct proxy_settings *settings = transport_settings(transport);
	struct proxy_side *side = transport_state(transport);
	int64_t idle_ms, half_close_ms = settings->half_close_timeout_ms;

	if (side->other == NULL) {
		transport_end_write(transport);
		return;
	}
	transport_end_write(side->other);
	idle_ms = transport_idle_timeout(side->other);
	if (half_close_ms != 0 && (idle_ms == 0 || half_close_ms < idle_ms)
	    && !transport_peer_has_ended(side->other))
		transport_set_idle_timeout(side->other, half_close_ms);
}

/* Takes a pair apart: returns what was the other side, NULL when there is none. */
static struct transport *
proxy_part(struct transport *transport)
{
	struct proxy_side *side = transport_state(transport), *far;
	struct transport *other = side->other;

	if (other == NULL)
		return NULL;
	far = transport_state(other);
	side->other = far->other = NULL;
	return other;
}

/* A side that has ended waits for what will never come: a reset tells it so. */
static void
end_silent_side(struct transport *transport, enum reason reason)
{
	if (transport_pending(transport) > 0)
		transport_abort(transport, reason);
	else if (transport_peer_has_ended(transport))
		transport_reset(transport, reason);
	else
		transport_lose(transport, reason);
}

/* A pair is silent when both of its sides are. */
static void
proxy_silent(struct transport *transport)
{
	const struct proxy_settings *settings = transport_settings(transport);
	struct proxy_side *side = transport_state(transport);
	int64_t idle_ms = transport_idle_timeout(transport);
	enum reason reason = REASON_IDLE_TIMEOUT;
	struct transport *other;

	if (side->other != NULL && !transport_is_silent(side->other, idle_ms)) {
		/* To begin anew here would let the two wait for each other by turns, for ever. */
		transport_share_activity(transport, side->other);
		return;
	}
	other = proxy_part(transport);
	if (other != NULL && transport_peer_has_ended(other)
	    && idle_ms == settings->half_close_timeout_ms)
		reason = REASON_HALF_CLOSE_TIMEOUT;
	end_silent_side(transport, reason);
	if (other != NULL)
		end_silent_side(other, reason);
}

/*
 * The pair goes on until it ends by itself, or is cut after shutdown_timeout: to end one side for
 * the other would make half a transfer look like a whole one.
 */
static void
proxy_stopping(struct transport *client)
{
	struct proxy_side *side = transport_state(client);

	if (side->other != NULL)
		return;
	if (side->way != NULL)
		way_stop(side->way);
	else
		transport_reset(client, REASON_SHUTDOWN);
}

static void
upstream_stopping(struct transport *upstream)
{
	(void)upstream;
}

/* One of the two has gone: the other learns how. */
static void
proxy_pass_loss(struct transport *transport, enum reason reason, enum reason reason_for_other)
{
	struct transport *other = proxy_part(transport);

	if (other == NULL)
		return;
	switch (reason) {
	case REASON_PEER_CLOSED:
		/* It has ended both ways in order; what the other is still owed is on its way. */
		transport_lose(other, reason);
		break;
	case REASON_SHUTDOWN:
	case REASON_DONE:
	case REASON_LINGER_TIMEOUT:
		transport_lose(other, reason_for_other);
		break;
	case REASON_PEER_RESET:
		transport_reset(other, reason_for_other);
		break;
	default:
		transport_abort(other, reason_for_other);
		break;
	}
}

static void
proxy_connection_lost(struct transport *client, enum reason reason)
{
	struct proxy_side *side = transport_state(client);

	way_free(side->way);
	proxy_pass_loss(client, reason, reason);
}

static void
upstream_connection_lost(struct transport *upstream, enum reason reason)
{
	struct proxy_side *side = transport_state(upstream);
	struct choice choice = { .upstream = side->upstream };

	choice_end(&choice);
	proxy_pass_loss(upstream, reason,
			reason == REASON_PEER_RESET ? REASON_UPSTREAM_RESET : reason);
}

/* "tcp://web.example.org:80 (tcp://192.0.2.7:80)": which one, and where that is. */
static const char *
proxy_via(struct transport *client)
{
	static _Thread_local char text[ADDRESS_TEXT_MAX + 320];
	const struct proxy_side *side = transport_state(client), *far;
	const char *peer, *name;

	if (side->other == NULL)
		return side->way != NULL ? NULL : "an upstream that has gone";
	far = transport_state(side->other);
	name = upstream_text(far->upstream);
	peer = transport_peer_text(side->other);
	/* A unix server has no other address than its path. */
	if (transport_peer(side->other)->sa.sa_family == AF_UNSPEC || strcmp(name, peer) == 0)
		return name;
	snprintf(text, sizeof text, "%s (%s)", name, peer);
	return text;
}

static const struct protocol upstream_protocol = {
	.name = "proxy upstream",
	.summary = "the side of a proxied connection that we have dialled",
	.transports = PROTOCOL_STREAM,
	.state_size = sizeof(struct proxy_side),
	.own_flow_control = true,
	.data_received = proxy_data_received,
	.drained = proxy_drained,
	.read_ended = proxy_read_ended,
	.silent = proxy_silent,
	.stopping = upstream_stopping,
	.connection_lost = upstream_connection_lost,
};

const struct protocol proxy_protocol = {
	.name = "proxy",
	.summary = "carries bytes to an upstream address and back",
	.transports = PROTOCOL_STREAM | PROTOCOL_DATAGRAM,
	.options = proxy_options,
	.settings_size = sizeof(struct proxy_settings),
	.defaults = proxy_defaults,
	.settings_check = proxy_settings_check,
	.state_size = sizeof(struct proxy_side),
	.descriptors = 2,
	.own_flow_control = true,
	.factory_made = proxy_factory_made,
	.factory_lost = proxy_factory_lost,
	.factory_started = proxy_factory_started,
	.factory_stopped = proxy_factory_stopped,
	.factory_report = proxy_factory_report,
	.connection_made = proxy_connection_made,
	.data_received = proxy_data_received,
	.drained = proxy_drained,
	.read_ended = proxy_read_ended,
	.silent = proxy_silent,
	.stopping = proxy_stopping,
	.connection_lost = proxy_connection_lost,
	.datagram_received = proxy_datagram_received,
	.via = proxy_via,
	.datagrams_via = proxy_datagrams_via,
	.probe = &proxy_probe,
};
