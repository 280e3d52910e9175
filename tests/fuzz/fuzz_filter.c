/*
 * fuzz_filter.c - reads rules and judges lines by them: where there is no regular expression, as a
 * second, simple reader does. The first line of an input is the rules, and each of the others a
 * line.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/utf8.h"
#include "protocols/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { RULES_MAX = 64 };

struct simple_rule {
	bool passes;
	char text[4096];
	size_t length;
};

enum simple_verdict { SIMPLE_GOOD, SIMPLE_BAD, SIMPLE_UNKNOWN };

struct simple_filter {
	struct simple_rule rules[RULES_MAX];
	size_t count;
};

/* What stands at the begin of a text is read up to where the next rule would begin, or NULL. */
static const char *
simple_text(const char *at, struct simple_rule *rule)
{
	bool quoted = *at == '"';

	rule->length = 0;
	for (at += quoted; *at != '\0' && *at != (quoted ? '"' : ','); at++) {
		if (quoted && *at == '\\' && (at[1] == '\\' || at[1] == '"'))
			at++;
		rule->text[rule->length++] = *at;
	}
	if (quoted && *at++ == '\0')
		return NULL;
	while (!quoted && rule->length > 0
	       && (rule->text[rule->length - 1] == ' ' || rule->text[rule->length - 1] == '\t'))
		rule->length--;
	while (*at == ' ' || *at == '\t')
		at++;
	return rule->length == 0 || (*at != '\0' && *at != ',') ? NULL : at;
}

static enum simple_verdict
simple_parse(const char *at, struct simple_filter *filter)
{
	filter->count = 0;
	for (;; at++) {
		struct simple_rule *rule = &filter->rules[filter->count];

		while (*at == ' ' || *at == '\t')
			at++;
		if (*at == '/' || (*at != '\0' && at[1] == '/') || filter->count == RULES_MAX)
			return SIMPLE_UNKNOWN;
		if (*at != '+' && *at != '-')
			return SIMPLE_BAD;
		rule->passes = *at == '+';
		at = simple_text(at + 1, rule);
		if (at == NULL)
			return SIMPLE_BAD;
		filter->count++;
		if (*at == '\0')
			return SIMPLE_GOOD;
	}
}

static bool
simple_passes(const struct simple_filter *filter, const uint8_t *line, size_t length)
{
	for (size_t i = 0; i < filter->count; i++) {
		const struct simple_rule *rule = &filter->rules[i];
		size_t same = 0;

		while (same < rule->length && same < length && rule->text[same] == (char)line[same])
			same++;
		if (same == rule->length)
			return rule->passes;
	}
	return !filter->rules[filter->count - 1].passes;
}

/* A line in memory that ends where it ends. */
static void
line_try(const struct filter *filter, const struct simple_filter *simple, const uint8_t *bytes,
	 size_t length)
{
	uint8_t *line = malloc(length);
	bool passes;

	if (line == NULL)
		return;
	memcpy(line, bytes, length);
	passes = filter_passes(filter, line, length);
	if (simple != NULL && passes != simple_passes(simple, line, length))
		abort();
	if (passes != filter_passes(filter, line, length))
		abort();
	free(line);
}

/* What is printed must be fit to be printed, if the rules were. */
static void
sentence_check(const char *rules, const char *wrong)
{
	char buffer[80];

	if (utf8_check(rules, strlen(rules), buffer, sizeof buffer) == NULL
	    && utf8_check(wrong, strlen(wrong), buffer, sizeof buffer) != NULL)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct simple_filter simple;
	const uint8_t *end = length > 0 ? memchr(bytes, '\n', length) : NULL;
	size_t size = end != NULL ? (size_t)(end - bytes) : length;
	struct filter *filter = NULL;
	enum simple_verdict verdict;
	const char *wrong;
	char *rules;

	if (size > 3900)
		return 0;
	rules = malloc(size + 1);
	if (rules == NULL)
		return 0;
	memcpy(rules, bytes, size);
	rules[size] = '\0';
	verdict = simple_parse(rules, &simple);
	wrong = filter_parse(rules, &filter);
	if (verdict != SIMPLE_UNKNOWN && (wrong == NULL) != (verdict == SIMPLE_GOOD))
		abort();
	if (wrong != NULL)
		sentence_check(rules, wrong);
	while (wrong == NULL && end != NULL) {
		const uint8_t *begin = end + 1;
		size_t left = length - (size_t)(begin - bytes);

		end = left > 0 ? memchr(begin, '\n', left) : NULL;
		line_try(filter, verdict == SIMPLE_GOOD ? &simple : NULL, begin,
			 end != NULL ? (size_t)(end - begin) : left);
	}
	filter_free(filter);
	free(rules);
	return 0;
}
