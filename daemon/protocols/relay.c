/* relay.c - a line hub: a line that one peer sends reaches every other, whole and in order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "net/datagram.h"
#include "net/factory.h"
#include "net/transport.h"
#include "protocols/hub.h"
#include "protocols/line.h"
#include "protocols/registry.h"
#include "protocols/relay_settings.h"
#include "protocols/template.h"

static const struct option_default relay_defaults[] = {
	{ "idle_timeout", "1h" },
	{ 0 },
};

/* What the members of a listener share. */
struct relay {
	struct hub *hub;
	const struct relay_settings *settings;
	struct hub_policy policy;
	bool prefix_has_time, prefix_has_peer;
};

/* A connection. */
struct relay_peer {
	struct hub_member member;
	struct line_reader reader;
	uint64_t long_lines;		/* dropped or cut */
};

static size_t
put_line_end(const struct relay_settings *settings, char to[static 2])
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
	return length + put_line_end(relay->settings, to + length);
}

static int
relay_factory_made(struct factory *factory)
{
	const struct relay_settings *settings = factory_settings(factory);
	struct relay *relay = calloc(1, sizeof *relay);
	struct hub *hub = hub_new((size_t)settings->buffer);
	if (relay == NULL || hub == NULL) {
		free(relay);
		if (hub != NULL)
			hub_unref(hub);
		errno = ENOMEM;
		return -1;
	}
	relay->hub = hub;
	relay->settings = settings;
	relay->policy.receives = settings->role != ROLE_IN;
	relay->policy.loopback = settings->loopback;
	relay->policy.on_slow = settings->on_slow;
	relay->policy.drop_notice = settings->drop_notice != NULL ? relay_drop_notice : NULL;
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
	struct relay *relay = factory_shared(factory);
	hub_unref(relay->hub);
	free(relay);
}

/* Who lines come from: a connection, or a datagram. */
struct source {
	struct relay *relay;
	struct relay_peer *peer;
	struct transport *transport;
	const struct datagram *datagram;
};

static struct source
source_of(struct transport *transport)
{
	return (struct source){
		.relay = factory_shared(transport_factory(transport)),
		.peer = transport_state(transport),
		.transport = transport,
	};
}

static size_t
prefix_write(const struct source *source, char to[static PREFIX_MAX])
{
	const struct relay *relay = source->relay;
	const struct relay_peer *peer = source->peer;
	char when[32] = "", member[16], seq[24];
	if (relay->prefix_has_time) {
		time_t now = time(NULL);
		struct tm utc;
		gmtime_r(&now, &utc);
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
	}
	snprintf(member, sizeof member, "%u", peer != NULL ? peer->member.id : 0);
	snprintf(seq, sizeof seq, "%llu", (unsigned long long)hub_next_line(relay->hub));
	const char *from = !relay->prefix_has_peer ? ""
			   : peer != NULL	   ? transport_peer_text(source->transport)
						   : datagram_peer_text(source->datagram);
	const struct template_word words[] = {
		{ "time", when }, { "peer", from }, { "member", member }, { "seq", seq }, { 0 },
	};
	return template_write(relay->settings->prefix, words, to, PREFIX_MAX);
}

static void
relay_publish(const struct source *source, const struct line_text *text)
{
	const struct relay *relay = source->relay;
	char prefix[PREFIX_MAX], line_end[2];
	struct iovec pieces[3] = {
		{ .iov_base = prefix },
		{ .iov_base = (void *)text->bytes, .iov_len = text->length },
		{ .iov_base = line_end, .iov_len = put_line_end(relay->settings, line_end) },
	};
	if (relay->settings->prefix != NULL)
		pieces[0].iov_len = prefix_write(source, prefix);
	hub_publish(relay->hub, source->peer != NULL ? &source->peer->member : NULL, pieces, 3);
}

/* Does with a line what the settings say. False when its sender is not to be heard further. */
static bool
relay_take(const struct source *source, enum line_result result, const struct line_text *text)
{
	int64_t on_long_line = source->relay->settings->on_long_line;
	if (result == LINE_WHOLE) {
		relay_publish(source, text);
		return true;
	}
	if (result == LINE_NO_MEMORY) {
		if (source->transport != NULL)
			transport_abort(source->transport, REASON_NO_RESOURCES);
		return false;
	}
	if (source->peer != NULL)
		source->peer->long_lines++;
	if (on_long_line == ON_LONG_LINE_CUT)
		relay_publish(source, text);
	if (on_long_line == ON_LONG_LINE_CLOSE && source->transport != NULL)
		transport_lose(source->transport, REASON_LINE_TOO_LONG);
	return on_long_line != ON_LONG_LINE_CLOSE;
}

static void
relay_take_lines(const struct source *source, struct line_reader *reader, const uint8_t *bytes,
		 size_t length)
{
	const struct relay_settings *settings = source->relay->settings;
	const uint8_t *end = bytes + length;
	struct line_text text;
	enum line_result result;
	if (settings->role == ROLE_OUT)
		return;
	do
		result = line_reader_next(reader, (size_t)settings->max_line, &bytes, end, &text);
	while (result != LINE_NONE && relay_take(source, result, &text));
}

/* The last line counts although it has no end. */
static void
relay_take_last(const struct source *source, struct line_reader *reader)
{
	struct line_text text;
	enum line_result result =
		line_reader_last(reader, (size_t)source->relay->settings->max_line, &text);
	if (result != LINE_NONE)
		relay_take(source, result, &text);
	line_reader_clear(reader);
}

static void
relay_connection_made(struct transport *transport)
{
	const struct relay *relay = factory_shared(transport_factory(transport));
	struct relay_peer *peer = transport_state(transport);
	if (relay->settings->greeting != NULL) {
		char line[TEMPLATE_MAX + 2];
		static const struct template_word none[] = { { 0 } };
		size_t length = template_write(relay->settings->greeting, none, line, TEMPLATE_MAX);
		length += put_line_end(relay->settings, line + length);
		transport_write(transport, line, length);
	}
	hub_join(relay->hub, &peer->member, transport, &relay->policy,
		 (uint64_t)relay->settings->history);
}

static void
relay_data_received(struct transport *transport, const uint8_t *bytes, size_t length)
{
	const struct source source = source_of(transport);
	relay_take_lines(&source, &source.peer->reader, bytes, length);
}

/*
 * Who has ended its side may still want to receive, as `nc -N` in a pipe does: it stays a member until it
 * closes, or idle_timeout. One that cannot receive has nothing more to do here.
 */
static void
relay_read_ended(struct transport *transport)
{
	const struct source source = source_of(transport);
	relay_take_last(&source, &source.peer->reader);
	if (!source.relay->policy.receives)
		transport_end_write(transport);
}

static void
relay_drained(struct transport *transport)
{
	struct relay_peer *peer = transport_state(transport);
	hub_member_drained(&peer->member);
}

static void
relay_stopping(struct transport *transport)
{
	const struct source source = source_of(transport);
	relay_take_last(&source, &source.peer->reader);
	hub_member_stop(&source.peer->member);
	if (!source.relay->policy.receives)
		transport_lose(transport, REASON_SHUTDOWN);
}

static void
relay_connection_lost(struct transport *transport, enum reason reason)
{
	struct relay_peer *peer = transport_state(transport);
	(void)reason;
	if (peer->member.dropped > 0 || peer->long_lines > 0)
		log_info("%s: %s: %llu lines dropped: slow, %llu lines too long",
			 factory_name(transport_factory(transport)), transport_peer_text(transport),
			 (unsigned long long)peer->member.dropped, (unsigned long long)peer->long_lines);
	hub_leave(&peer->member);
	line_reader_clear(&peer->reader);
}

static void
relay_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	const struct source source = {
		.relay = factory_shared(datagram_factory(datagram)),
		.datagram = datagram,
	};
	struct line_reader reader = { 0 };
	relay_take_lines(&source, &reader, bytes, length);
	relay_take_last(&source, &reader);
}

/* A line that nobody else sends; none to a hub whose peers cannot both send and receive. */
static size_t
relay_probe_request(const void *void_settings, uint8_t request[static PROBE_REQUEST_MAX])
{
	const struct relay_settings *settings = void_settings;
	struct timespec now;
	if (settings->role != ROLE_BOTH)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	int length = snprintf((char *)request, PROBE_REQUEST_MAX, "twined probe %ld %lld.%09ld",
			      (long)getpid(), (long long)now.tv_sec, now.tv_nsec);
	if (length > settings->max_line)
		length = (int)settings->max_line;
	request[length] = '\n';
	return (size_t)length + 1;
}

/* There may be a greeting, history, and other members' lines around it, and a prefix before it. */
static enum probe_verdict
relay_probe_check(const void *void_settings, const uint8_t *request, size_t request_length,
		  const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	const struct relay_settings *settings = void_settings;
	uint8_t line[PROBE_REQUEST_MAX + 1];
	if (request_length == 0)
		return PROBE_OK;
	memcpy(line, request, request_length - 1);
	size_t length = request_length - 1
			+ put_line_end(settings, (char *)line + request_length - 1);
	const uint8_t *found = reply_length > 0 ? memmem(reply, reply_length, line, length) : NULL;
	if (found != NULL && (settings->prefix != NULL || found == reply || found[-1] == '\n'))
		return PROBE_OK;
	if (!ended)
		return PROBE_MORE;
	*failure = "the line did not reach the other member";
	return PROBE_FAILED;
}

static const struct probe relay_probe = {
	.request = relay_probe_request,
	.check = relay_probe_check,
	.two_members = true,
};

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
	.settings_check = relay_settings_check,
	.factory_made = relay_factory_made,
	.factory_lost = relay_factory_lost,
	.connection_made = relay_connection_made,
	.data_received = relay_data_received,
	.drained = relay_drained,
	.read_ended = relay_read_ended,
	.stopping = relay_stopping,
	.connection_lost = relay_connection_lost,
	.datagram_received = relay_datagram_received,
	.probe = &relay_probe,
};
