/* relay_settings.c - the keys of a relay. */
#include "protocols/relay_settings.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "net/address.h"
#include "protocols/filter.h"
#include "protocols/template.h"

/* Of the ring, besides two of the longest lines. */
enum { RING_MARGIN = 2 * (PREFIX_MAX + 2) };

static const char *const role_names[] = { "in", "out", "both", NULL };
static const char *const on_long_line_names[] = { "drop", "cut", "close", NULL };
static const char *const line_end_names[] = { "lf", "crlf", NULL };
static const char *const on_slow_names[] = { "drop", "close", NULL };

#define FIELD(name) offsetof(struct relay_settings, name)

const struct option relay_options[] = {
	{ "hub", OPTION_STRING, 0, FIELD(hub), 1, HUB_NAME_MAX, NULL, NULL,
	  "all that name the same hub share it; unset: the name of the section" },
	{ "role", OPTION_CHOICE, 0, FIELD(role), 0, 0, role_names, "both",
	  "in: peers only send to the hub; out: they only receive" },
	{ "loopback", OPTION_BOOL, 0, FIELD(loopback), 0, 1, NULL, "no",
	  "a sender gets its own lines too" },
	{ "max_line", OPTION_SIZE, 0, FIELD(max_line), 1, 65536, NULL, "8K",
	  "longest line, without its end" },
	{ "on_long_line", OPTION_CHOICE, 0, FIELD(on_long_line), 0, 0, on_long_line_names, "drop",
	  "what is done with a longer one; close: with its sender" },
	{ "line_end", OPTION_CHOICE, 0, FIELD(line_end), 0, 0, line_end_names, "lf",
	  "what ends the lines that peers get; both are always read" },
	{ "history", OPTION_NUMBER, 0, FIELD(history), 0, 1000000, NULL, "0",
	  "lines sent to whoever joins, as far as the buffer has them" },
	{ "history_age", OPTION_DURATION, OPTION_MAY_NONE, FIELD(history_age), 1, 31536000000, NULL,
	  "none", "how old those lines may be; without history: all that are not older" },
	{ "buffer", OPTION_SIZE, OPTION_SHARED, FIELD(buffer), 4096, 1 << 30, NULL, "1M",
	  "the ring of the last lines; all sections of a hub say the same" },
	{ "on_slow", OPTION_CHOICE, 0, FIELD(on_slow), 0, 0, on_slow_names, "drop",
	  "a member that is more than the buffer behind loses lines, or is closed" },
	{ "filter", OPTION_STRING, OPTION_MAY_NONE, FIELD(filter), 1, FILTER_MAX, NULL, "none",
	  "lines that peers may send and get: +text, -text, /regex/, -/regex/ in order" },
	{ "line_rate", OPTION_RATE, OPTION_MAY_NONE, FIELD(line_rate), 1, 10000000, NULL, "none",
	  "lines that one peer may send; who sends more is not read" },
	{ "drop_notice", OPTION_STRING, OPTION_MAY_NONE, FIELD(drop_notice), 1, TEMPLATE_MAX, NULL,
	  "none", "line sent to a member that has lost lines; {n} is how many" },
	{ "prefix", OPTION_STRING, OPTION_MAY_NONE, FIELD(prefix), 1, TEMPLATE_MAX, NULL, "none",
	  "text before each line, with {time} {peer} {member} {seq}; quotes around it keep blanks" },
	{ "greeting", OPTION_STRING, OPTION_MAY_NONE, FIELD(greeting), 1, TEMPLATE_MAX, NULL,
	  "none", "line sent to whoever joins" },
	{ 0 },
};

static const struct template_word prefix_words[] = {
	{ "time", "" }, { "peer", "" }, { "member", "" }, { "seq", "" }, { 0 },
};
static const struct template_word notice_words[] = { { "n", "" }, { 0 } };

/* The words in braces that a text has and must not have. */
static void
template_check(const char *key, const char *text, const struct template_word *words,
	       settings_error_fn *error, void *arg)
{
	const char *unknown = text == NULL ? NULL : template_find_unknown(text, words);
	char sentence[320];
	if (unknown == NULL)
		return;
	snprintf(sentence, sizeof sentence, "%.*s is none of the words it may have",
		 (int)strcspn(unknown, "}") + 1, unknown);
	error(arg, key, sentence);
}

/* Whoever begins with a quote means to keep what is behind it. */
static void
quotes_check(const char *key, const char *text, settings_error_fn *error, void *arg)
{
	if (text != NULL && template_is_open(text))
		error(arg, key,
		      "begins with a quote and does not end with one "
		      "(a \";\" after a blank begins a comment)");
}

static bool
hub_name_is_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	return name[strspn(name, letters)] == '\0' && *name != '_' && *name != '-';
}

static void
filter_check(const char *text, settings_error_fn *error, void *arg)
{
	struct filter *filter = NULL;
	const char *wrong = text != NULL ? filter_parse(text, &filter) : NULL;
	filter_free(filter);
	if (wrong != NULL)
		error(arg, "filter", wrong);
}

/* Who sends datagrams has no connection on which lines could go back. */
static void
role_check(const struct relay_settings *settings, const struct address_list *listen,
	   settings_error_fn *error, void *arg)
{
	char sentence[400];

	for (size_t i = 0; settings->role == ROLE_OUT && i < listen->count; i++) {
		if (!address_is_datagram(listen->items[i].kind))
			continue;
		snprintf(sentence, sizeof sentence,
			 "\"%s\" is for datagrams, which are only received there: "
			 "expected role = in or both",
			 listen->items[i].text);
		error(arg, "role", sentence);
		return;
	}
}

void
relay_settings_check(const void *void_settings, const struct address_list *listen,
		     settings_error_fn *error, void *arg)
{
	const struct relay_settings *settings = void_settings;
	long long least = (long long)(2 * settings->max_line + RING_MARGIN);
	char sentence[120];
	if (listen != NULL)
		role_check(settings, listen, error, arg);
	if (settings->buffer < least) {
		snprintf(sentence, sizeof sentence,
			 "must have %lld bytes at least: twice max_line + %d", least, RING_MARGIN);
		error(arg, "buffer", sentence);
	}
	if (settings->hub != NULL && !hub_name_is_valid(settings->hub))
		error(arg, "hub", "not a name: a-z, 0-9, _ and -, the first a letter or digit");
	filter_check(settings->filter, error, arg);
	quotes_check("prefix", settings->prefix, error, arg);
	quotes_check("drop_notice", settings->drop_notice, error, arg);
	quotes_check("greeting", settings->greeting, error, arg);
	template_check("prefix", settings->prefix, prefix_words, error, arg);
	template_check("drop_notice", settings->drop_notice, notice_words, error, arg);
}
