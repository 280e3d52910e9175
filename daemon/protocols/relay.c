/* relay.c - a line hub: a line that one peer sends reaches every other, whole and in order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/commons.h"
#include "net/factory.h"
#include "net/reactor.h"
#include "net/reply_rate.h"
#include "net/transport.h"
#include "protocols/filter.h"
#include "protocols/hub_ring.h"
#include "protocols/registry.h"
#include "protocols/relay_private.h"
#include "protocols/template.h"

static const struct option_default relay_defaults[] = {
	{ "idle_timeout", "1h" },
	/*
	 * The ring is the buffer: beyond it a member that does not read had megabytes of the
	 * system's memory.
	 */
	{ "notsent_lowat", "256K" },
	{ 0 },
};

size_t
relay_put_line_end(const struct relay_settings *settings, char to[static 2])
{
	memcpy(to, settings->line_end == LINE_END_CRLF ? "\r\n" : "\n\n", 2);
	return settings->line_end == LINE_END_CRLF ? 2 : 1;
}

static size_t
relay_drop_notice(const struct hub_policy *policy, uint64_t n, char *to, size_t size)
{
	const struct relay *relay =
		(const struct relay *)((const char *)policy - offsetof(struct relay, policy));
	char number[24];
	snprintf(number, sizeof number, "%llu", (unsigned long long)n);
	const struct template_word words[] = { { "n", number }, { 0 } };
	size_t length = template_write(relay->settings->drop_notice, words, to, size - 2);
	return length + relay_put_line_end(relay->settings, to + length);
}

static void *
make_hub(void *arg)
{
	const struct relay_settings *settings = arg;
	return hub_new((size_t)settings->buffer);
}

static void
release_hub(void *hub)
{
	hub_unref(hub);
}

static void
relay_free(struct relay *relay)
{
	common_release(relay->common);
	ring_free(relay->ring);
	filter_free(relay->filter);
	reply_rate_free(relay->datagram_rate);
	free(relay);
}

/*
 * Has all that a section needs made: what fails here leaves a running hub alone. 0, or -1 without
 * memory.
 */
static int
relay_make(struct relay *relay, struct factory *factory)
{
	const struct relay_settings *settings = relay->settings;
	const char *name = shared_name(&relay_protocol, settings, factory_name(factory));
	relay->common = commons_take(factory_commons(factory), "hub", name, make_hub,
				     (void *)settings, release_hub);
	if (relay->common == NULL)
		return -1;
	relay->hub = common_thing(relay->common);
	if (hub_size(relay->hub) != (size_t)settings->buffer) {
		relay->ring = ring_new((size_t)settings->buffer);
		if (relay->ring == NULL)
			return -1;
	}
	/* Its regular expressions have been compiled once: memory is all that can be missing. */
	if (settings->filter != NULL && filter_parse(settings->filter, &relay->filter) != NULL)
		return -1;
	if (settings->line_rate.count != 0) {
		relay->datagram_rate = reply_rate_new(&settings->line_rate);
		if (relay->datagram_rate == NULL)
			return -1;
	}
	return 0;
}

static int
relay_factory_made(struct factory *factory)
{
	const struct relay_settings *settings = factory_settings(factory);
	struct relay *relay = calloc(1, sizeof *relay);
	if (relay == NULL)
		return -1;
	relay->settings = settings;
	if (relay_make(relay, factory) < 0) {
		relay_free(relay);
		errno = ENOMEM;
		return -1;
	}
	relay->policy = (struct hub_policy){
		.receives = settings->role != ROLE_IN,
		.loopback = settings->loopback,
		.crlf = settings->line_end == LINE_END_CRLF,
		.on_slow = (enum on_slow)settings->on_slow,
		.filter = relay->filter,
		.drop_notice = settings->drop_notice != NULL ? relay_drop_notice : NULL,
	};
	if (settings->prefix != NULL) {
		relay->prefix_has_time = template_has(settings->prefix, "time");
		relay->prefix_has_peer = template_has(settings->prefix, "peer");
	}
	factory_set_shared(factory, relay);
	return 0;
}

static void
relay_factory_lost(struct factory *factory)
{
	relay_free(factory_shared(factory));
}

static void
relay_factory_started(struct factory *factory)
{
	struct relay *relay = factory_shared(factory);
	hub_open(relay->hub, &relay->section, factory_reactor(factory));
	relay->open = true;
	if (relay->settings->history != 0 || relay->settings->history_age != 0)
		hub_keep_verdicts(relay->hub, &relay->policy);
	if (relay->ring == NULL)
		return;
	if (hub_size(relay->hub) == relay->ring->size)
		ring_free(relay->ring);		/* another section of the hub has been first */
	else if (!hub_resize(relay->hub, relay->ring))
		log_warning("%s: buffer: no memory to change it", factory_name(factory));
	relay->ring = NULL;
}

static void
relay_factory_stopped(struct factory *factory)
{
	struct relay *relay = factory_shared(factory);
	relay->open = false;
	relay_finish_orphans(relay);
	hub_drop_verdicts(relay->hub, &relay->policy);
	hub_close(relay->hub, &relay->section);
}

/* What a summary asks of the hub's reactor. */
struct count_call {
	const struct relay *relay;
	bool speaks;
	struct hub_counts counts;
};

static void
count_on_reactor(void *arg)
{
	struct count_call *call = arg;
	call->speaks = hub_speaks(call->relay->hub, &call->relay->section);
	call->counts = hub_count(call->relay->hub);
}

/* A line for the hub, by one of its sections. */
static void
relay_factory_report(struct factory *factory, void (*line)(void *arg, const char *text), void *arg)
{
	struct count_call call = { .relay = factory_shared(factory) };
	const struct hub_counts *counts = &call.counts;
	char text[300], over_rate[60] = "";
	reactor_call_wait(factory_reactor(factory), count_on_reactor, &call);
	if (!call.speaks)
		return;
	if (counts->over_rate > 0)
		snprintf(over_rate, sizeof over_rate, ", %llu by datagram over line_rate",
			 (unsigned long long)counts->over_rate);
	snprintf(text, sizeof text,
		 "hub %s: %u member%s, %u slow, %llu lines, %llu bytes, %llu lines dropped: slow%s",
		 shared_name(&relay_protocol, call.relay->settings, factory_name(factory)),
		 counts->members, counts->members == 1 ? "" : "s", counts->slow,
		 (unsigned long long)counts->lines, (unsigned long long)counts->bytes,
		 (unsigned long long)counts->dropped, over_rate);
	line(arg, text);
}

/* The role is the peer's, also where we have dialled: it sends to the hub, or only receives. */
static unsigned
relay_ways(const void *void_settings)
{
	const struct relay_settings *settings = void_settings;
	return (settings->role != ROLE_OUT ? PROTOCOL_READS : 0)
	       | (settings->role != ROLE_IN ? PROTOCOL_WRITES : 0);
}

static bool
relay_selects(const void *void_settings)
{
	const struct relay_settings *settings = void_settings;
	return settings->filter != NULL;
}

static void
relay_connection_made(struct transport *transport)
{
	struct relay *relay = factory_shared(transport_factory(transport));
	const struct relay_settings *settings = relay->settings;
	struct relay_peer *peer = transport_state(transport);
	/* How old lines may be says enough where it is not said how many. */
	const struct hub_history history = {
		.lines = settings->history == 0 && settings->history_age != 0
				 ? UINT64_MAX
				 : (uint64_t)settings->history,
		.age_ms = settings->history_age,
	};
	if (settings->greeting != NULL) {
		char line[TEMPLATE_MAX + 2];
		static const struct template_word none[] = { { 0 } };
		size_t length = template_write(settings->greeting, none, line, TEMPLATE_MAX);
		length += relay_put_line_end(settings, line + length);
		transport_write(transport, line, length);
	}
	hub_join(relay->hub, &peer->member, transport, &relay->policy, &history);
}

/*
 * Who has ended its side may still want to receive, as `nc -N` in a pipe does: it stays a member
 * until it closes, or idle_timeout. One that cannot receive has nothing more to do here.
 */
static void
relay_read_ended(struct transport *transport)
{
	const struct relay *relay = factory_shared(transport_factory(transport));
	relay_take_end(transport);
	if (!relay->policy.receives)
		transport_end_write(transport);
}

static void
relay_drained(struct transport *transport)
{
	struct relay_peer *peer = transport_state(transport);
	hub_member_drained(&peer->member);
}

void
relay_stopped(struct transport *transport)
{
	const struct relay *relay = factory_shared(transport_factory(transport));
	struct relay_peer *peer = transport_state(transport);
	enum reason reason = peer->ending ? (enum reason)peer->end_reason : REASON_SHUTDOWN;
	if (peer->ending)
		hub_member_end(&peer->member, reason);
	else
		hub_member_stop(&peer->member);
	if (!relay->policy.receives)
		transport_lose(transport, reason);
}

static void
relay_ending(struct transport *transport, enum reason reason)
{
	struct relay_peer *peer = transport_state(transport);
	if (!peer->ending && !transport_is_losing(transport)) {
		peer->ending = true;
		peer->end_reason = (uint8_t)reason;
	}
	relay_take_stop(transport);
}

/* What it may still have to say is said when it is lost. */
static void
relay_cut(struct transport *transport)
{
	struct relay_peer *peer = transport_state(transport);
	if (peer->ending)
		hub_member_cut(&peer->member, (enum reason)peer->end_reason);
}

void
relay_ended(struct transport *transport, enum reason reason)
{
	struct relay_peer *peer = transport_state(transport);
	if (peer->ending)
		return;
	peer->ending = true;
	peer->end_reason = (uint8_t)reason;
	relay_stopped(transport);
}

static void
relay_connection_lost(struct transport *transport, enum reason reason)
{
	struct relay_peer *peer = transport_state(transport);
	relay_source_lost(transport, reason);
	hub_leave(&peer->member);
	if (peer->member.dropped > 0 || peer->long_lines > 0)
		log_info("%s: %s: %llu lines dropped: slow, %llu lines too long",
			 factory_name(transport_factory(transport)), transport_peer_text(transport),
			 (unsigned long long)peer->member.dropped,
			 (unsigned long long)peer->long_lines);
}

const struct protocol relay_protocol = {
	.name = "relay",
	.summary = "sends each line of one peer to all the others",
	.transports = PROTOCOL_STREAM | PROTOCOL_DATAGRAM,
	.options = relay_options,
	.settings_size = sizeof(struct relay_settings),
	.defaults = relay_defaults,
	.state_size = sizeof(struct relay_peer),
	.own_flow_control = true,
	.one_reactor = true,
	.shares = "hub",
	.settings_check = relay_settings_check,
	.ways = relay_ways,
	.selects = relay_selects,
	.factory_made = relay_factory_made,
	.factory_lost = relay_factory_lost,
	.factory_started = relay_factory_started,
	.factory_stopped = relay_factory_stopped,
	.factory_report = relay_factory_report,
	.connection_made = relay_connection_made,
	.data_received = relay_take_bytes,
	.drained = relay_drained,
	.read_ended = relay_read_ended,
	.stopping = relay_take_stop,
	.ending = relay_ending,
	.cut = relay_cut,
	.connection_lost = relay_connection_lost,
	.datagram_received = relay_take_datagram,
	.probe = &relay_probe,
};
