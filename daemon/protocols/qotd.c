/* qotd.c - RFC 865: one quotation, picked at random, then the end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/datagram.h"
#include "net/factory.h"
#include "net/transport.h"
#include "protocols/registry.h"

/* RFC 865 asks for less than 512 characters; we count the CR LF at the end of every line too. */
enum { QUOTE_MAX = 512 };

struct qotd_settings {
	char *quote;
	struct file_text file;
};

static const struct option qotd_options[] = {
	{ "quote", OPTION_STRING, 0, offsetof(struct qotd_settings, quote), 1, QUOTE_MAX - 2, NULL,
	  NULL, "the one quotation" },
	{ "file", OPTION_FILE, 0, offsetof(struct qotd_settings, file), 0, 0, NULL, NULL,
	  "file of quotations, separated by lines of % as fortune(6) has them" },
	{ 0 },
};

/* A quotation as it goes out. */
struct quote {
	size_t length;
	char text[QUOTE_MAX];
};

/* Shared by the connections of a factory: sorted by length, so that those which fit come first. */
struct quotes {
	size_t count;
	struct quote items[];
};

/* The next line of [*at, end), without its end; moves *at behind it. False when there is none. */
static bool
line_next(const char **at, const char *end, const char **line, size_t *length)
{
	if (*at == end)
		return false;
	const char *newline = memchr(*at, '\n', (size_t)(end - *at));
	*line = *at;
	*length = (size_t)((newline != NULL ? newline : end) - *at);
	*at = newline != NULL ? newline + 1 : end;
	if (*length > 0 && (*line)[*length - 1] == '\r')
		--*length;
	return true;
}

/*
 * Takes one quotation off [*at, end), up to the line of % that ends it. quote->length is what it
 * would need, and beyond QUOTE_MAX not all of it is in text. Lines without text around it are left
 * out.
 */
static void
quote_parse(const char **at, const char *end, struct quote *quote)
{
	const char *line;
	size_t length, kept = 0;
	quote->length = 0;
	while (line_next(at, end, &line, &length) && !(length == 1 && *line == '%')) {
		bool blank = strspn(line, " \t") >= length;
		if (blank && kept == 0)
			continue;
		if (quote->length + length + 2 <= QUOTE_MAX) {
			memcpy(quote->text + quote->length, line, length);
			memcpy(quote->text + quote->length + length, "\r\n", 2);
		}
		quote->length += length + 2;
		if (!blank)
			kept = quote->length;
	}
	quote->length = kept;
}

/*
 * Calls use for every quotation of the settings; stops when it returns a sentence, and returns
 * that.
 */
static const char *
quotes_each(const struct qotd_settings *settings,
	    const char *(*use)(const struct quote *quote, size_t number, void *arg), void *arg)
{
	bool one = settings->quote != NULL;
	const char *at = one ? settings->quote : settings->file.bytes;
	const char *end = at + (one ? strlen(at) : settings->file.length);
	size_t number = 0;
	const char *wrong = NULL;
	do {
		struct quote quote;
		quote_parse(&at, end, &quote);
		wrong = use(&quote, ++number, arg);
	} while (wrong == NULL && at != end);
	return wrong;
}

static const char *
quote_check(const struct quote *quote, size_t number, void *arg)
{
	static _Thread_local char sentence[120];
	const struct qotd_settings *settings = arg;
	if (quote->length > 0 && quote->length <= QUOTE_MAX)
		return NULL;
	if (settings->quote != NULL)
		snprintf(sentence, sizeof sentence, "is %s",
			 quote->length == 0 ? "empty" : "longer than 510 characters");
	else if (quote->length == 0)
		snprintf(sentence, sizeof sentence, "quotation %zu is empty", number);
	else
		snprintf(sentence, sizeof sentence,
			 "quotation %zu is %zu characters long with its line ends, more than %d",
			 number, quote->length, QUOTE_MAX);
	return sentence;
}

static void
qotd_settings_check(const void *void_settings, const struct address_list *listen,
		    settings_error_fn *error, void *arg)
{
	const struct qotd_settings *settings = void_settings;
	const char *wrong;
	(void)listen;
	if (settings->quote == NULL && settings->file.bytes == NULL) {
		error(arg, NULL, "needs quote or file");
		return;
	}
	if (settings->quote != NULL && settings->file.bytes != NULL) {
		error(arg, NULL, "quote and file exclude each other");
		return;
	}
	wrong = quotes_each(settings, quote_check, (void *)settings);
	if (wrong != NULL)
		error(arg, settings->quote != NULL ? "quote" : "file", wrong);
}

static const char *
quote_count(const struct quote *quote, size_t number, void *arg)
{
	(void)quote;
	*(size_t *)arg = number;
	return NULL;
}

static const char *
quote_keep(const struct quote *quote, size_t number, void *arg)
{
	struct quotes *quotes = arg;
	quotes->items[number - 1] = *quote;
	quotes->count = number;
	return NULL;
}

static int
quote_compare(const void *a, const void *b)
{
	const struct quote *x = a, *y = b;
	return (x->length > y->length) - (x->length < y->length);
}

static int
qotd_factory_made(struct factory *factory)
{
	size_t count = 0;
	quotes_each(factory_settings(factory), quote_count, &count);
	struct quotes *quotes = malloc(sizeof *quotes + count * sizeof *quotes->items);
	if (quotes == NULL)
		return -1;
	quotes_each(factory_settings(factory), quote_keep, quotes);
	qsort(quotes->items, quotes->count, sizeof *quotes->items, quote_compare);
	factory_set_shared(factory, quotes);
	return 0;
}

static void
qotd_factory_lost(struct factory *factory)
{
	free(factory_shared(factory));
}

/* One of those that are at most so long; when none is, the shortest. */
static const struct quote *
quotes_pick(const struct quotes *quotes, size_t most)
{
	size_t fit = 0, beyond = quotes->count;
	while (fit < beyond) {
		size_t middle = fit + (beyond - fit) / 2;
		if (quotes->items[middle].length <= most)
			fit = middle + 1;
		else
			beyond = middle;
	}
	return &quotes->items[fit > 1 ? arc4random_uniform((uint32_t)fit) : 0];
}

static void
qotd_connection_made(struct transport *transport)
{
	const struct quote *quote =
		quotes_pick(factory_shared(transport_factory(transport)), QUOTE_MAX);
	transport_write(transport, quote->text, quote->length);
	transport_lose(transport, REASON_DONE);
}

static void
qotd_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length)
{
	(void)bytes;
	(void)length;
	const struct quote *quote = quotes_pick(factory_shared(datagram_factory(datagram)),
						datagram_reply_max(datagram));
	datagram_reply(datagram, quote->text, quote->length);
}

/* Thrown away on a stream; over UDP long enough that most quotations may be answered to it. */
static size_t
qotd_probe_request(const void *settings, uint8_t request[static PROBE_REQUEST_MAX])
{
	(void)settings;
	memset(request, '.', PROBE_REQUEST_MAX);
	return PROBE_REQUEST_MAX;
}

static enum probe_verdict
qotd_probe_check(const void *settings, const uint8_t *request, size_t request_length,
		 const uint8_t *reply, size_t reply_length, bool ended, const char **failure)
{
	(void)settings;
	(void)request;
	(void)request_length;
	(void)reply;
	*failure = reply_length == 0 ? "no quotation came" : "more than 512 bytes came";
	if (reply_length > QUOTE_MAX)
		return PROBE_FAILED;
	if (!ended)
		return PROBE_MORE;
	return reply_length > 0 ? PROBE_OK : PROBE_FAILED;
}

static const struct probe qotd_probe = {
	.request = qotd_probe_request,
	.check = qotd_probe_check,
};

const struct protocol qotd_protocol = {
	.name = "qotd",
	.summary = "sends one quotation, then closes (RFC 865)",
	.transports = PROTOCOL_STREAM | PROTOCOL_DATAGRAM,
	.options = qotd_options,
	.settings_size = sizeof(struct qotd_settings),
	.settings_check = qotd_settings_check,
	.factory_made = qotd_factory_made,
	.factory_lost = qotd_factory_lost,
	.connection_made = qotd_connection_made,
	.datagram_received = qotd_datagram_received,
	.probe = &qotd_probe,
};
