/* fault.c - puts errors into words with their places, and into order. */
#include "config/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "config/sentence.h"

static void
text_add(struct faults *faults, const struct origin *origin, unsigned line, char *text)
{
	struct fault *items = array_grow(faults->items, faults->count, sizeof *items);

	if (items == NULL) {
		free(text);
		faults->out_of_memory = true;
		return;
	}
	faults->items = items;
	items[faults->count] = (struct fault){
		.rank = origin->rank,
		.line = line,
		.number = faults->count,
		.text = text,
	};
	faults->count++;
}

void
fault_add(struct faults *faults, const struct origin *origin, unsigned line, const char *section,
	  const char *key, const char *format, ...)
{
	char *sentence, *place, *text;
	va_list arguments;

	va_start(arguments, format);
	int length = vasprintf(&sentence, format, arguments);
	va_end(arguments);
	if (length < 0) {
		faults->out_of_memory = true;
		return;
	}
	bool has_section = section != NULL && !origin->is_spec;
	place = place_format(origin, line);
	length = place == NULL
			 ? -1
			 : asprintf(&text, "%s: %s%s%s%s%s%s%s", place, has_section ? "[" : "",
				    has_section ? section : "", has_section ? "]" : "",
				    has_section && key != NULL ? " " : "", key != NULL ? key : "",
				    has_section || key != NULL ? ": " : "", sentence);
	if (length < 0)
		faults->out_of_memory = true;
	else
		text_add(faults, origin, line, text);
	free(place);
	free(sentence);
}

char *
place_format(const struct origin *origin, unsigned line)
{
	char *place;
	int length = line == 0 ? asprintf(&place, "%s", origin->label)
			       : asprintf(&place, "%s:%u", origin->label, line);

	return length < 0 ? NULL : place;
}

static int
fault_compare(const void *a, const void *b)
{
	const struct fault *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

bool
faults_finish(struct faults *faults, struct config_errors *errors)
{
	bool any = faults->count > 0 || faults->out_of_memory;
	char **lines = reallocarray(NULL, faults->count + 1, sizeof *lines);

	if (lines == NULL)
		faults->out_of_memory = any = true;
	if (faults->count > 0)
		qsort(faults->items, faults->count, sizeof *faults->items, fault_compare);
	for (size_t i = 0; i < faults->count; i++) {
		if (lines != NULL)
			lines[errors->count++] = faults->items[i].text;
		else
			free(faults->items[i].text);
	}
	if (lines != NULL) {
		free(errors->lines);
		errors->lines = lines;
	}
	/*
	 * Said even when nothing can be allocated: config_errors_print does it for no line at all.
	 */
	char *last = faults->out_of_memory && errors->lines != NULL ? strdup(out_of_memory) : NULL;
	if (last != NULL)
		errors->lines[errors->count++] = last;
	free(faults->items);
	*faults = (struct faults){ 0 };
	return any;
}

void
config_errors_add(struct config_errors *errors, const char *format, ...)
{
	char **lines = reallocarray(errors->lines, errors->count + 1, sizeof *lines);
	va_list arguments;
	int length;

	if (lines == NULL)
		return;
	errors->lines = lines;
	va_start(arguments, format);
	length = vasprintf(&lines[errors->count], format, arguments);
	va_end(arguments);
	if (length >= 0)
		errors->count++;
}

void
config_errors_print(const struct config_errors *errors, const char *path, FILE *out)
{
	size_t count = errors->count > 0 ? errors->count : 1;

	for (size_t i = 0; i < count; i++)
		fprintf(out, "%s\n",
			i < errors->count ? errors->lines[i] : out_of_memory);
	fprintf(out, "%s: %zu error%s\n", path != NULL ? path : "command line", count,
		count == 1 ? "" : "s");
}

void
config_errors_clear(struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		free(errors->lines[i]);
	free(errors->lines);
	*errors = (struct config_errors){ 0 };
}
