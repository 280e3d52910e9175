/* proxy.c - carries bytes to an upstream address and back, with half-closes and resets as they come. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/address.h"
#include "net/connector.h"
#include "net/factory.h"
#include "net/protocol.h"
#include "net/transport.h"
#include "protocols/proxy_settings.h"
#include "protocols/registry.h"

static const struct option_default proxy_defaults[] = {
	{ "idle_timeout", "1h" },
	{ 0 },
};

/* What all connections of a listener dial: every address of every upstream, in their order. */
struct upstreams {
	struct sockaddr_any *addresses;
	size_t count;
	atomic_size_t next;
};

/* The state of both transports of a pair: the client's and the upstream's. */
struct proxy_side {
	struct transport *other;	/* NULL: not yet, or no longer */
	struct connector *connector;	/* the client's side, while dialling */
};

static const struct protocol upstream_protocol;

static int
upstreams_add(struct upstreams *upstreams, const struct sockaddr_any *found, size_t count)
{
	struct sockaddr_any *addresses =
		realloc(upstreams->addresses, (upstreams->count + count) * sizeof *addresses);

	if (addresses == NULL)
		return -1;
	memcpy(addresses + upstreams->count, found, count * sizeof *found);
	upstreams->addresses = addresses;
	upstreams->count += count;
	return 0;
}

static void
proxy_factory_lost(struct factory *factory)
{
	struct upstreams *upstreams = factory_shared(factory);

	if (upstreams != NULL)
		free(upstreams->addresses);
	free(upstreams);
}

static int
proxy_factory_made(struct factory *factory)
{
	const struct proxy_settings *settings = factory_settings(factory);
	struct upstreams *upstreams = calloc(1, sizeof *upstreams);

	if (upstreams == NULL)
		return -1;
	factory_set_shared(factory, upstreams);
	for (size_t i = 0; i < settings->upstream.count; i++) {
		const struct address *address = &settings->upstream.items[i].address;
		struct sockaddr_any *found = NULL;
		size_t count = 0;
		const char *error = address_resolve(address, &found, &count);

		if (error != NULL) {
			/* The others may do; a later look-up may find it. */
			log_warning("%s: upstream %s: %s", factory_name(factory), address->text, error);
			continue;
		}
		if (upstreams_add(upstreams, found, count) < 0) {
			free(found);
			proxy_factory_lost(factory);
			errno = ENOMEM;
			return -1;
		}
		free(found);
	}
	return 0;
}

/* The reason for a client when its upstream was lost. */
static enum reason
reason_for_client(enum reason reason)
{
	return reason == REASON_PEER_RESET ? REASON_UPSTREAM_RESET : reason;
}

static void
upstream_connected(void *arg, struct transport *upstream, size_t index)
{
	struct transport *client = arg;
	struct proxy_side *side = transport_state(client), *other;

	(void)index;
	side->connector = NULL;
	if (upstream == NULL) {
		transport_abort(client, REASON_NO_RESOURCES);
		return;
	}
	other = transport_state(upstream);
	side->other = upstream;
	other->other = client;
	transport_resume(client);
}

static void
upstream_failed(void *arg, int error)
{
	struct transport *client = arg;
	struct proxy_side *side = transport_state(client);

	side->connector = NULL;
	/* A reset, so that the client learns what connecting itself would have told it. */
	transport_abort(client, error == ETIMEDOUT				? REASON_CONNECT_TIMEOUT
				: error == ENOMEM || error == EMFILE || error == ENFILE ? REASON_NO_RESOURCES
											: REASON_UPSTREAM_REFUSED);
}

static void
proxy_connection_made(struct transport *client)
{
	const struct proxy_settings *settings = transport_settings(client);
	struct upstreams *upstreams = factory_shared(transport_factory(client));
	struct proxy_side *side = transport_state(client);
	struct dial dial = {
		.addresses = upstreams->addresses,
		.count = upstreams->count,
		.timeout_ms = settings->connect_timeout_ms,
		.connected = upstream_connected,
		.failed = upstream_failed,
		.arg = client,
	};

	if (upstreams->count == 0) {
		transport_abort(client, REASON_UPSTREAM_REFUSED);
		return;
	}
	dial.first = atomic_fetch_add_explicit(&upstreams->next, 1, memory_order_relaxed)
		     % upstreams->count;
	side->connector = connector_dial(transport_endpoint(client), &upstream_protocol, &dial);
	if (side->connector != NULL)
		transport_pause(client);
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
}

static void
proxy_drained(struct transport *transport)
{
	struct proxy_side *side = transport_state(transport);

	if (side->other != NULL)
		transport_resume(side->other);
}

static void
proxy_read_ended(struct transport *transport)
{
	struct proxy_side *side = transport_state(transport);

	if (side->other != NULL)
		transport_end_write(side->other);
	else
		transport_end_write(transport);
}

/*
 * The pair goes on until it ends by itself, or is cut after shutdown_timeout: to end one side for the
 * other would make half a transfer look like a whole one.
 */
static void
proxy_stopping(struct transport *client)
{
	struct proxy_side *side = transport_state(client);

	if (side->other == NULL)
		transport_reset(client, REASON_SHUTDOWN);
}

static void
upstream_stopping(struct transport *upstream)
{
	(void)upstream;
}

/* One of the two has gone: the other learns how. */
static void
proxy_part(struct transport *transport, enum reason reason, enum reason reason_for_other)
{
	struct proxy_side *side = transport_state(transport), *other;

	if (side->other == NULL)
		return;
	other = transport_state(side->other);
	other->other = NULL;
	switch (reason) {
	case REASON_PEER_CLOSED:
		/* It has ended both ways in order; what the other is still owed is on its way. */
		transport_lose(side->other, reason);
		break;
	case REASON_IDLE_TIMEOUT:
	case REASON_SHUTDOWN:
	case REASON_DONE:
	case REASON_LINGER_TIMEOUT:
		transport_lose(side->other, reason_for_other);
		break;
	case REASON_PEER_RESET:
		transport_reset(side->other, reason_for_other);
		break;
	default:
		transport_abort(side->other, reason_for_other);
		break;
	}
}

static void
proxy_connection_lost(struct transport *client, enum reason reason)
{
	struct proxy_side *side = transport_state(client);

	connector_cancel(side->connector);
	proxy_part(client, reason, reason);
}

static void
upstream_connection_lost(struct transport *upstream, enum reason reason)
{
	proxy_part(upstream, reason, reason_for_client(reason));
}

/* A proxy that can reach its upstream keeps the connection open and may say nothing. */
static enum probe_verdict
proxy_probe_check(const void *settings, const uint8_t *request, size_t request_length,
		  const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	(void)settings;
	(void)request;
	(void)request_length;
	(void)reply;
	if (reply_length > 0)
		return PROBE_OK;
	if (!ended)
		return PROBE_MORE;
	*failure = "closed at once";
	return PROBE_FAILED;
}

static const struct probe proxy_probe = {
	.check = proxy_probe_check,
	.silence_is_ok = true,
};

static const struct protocol upstream_protocol = {
	.name = "proxy upstream",
	.summary = "the side of a proxied connection that we have dialled",
	.transports = PROTOCOL_STREAM,
	.state_size = sizeof(struct proxy_side),
	.own_flow_control = true,
	.data_received = proxy_data_received,
	.drained = proxy_drained,
	.read_ended = proxy_read_ended,
	.stopping = upstream_stopping,
	.connection_lost = upstream_connection_lost,
};

const struct protocol proxy_protocol = {
	.name = "proxy",
	.summary = "carries bytes to an upstream address and back",
	.transports = PROTOCOL_STREAM,
	.options = proxy_options,
	.settings_size = sizeof(struct proxy_settings),
	.defaults = proxy_defaults,
	.settings_check = proxy_settings_check,
	.state_size = sizeof(struct proxy_side),
	.descriptors = 2,
	.own_flow_control = true,
	.factory_made = proxy_factory_made,
	.factory_lost = proxy_factory_lost,
	.connection_made = proxy_connection_made,
	.data_received = proxy_data_received,
	.drained = proxy_drained,
	.read_ended = proxy_read_ended,
	.stopping = proxy_stopping,
	.connection_lost = proxy_connection_lost,
	.probe = &proxy_probe,
};
