/* filter.c - which lines pass: rules in order, by how a line begins or by a regular expression. */
#include "protocols/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/pattern.h"

struct rule {
	bool passes;
	char *text;		/* what a line begins with */
	size_t length;
	struct pattern *pattern;	/* or what is found in it */
};

struct filter {
	size_t count, steps;
	struct rule *rules;
};

/* `+"a, b" is wrong`, of the rule that begins at `at`; with what could not be shown left out. */
static const char *
sentence(const char *at, size_t length, const char *why)
{
	static _Thread_local char text[300];
	while (length > 0 && strchr(" \t", at[length - 1]) != NULL)
		length--;
	bool is_long = length > 100;
	if (is_long)
		length = 100;
	/* Not within a character of UTF-8. */
	while (is_long && length > 0 && ((unsigned char)at[length] & 0xc0) == 0x80)
		length--;
	snprintf(text, sizeof text, "%.*s%s %s", (int)length, at, is_long ? "..." : "", why);
	return text;
}

/*
 * Finds the end of a text up to its delimiter, before which a backslash protects that and itself.
 * Returns a copy without those backslashes (a regular expression keeps its others), and moves *at
 * behind it; NULL: no memory, or *at is at the end, for it does not close.
 */
static char *
delimited_take(const char **at, char delimiter)
{
	char *copy = malloc(strlen(*at) + 1);
	size_t length = 0;
	if (copy == NULL)
		return NULL;
	for (*at += 1; **at != '\0' && **at != delimiter; *at += 1) {
		bool protects =
			**at == '\\'
			&& ((*at)[1] == delimiter || (delimiter == '"' && (*at)[1] == '\\'));
		/* Of a regular expression two backslashes are one that means itself. */
		if (!protects && **at == '\\' && (*at)[1] != '\0')
			copy[length++] = *(*at)++;
		else if (protects)
			*at += 1;
		copy[length++] = **at;
	}
	if (**at == '\0') {
		free(copy);
		return NULL;
	}
	*at += 1;
	copy[length] = '\0';
	return copy;
}

/* Takes a text that ends at a comma, or is in quotes. */
static const char *
text_take(const char **at, struct rule *rule)
{
	const char *begin = *at;
	if (*begin == '"') {
		rule->text = delimited_take(at, '"');
		if (rule->text == NULL)
			return **at == '\0' ? "has a quote that does not close" : pattern_no_memory;
	} else {
		size_t length = strcspn(begin, ",");
		*at += length;
		while (length > 0 && strchr(" \t", begin[length - 1]) != NULL)
			length--;
		rule->text = strndup(begin, length);
		if (rule->text == NULL)
			return pattern_no_memory;
	}
	rule->length = strlen(rule->text);
	return rule->length > 0 ? NULL : "has no text, which every line would begin with";
}

static const char *
regex_take(struct filter *filter, const char **at, struct rule *rule)
{
	char *text = delimited_take(at, '/');
	if (text == NULL)
		return **at == '\0' ? "does not end in a slash" : pattern_no_memory;
	const char *wrong = pattern_parse(text, PATTERN_STEPS_MAX - filter->steps, &rule->pattern);
	free(text);
	if (wrong == NULL)
		filter->steps += pattern_steps(rule->pattern);
	return wrong;
}

/* Takes a rule and what may stand behind it up to a comma. */
static const char *
rule_take(struct filter *filter, const char **at, struct rule *rule)
{
	const char *wrong;
	rule->passes = **at != '-';
	if (**at == '+' || **at == '-')
		*at += 1;
	else if (**at != '/')
		return "is none of +text, -text, /regex/ and -/regex/";
	wrong = **at == '/' ? regex_take(filter, at, rule) : text_take(at, rule);
	if (wrong != NULL)
		return wrong;
	*at += strspn(*at, " \t");
	return **at == '\0' || **at == ',' ? NULL : "has something behind its end";
}

/* The next rule of a text, put behind the others. */
static const char *
filter_add(struct filter *filter, const char **at)
{
	struct rule *rules = reallocarray(filter->rules, filter->count + 1, sizeof *rules);
	const char *begin = *at, *wrong;
	if (rules == NULL)
		return pattern_no_memory;
	filter->rules = rules;
	memset(&rules[filter->count], 0, sizeof *rules);
	wrong = **at == '\0' || **at == ',' ? "" : rule_take(filter, at, &rules[filter->count]);
	filter->count++;
	if (wrong == NULL)
		return NULL;
	if (*wrong == '\0')
		return "has an empty rule: a comma too many";
	return wrong == pattern_no_memory
		       ? wrong
		       : sentence(begin,
				  (*at == begin || **at == '\0') ? strlen(begin)
								 : (size_t)(*at - begin),
				  wrong);
}

const char *
filter_parse(const char *text, struct filter **made)
{
	struct filter *filter = calloc(1, sizeof *filter);
	const char *at = text, *wrong;
	if (filter == NULL)
		return pattern_no_memory;
	for (;;) {
		at += strspn(at, " \t");
		wrong = filter_add(filter, &at);
		if (wrong != NULL || *at == '\0')
			break;
		at++;
	}
	if (wrong != NULL) {
		filter_free(filter);
		return wrong;
	}
	*made = filter;
	return NULL;
}

void
filter_free(struct filter *filter)
{
	if (filter == NULL)
		return;
	for (size_t i = 0; i < filter->count; i++) {
		free(filter->rules[i].text);
		pattern_free(filter->rules[i].pattern);
	}
	free(filter->rules);
	free(filter);
}

static bool
rule_fits(const struct rule *rule, const void *line, size_t length)
{
	if (rule->pattern != NULL)
		return pattern_fits(rule->pattern, line, length);
	return length >= rule->length && memcmp(line, rule->text, rule->length) == 0;
}

bool
filter_passes(const struct filter *filter, const void *line, size_t length)
{
	for (size_t i = 0; i < filter->count; i++)
		if (rule_fits(&filter->rules[i], line, length))
			return filter->rules[i].passes;
	return !filter->rules[filter->count - 1].passes;
}
