/* expand.c - puts the environment into values. */
#include "config/expand.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/sentence.h"

/* The length of the name of a variable, 0 when there is none. */
static size_t
name_length(const char *text)
{
	size_t length = 0;

	while (text[length] == '_' || isalpha((unsigned char)text[length])
	       || (length > 0 && isdigit((unsigned char)text[length])))
		length++;
	return length;
}

/* Writes what one dollar stands for and moves *at behind it. */
static const char *
dollar_expand(const char **at, FILE *out)
{
	static _Thread_local char sentence[256];
	const char *name = *at + 2, *fallback = NULL;

	if ((*at)[1] == '$') {
		putc('$', out);
		*at += 2;
		return NULL;
	}
	if ((*at)[1] != '{')
		return "a \"$\" alone: write $$ for a dollar, ${NAME} for a variable of the environment";
	size_t length = name_length(name);
	const char *end = name + length;
	if (length > 0 && end[0] == ':' && end[1] == '-') {
		fallback = end + 2;
		end = strchr(fallback, '}');
	}
	if (length == 0 || end == NULL || *end != '}')
		return "a \"${\" that is neither ${NAME} nor ${NAME:-default}";
	if (fallback != NULL && memchr(fallback, '$', (size_t)(end - fallback)) != NULL)
		return "a \"$\" in the default of a ${NAME:-default}, where none can stand";
	char variable[256];
	if (length >= sizeof variable)
		return "a ${NAME} of more than 255 bytes";
	memcpy(variable, name, length);
	variable[length] = '\0';
	const char *value = getenv(variable);
	/* As in a shell, ":-" also stands in for an empty variable. */
	if (fallback != NULL && (value == NULL || *value == '\0')) {
		fwrite(fallback, 1, (size_t)(end - fallback), out);
	} else if (value == NULL) {
		snprintf(
			sentence, sizeof sentence,
			"${%.60s} is not set in the environment, and has no default as in ${%.60s:-default}",
			variable, variable);
		return sentence;
	} else {
		fputs(value, out);
	}
	*at = end + 1;
	return NULL;
}

const char *
expand(const char *text, char **expanded)
{
	const char *wrong = NULL;
	size_t length;

	if (strchr(text, '$') == NULL) {
		*expanded = strdup(text);
		return *expanded == NULL ? out_of_memory : NULL;
	}
	FILE *out = open_memstream(expanded, &length);
	if (out == NULL) {
		*expanded = NULL;
		return out_of_memory;
	}
	for (const char *at = text; *at != '\0' && wrong == NULL;) {
		size_t plain = strcspn(at, "$");

		fwrite(at, 1, plain, out);
		at += plain;
		if (*at == '$')
			wrong = dollar_expand(&at, out);
	}
	bool failed = ferror(out);
	if (fclose(out) != 0 || failed)
		wrong = out_of_memory;
	if (wrong != NULL) {
		free(*expanded);
		*expanded = NULL;
	}
	return wrong;
}
