/*
 * fuzz_pattern.c - parses a regular expression, and looks for it in lines: both as regcomp(3) and
 * regexec(3) do, where those take but little. The first line of an input is the expression.
 */
#include <regex.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocols/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { STEPS_COMPARED = 50, OPERATORS_COMPARED = 4, LINE_COMPARED = 100 };

/* Each operator can multiply the time that regcomp takes, which is 15 s for (.?$)+++++ already. */
static bool
is_cheap(const char *text)
{
	size_t operators = 0;

	for (; *text != '\0'; text++) {
		operators += strchr("*+?", *text) != NULL;
		operators += *text == '{' ? OPERATORS_COMPARED - 1 : 0;
		if ((*text == '{' || *text == ',') && strspn(text + 1, "0123456789") > 1)
			return false;
	}
	return operators <= OPERATORS_COMPARED;
}

/* Whether the system is to be asked, too, about what we have found out. */
static bool
is_compared(const char *text, const struct pattern *pattern, const char *wrong)
{
	if (!is_cheap(text))
		return false;
	if (wrong == NULL)
		return pattern_steps(pattern) <= STEPS_COMPARED;
	return strchr(text, '{') == NULL && strstr(wrong, "too large") == NULL
	       && strstr(wrong, "back-reference") == NULL && strstr(wrong, "more than 200") == NULL;
}

static void
line_try(struct pattern *pattern, regex_t *regex, const uint8_t *bytes, size_t length)
{
	uint8_t *line = malloc(length);
	bool fits;

	if (line == NULL)
		return;
	memcpy(line, bytes, length);
	fits = pattern_fits(pattern, line, length);
	if (regex != NULL && length <= LINE_COMPARED) {
		/* regexec with REG_STARTEND, which the sanitizers do not know. */
		regoff_t found =
			re_search(regex, (char *)line, (regoff_t)length, 0, (regoff_t)length, NULL);

		if (found != -2 && fits != (found >= 0))
			abort();
	}
	free(line);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	const uint8_t *end = length > 0 ? memchr(bytes, '\n', length) : NULL;
	size_t size = end != NULL ? (size_t)(end - bytes) : length;
	struct pattern *pattern = NULL;
	regex_t regex;
	bool compares;
	const char *wrong;
	char *text;

	if (size > 3900)
		return 0;
	text = malloc(size + 1);
	if (text == NULL)
		return 0;
	memcpy(text, bytes, size);
	text[size] = '\0';
	wrong = pattern_parse(text, PATTERN_STEPS_MAX, &pattern);
	if (wrong == NULL && pattern_steps(pattern) > PATTERN_STEPS_MAX)
		abort();
	compares = is_compared(text, pattern, wrong);
	if (compares) {
		int error = regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);

		if ((error == 0) != (wrong == NULL))
			abort();
		compares = error == 0;
	}
	while (wrong == NULL && end != NULL) {
		const uint8_t *begin = end + 1;
		size_t left = length - (size_t)(begin - bytes);

		end = left > 0 ? memchr(begin, '\n', left) : NULL;
		line_try(pattern, compares ? &regex : NULL, begin,
			 end != NULL ? (size_t)(end - begin) : left);
	}
	if (compares)
		regfree(&regex);
	pattern_free(pattern);
	free(text);
	return 0;
}
