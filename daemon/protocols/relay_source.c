/* relay_source.c - whoever sends lines to a relay: what is made of their bytes. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "net/datagram.h"
#include "net/deadline.h"
#include "net/factory.h"
#include "net/reply_rate.h"
#include "net/transport.h"
#include "protocols/filter.h"
#include "protocols/relay_private.h"
#include "protocols/template.h"

static const char *
source_text(const struct source *source)
{
	if (source->transport != NULL)
		return transport_peer_text(source->transport);
	if (source->datagram != NULL)
		return datagram_peer_text(source->datagram);
	return source->peer_text != NULL ? source->peer_text : "";
}

static size_t
prefix_write(const struct source *source, char to[static PREFIX_MAX])
{
	const struct relay *relay = source->relay;
	char when[32] = "", member[16], seq[24];
	if (relay->prefix_has_time) {
		time_t now = time(NULL);
		struct tm utc;
		gmtime_r(&now, &utc);
		strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
	}
	snprintf(member, sizeof member, "%u", source->id);
	snprintf(seq, sizeof seq, "%llu", (unsigned long long)hub_next_line(relay->hub));
	const char *from = relay->prefix_has_peer ? source_text(source) : "";
	const struct template_word words[] = {
		{ "time", when }, { "peer", from }, { "member", member }, { "seq", seq }, { 0 },
	};
	return template_write(relay->settings->prefix, words, to, PREFIX_MAX);
}

/* False when the hub has become too small for the line. */
static bool
relay_publish(const struct source *source, const struct line_text *line)
{
	const struct relay *relay = source->relay;
	char prefix[PREFIX_MAX];
	struct hub_text text = {
		.sender = source->peer != NULL ? &source->peer->member : NULL,
		.policy = &relay->policy,
		.prefix = prefix,
		.text = line->bytes,
		.length = line->length,
	};
	if (relay->filter != NULL && !filter_passes(relay->filter, line->bytes, line->length))
		return true;
	if (relay->settings->prefix != NULL)
		text.prefix_length = prefix_write(source, prefix);
	return hub_publish(relay->hub, &text);
}

/* Does with a line what the settings say. False when its sender is not to be heard further. */
static bool
relay_take(const struct source *source, enum line_result result, const struct line_text *text)
{
	int64_t on_long_line = source->relay->settings->on_long_line;
	if (result == LINE_WHOLE && relay_publish(source, text))
		return true;
	if (result == LINE_NO_MEMORY) {
		if (source->transport != NULL)
			transport_abort(source->transport, REASON_NO_RESOURCES);
		return false;
	}
	if (source->peer != NULL)
		source->peer->long_lines++;
	if (on_long_line == ON_LONG_LINE_CUT && result == LINE_LONG)
		relay_publish(source, text);
	if (on_long_line == ON_LONG_LINE_CLOSE && source->transport != NULL)
		relay_ended(source->transport, REASON_LINE_TOO_LONG);
	return on_long_line != ON_LONG_LINE_CLOSE;
}

size_t
source_longest_line(const struct relay_settings *settings)
{
	return (size_t)settings->max_line + (settings->prefix != NULL ? PREFIX_MAX : 0) + 1;
}

/* Whether one more line may be taken now: PAUSE_NONE, PAUSE_ROOM or PAUSE_RATE. */
static enum pause
source_ask(const struct source *source, int64_t *wait_ms)
{
	const struct relay_settings *settings = source->relay->settings;
	if (!hub_has_room(source->relay->hub, source_longest_line(settings)))
		return PAUSE_ROOM;
	if (source->bucket == NULL)
		return PAUSE_NONE;
	*wait_ms = bucket_take(source->bucket, &settings->line_rate, reactor_now_ms());
	return *wait_ms > 0 ? PAUSE_RATE : PAUSE_NONE;
}

enum pause
source_take_lines(const struct source *source, const uint8_t **at, const uint8_t *end,
		  int64_t *wait_ms)
{
	const struct relay_settings *settings = source->relay->settings;
	const struct rate *rate = &settings->line_rate;
	struct line_text text;
	enum line_result result;
	while (*at != end) {
		enum pause pause = source_ask(source, wait_ms);
		if (pause != PAUSE_NONE)
			return pause;
		result = line_reader_next(source->reader, (size_t)settings->max_line, at, end,
					  &text);
		if (result == LINE_NONE && source->bucket != NULL && rate->count != 0)
			bucket_return(source->bucket, rate);
		if (result != LINE_NONE && !relay_take(source, result, &text))
			return PAUSE_ENDED;
	}
	return PAUSE_NONE;
}

static void
source_take_unended(const struct source *source)
{
	struct line_text text;
	enum line_result result =
		line_reader_last(source->reader, (size_t)source->relay->settings->max_line, &text);
	if (result != LINE_NONE)
		relay_take(source, result, &text);
	line_reader_clear(source->reader);
}

enum pause
source_take_last(const struct source *source, int64_t *wait_ms)
{
	enum pause pause = source->reader->length > 0 ? source_ask(source, wait_ms) : PAUSE_NONE;
	if (pause == PAUSE_NONE)
		source_take_unended(source);
	return pause;
}

void
source_take_all(const struct source *source, const uint8_t *at, const uint8_t *end, bool last)
{
	size_t most = (size_t)source->relay->settings->max_line;
	struct line_text text;
	enum line_result result;
	do
		result = line_reader_next(source->reader, most, &at, end, &text);
	while (result != LINE_NONE && relay_take(source, result, &text));
	if (result == LINE_NONE && last)
		source_take_unended(source);
}

/* Whether a sender of datagrams may send one more line. */
static bool
datagram_may_send(const struct source *source)
{
	struct relay *relay = source->relay;
	if (relay->datagram_rate == NULL
	    || reply_rate_take(relay->datagram_rate, datagram_peer(source->datagram),
			       reactor_now_ms()))
		return true;
	hub_count_over_rate(relay->hub);
	return false;
}

void
relay_take_datagram(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	struct line_reader reader = { 0 };
	const struct source source = {
		.relay = factory_shared(datagram_factory(datagram)),
		.reader = &reader,
		.datagram = datagram,
	};
	const uint8_t *end = bytes + length;
	struct line_text text;
	enum line_result result;
	size_t most = (size_t)source.relay->settings->max_line;
	if (source.relay->settings->role == ROLE_OUT)
		return;
	do {
		result = line_reader_next(&reader, most, &bytes, end, &text);
		if (result == LINE_NONE)
			result = line_reader_last(&reader, most, &text);
		else if (result == LINE_NO_MEMORY)
			break;
		if (result != LINE_NONE && datagram_may_send(&source)
		    && !relay_take(&source, result, &text))
			break;
	} while (result != LINE_NONE);
	line_reader_clear(&reader);
}
