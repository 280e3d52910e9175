/* daytime.c - RFC 867: one line that says the date and the time, then the end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net/datagram.h"
#include "net/factory.h"
#include "net/transport.h"
#include "protocols/registry.h"
#include "protocols/zone.h"

enum {
	TEXT_MAX = 200,				/* of the line, without its end */
	LINE_MAX_LENGTH = TEXT_MAX + 2 + 1,	/* CR LF NUL */
	REPLY_EXEMPT = 40,			/* the default format needs 33 */
};

struct daytime_settings {
	char *format;
	char *timezone;
};

static const struct option daytime_options[] = {
	{ "format", OPTION_STRING, 0, offsetof(struct daytime_settings, format), 1, TEXT_MAX, NULL,
	  "%a, %d %b %Y %H:%M:%S %z", "the line, in the conversions of strftime(3)" },
	{ "timezone", OPTION_STRING, 0, offsetof(struct daytime_settings, timezone), 1, 100, NULL,
	  "UTC", "the place whose time it is, such as Europe/Berlin" },
	{ 0 },
};

/*
 * Writes the line with CR LF and a NUL behind; returns its length without that, 0 when it is too
 * long. %s is ours: strftime(3) would compute it by the process's own zone.
 */
static size_t
line_format(const char *format, time_t now, const struct tm *local,
	    char line[static LINE_MAX_LENGTH])
{
	char expanded[TEXT_MAX * 12], *to = expanded;
	for (const char *at = format; *at != '\0'; at++) {
		*to++ = *at;
		if (*at != '%')
			continue;
		if (*++at == 's')
			to += sprintf(to - 1, "%lld", (long long)now) - 1;
		else
			*to++ = *at;
	}
	memcpy(to, "\r\n", 3);
	return strftime(line, LINE_MAX_LENGTH, expanded, local);
}

static size_t
line_now(const struct zone *zone, const struct daytime_settings *settings,
	 char line[static LINE_MAX_LENGTH])
{
	time_t now = time(NULL);
	struct tm local;
	zone_time(zone, now, &local);
	return line_format(settings->format, now, &local, line);
}

/* NULL, or the conversion that strftime(3) would not know, or would not do for a zone of ours. */
static const char *
format_find_wrong(const char *format)
{
	const char *at = format;
	while ((at = strchr(at, '%')) != NULL) {
		const char *begin = at++;
		if (*at == 's') {
			at++;
			continue;
		}
		at += strspn(at, "_-0^#");
		at += strspn(at, "0123456789");
		if (*at == 'E' || *at == 'O')
			at++;
		if (*at == '\0' || strchr("aAbBcCdDeFgGhHIjklmMpPrRSTuUVwWxXyYzZ%", *at) == NULL)
			return begin;
		at++;
	}
	return NULL;
}

/* Whether the line is sendable on every day: names of months and days differ in length. */
static const char *
format_check(const char *format, const struct zone *zone)
{
	static _Thread_local char sentence[120];
	const char *wrong = format_find_wrong(format);
	if (wrong != NULL) {
		snprintf(sentence, sizeof sentence, "\"%.10s\" is not a conversion of strftime(3)",
			 wrong);
		return sentence;
	}
	for (int month_and_day = 0; month_and_day < 12 * 7; month_and_day++) {
		char line[LINE_MAX_LENGTH];
		struct tm local = { .tm_year = 126,
				    .tm_mon = month_and_day / 7,
				    .tm_wday = month_and_day % 7,
				    .tm_mday = 28,
				    .tm_hour = 23,
				    .tm_min = 59,
				    .tm_sec = 59,
				    .tm_yday = 364,
				    .tm_gmtoff = -12 * 3600,
				    .tm_zone = zone_longest_name(zone) };
		size_t length = line_format(format, INT32_MAX, &local, line);
		if (length == 0)
			return "gives a line of more than 200 characters";
		if (length == 2)
			return "gives an empty line";
		for (size_t i = 0; i < length - 2; i++)
			if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
				return "gives a line with control characters";
	}
	return NULL;
}

static void
daytime_settings_check(const void *void_settings, const struct address_list *listen,
		       settings_error_fn *error, void *arg)
{
	char sentence[240];
	const struct daytime_settings *settings = void_settings;
	struct zone *zone;
	const char *wrong = zone_load(settings->timezone, &zone);
	(void)listen;
	if (wrong != NULL) {
		snprintf(sentence, sizeof sentence, "\"%s\" %s", settings->timezone, wrong);
		error(arg, "timezone", sentence);
		return;
	}
	wrong = format_check(settings->format, zone);
	if (wrong != NULL)
		error(arg, "format", wrong);
	zone_free(zone);
}

static int
daytime_factory_made(struct factory *factory)
{
	const struct daytime_settings *settings = factory_settings(factory);
	struct zone *zone;
	if (zone_load(settings->timezone, &zone) != NULL) {
		errno = ENOENT;
		return -1;
	}
	factory_set_shared(factory, zone);
	return 0;
}

static void
daytime_factory_lost(struct factory *factory)
{
	zone_free(factory_shared(factory));
}

static void
daytime_connection_made(struct transport *transport)
{
	char line[LINE_MAX_LENGTH];
	size_t length = line_now(factory_shared(transport_factory(transport)),
				 transport_settings(transport), line);
	transport_write(transport, line, length);
	transport_lose(transport, REASON_DONE);
}

static void
daytime_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	(void)bytes;
	(void)length;
	char line[LINE_MAX_LENGTH];
	datagram_reply(datagram, line,
		       line_now(factory_shared(datagram_factory(datagram)),
				datagram_settings(datagram), line));
}

/* Thrown away on a stream; over UDP long enough that a line may be answered to it. */
static size_t
daytime_probe_request(const void *settings, uint8_t request[static PROBE_REQUEST_MAX])
{
	(void)settings;
	memset(request, '.', TEXT_MAX + 2);
	return TEXT_MAX + 2;
}

static enum probe_verdict
daytime_probe_check(const void *settings, const uint8_t *request, size_t request_length,
		    const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	(void)settings;
	(void)request;
	(void)request_length;
	if (reply_length > TEXT_MAX + 2) {
		*failure = "the line is too long";
		return PROBE_FAILED;
	}
	if (!ended)
		return PROBE_MORE;
	if (reply_length < 3 || memchr(reply, '\r', reply_length) != reply + reply_length - 2
	    || reply[reply_length - 1] != '\n') {
		*failure = "what came is not one line with CR LF";
		return PROBE_FAILED;
	}
	return PROBE_OK;
}

static const struct probe daytime_probe = {
	.request = daytime_probe_request,
	.check = daytime_probe_check,
};

const struct protocol daytime_protocol = {
	.name = "daytime",
	.summary = "sends the date and time in one line, then closes (RFC 867)",
	.transports = PROTOCOL_STREAM | PROTOCOL_DATAGRAM,
	.options = daytime_options,
	.settings_size = sizeof(struct daytime_settings),
	.reply_exempt = REPLY_EXEMPT,
	.settings_check = daytime_settings_check,
	.factory_made = daytime_factory_made,
	.factory_lost = daytime_factory_lost,
	.connection_made = daytime_connection_made,
	.datagram_received = daytime_datagram_received,
	.probe = &daytime_probe,
};
