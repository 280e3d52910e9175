/* reading.c - finds the sources of a configuration, and the sections in them. */
#include "config/reading.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/include.h"
#include "config/sentence.h"
#include "config/spec.h"
#include "config/suggestion.h"
#include "config/utf8.h"

static void
inifile_error(void *arg, unsigned line, const char *section, const char *key, const char *sentence)
{
	void *const *pair = arg;

	fault_add(pair[0], pair[1], line, section, key, "%s", sentence);
}

/* Makes a source without a file; takes label over. NULL when there is no memory. */
static struct source *
source_add(struct reading *reading, char *label)
{
	struct source **sources =
		reallocarray(reading->sources, reading->source_count + 1, sizeof *sources);
	struct source *source = calloc(1, sizeof *source);

	if (sources != NULL)
		reading->sources = sources;
	if (sources == NULL || source == NULL || label == NULL) {
		reading->faults.out_of_memory = true;
		free(source);
		free(label);
		return NULL;
	}
	source->origin.label = label;
	source->origin.rank = reading->source_count;
	sources[reading->source_count++] = source;
	return source;
}

static struct source *
file_add(struct reading *reading, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct source *source = source_add(reading, strdup(path));

	if (source == NULL)
		return NULL;
	if (slash != NULL) {
		source->origin.directory =
			strndup(path, slash == path ? 1 : (size_t)(slash - path));
		if (source->origin.directory == NULL)
			reading->faults.out_of_memory = true;
	}
	void *pair[] = { &reading->faults, &source->origin };
	source->file = inifile_read(path, inifile_error, pair);
	reading->files++;
	if (source->file == NULL || source->file->has_lost_section)
		reading->has_lost_section = true;
	return source;
}

/* A file that is read twice would repeat all its sections; one error says that better. */
static void
included_add(struct reading *reading, const struct source *by, unsigned line, const char *path)
{
	struct source *source = file_add(reading, path);

	if (source == NULL || source->file == NULL)
		return;
	for (size_t i = 0; i < source->origin.rank; i++) {
		const struct inifile *other = reading->sources[i]->file;
		if (other == NULL || other->device != source->file->device
		    || other->inode != source->file->inode)
			continue;
		fault_add(&reading->faults, &by->origin, line, "daemon", "include", "%s %s", path,
			  i == 0 ? "is this file itself" : "is included twice");
		inifile_free(source->file);
		source->file = NULL;
		return;
	}
}

static const struct inifile_entry *
entry_find(const struct inifile *file, const char *section, const char *key)
{
	for (size_t i = 0; file != NULL && i < file->count; i++) {
		if (strcmp(file->sections[i].name, section) != 0)
			continue;
		for (size_t k = 0; k < file->sections[i].count; k++)
			if (strcmp(file->sections[i].entries[k].key, key) == 0)
				return &file->sections[i].entries[k];
		return NULL;
	}
	return NULL;
}

void
reading_add_files(struct reading *reading, const char *path)
{
	const struct source *first = path != NULL ? file_add(reading, path) : NULL;
	const struct inifile_entry *include =
		first != NULL ? entry_find(first->file, "daemon", "include") : NULL;
	char *patterns, **names;

	/* What does not expand, or to nothing, is told when [daemon] is filled. */
	if (include == NULL)
		return;
	const char *wrong = expand(include->value, &patterns);
	if (wrong != NULL) {
		reading->has_lost_section = true;
		reading->faults.out_of_memory |= wrong == out_of_memory;
		return;
	}
	if (*patterns == '\0') {
		free(patterns);
		return;
	}
	wrong = include_find(patterns, first->origin.directory, &names);
	if (wrong != NULL) {
		/* There may be listeners in what was not found. */
		reading->has_lost_section = true;
		fault_add(&reading->faults, &first->origin, include->line, "daemon", "include",
			  "%s", wrong);
	}
	for (size_t i = 0; names != NULL && names[i] != NULL; i++)
		included_add(reading, first, include->line, names[i]);
	include_free(names);
	free(patterns);
}

/* "-L 'SPEC'", with what cannot be printed escaped. */
static char *
spec_label(const char *spec)
{
	size_t length = strlen(spec), used;
	char *label = malloc(4 * length + sizeof "-L ''"), buffer[80];
	bool is_plain = utf8_check(spec, length, buffer, sizeof buffer) == NULL;

	if (label == NULL)
		return NULL;
	used = (size_t)sprintf(label, "-L '");
	for (const unsigned char *at = (const unsigned char *)spec; *at != '\0'; at++)
		used += (size_t)sprintf(label + used,
					is_plain || (*at >= 0x20 && *at < 0x7f) ? "%c" : "\\x%02x",
					*at);
	strcpy(label + used, "'");
	return label;
}

/* Whether a section of this name is in a source before the one of this rank. */
static bool
name_taken(const struct reading *reading, size_t rank, const char *name)
{
	for (size_t i = 0; i < rank; i++) {
		const struct inifile *file = reading->sources[i]->file;
		for (size_t k = 0; file != NULL && k < file->count; k++)
			if (strcmp(file->sections[k].name, name) == 0)
				return true;
	}
	return false;
}

void
reading_add_spec(struct reading *reading, const char *spec)
{
	struct source *source = source_add(reading, spec_label(spec));

	if (source == NULL)
		return;
	source->origin.is_spec = true;
	source->file = spec_parse(spec, &source->origin, &reading->faults);
	if (source->file == NULL) {
		reading->has_lost_section = true;
		return;
	}
	struct inifile_section *section = source->file->sections;
	/* What is no name is no protocol either, and refused as that. */
	const char *base = listener_name_valid(section->name) ? section->name : "unnamed";
	char *name = NULL;
	for (unsigned number = 1; name == NULL || name_taken(reading, source->origin.rank, name);
	     number++) {
		int length;
		free(name);
		length = number == 1 ? asprintf(&name, "listener:%s", base)
				     : asprintf(&name, "listener:%s-%u", base, number);
		if (length < 0) {
			reading->faults.out_of_memory = true;
			return;
		}
	}
	free(section->name);
	section->name = name;
}

bool
listener_name_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t length = strlen(name);

	return length > 0 && length <= LISTENER_NAME_MAX && strspn(name, letters) == length
	       && *name != '_' && *name != '-';
}

/* Refuses a section that we do not know; its keys are not looked at. */
static bool
section_check(struct reading *reading, const struct placed *placed)
{
	const struct inifile_section *section = placed->section;
	const char *colon = strchr(section->name, ':');
	char type[INIFILE_NAME_MAX + 1];
	char wrong[200] = "";

	snprintf(type, sizeof type, "%.*s",
		 colon != NULL ? (int)(colon - section->name) : INIFILE_NAME_MAX, section->name);
	bool is_named = strcmp(type, "listener") == 0 || strcmp(type, "connector") == 0;
	bool is_single = strcmp(type, "daemon") == 0 || strcmp(type, "defaults") == 0;
	struct suggestion suggestion = suggestion_new(type);
	suggestion_offer(&suggestion, "daemon");
	suggestion_offer(&suggestion, "defaults");
	suggestion_offer(&suggestion, "listener");
	suggestion_offer(&suggestion, "connector");

	if (is_single && colon != NULL)
		snprintf(wrong, sizeof wrong, "this section takes no name, did you mean [%s]?",
			 type);
	else if (is_named && colon == NULL)
		snprintf(wrong, sizeof wrong, "this section needs a name: [%s:NAME]", type);
	else if (is_named && !listener_name_valid(colon + 1))
		snprintf(wrong, sizeof wrong,
			 "not a name: at most %d of a-z, 0-9, _ and -, the first a letter or "
			 "digit",
			 LISTENER_NAME_MAX);
	else if (!is_single && !is_named && suggestion.best != NULL)
		snprintf(wrong, sizeof wrong, "unknown section, did you mean [%s%s]?",
			 suggestion.best,
			 strcmp(suggestion.best, "daemon") == 0
					 || strcmp(suggestion.best, "defaults") == 0
				 ? ""
			 : colon != NULL && listener_name_valid(colon + 1) ? colon
									   : ":NAME");
	else if (!is_single && !is_named && listener_name_valid(section->name))
		snprintf(wrong, sizeof wrong, "unknown section, did you mean [listener:%s]?",
			 section->name);
	else if (!is_single && !is_named)
		snprintf(wrong, sizeof wrong,
			 "unknown section: expected [daemon], [defaults], [listener:NAME] or "
			 "[connector:NAME]");
	if (*wrong == '\0')
		return true;
	reading->has_lost_section = true;
	fault_add(&reading->faults, placed->origin, section->line, section->name, NULL, "%s",
		  wrong);
	return false;
}

static int
placed_compare(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	int order = strcmp(x->section->name, y->section->name);

	if (order != 0)
		return order;
	if (x->origin->rank != y->origin->rank)
		return x->origin->rank < y->origin->rank ? -1 : 1;
	return x->section->line < y->section->line ? -1 : x->section->line > y->section->line;
}

static void
repetition_refuse(struct reading *reading, const struct placed *first, const struct placed *again)
{
	bool same_file = first->origin == again->origin;

	fault_add(&reading->faults, again->origin, again->section->line, again->section->name, NULL,
		  "repeated section, first at %s%s%u", same_file ? "line " : first->origin->label,
		  same_file ? "" : ":", first->section->line);
}

/* Copies all sections of all sources to one array, sorted by name. */
static bool
sections_copy(struct reading *reading)
{
	size_t count = 0;
	for (size_t i = 0; i < reading->source_count; i++)
		count += reading->sources[i]->file != NULL ? reading->sources[i]->file->count : 0;
	reading->sections = calloc(count + 1, sizeof *reading->sections);
	if (reading->sections == NULL) {
		reading->faults.out_of_memory = true;
		return false;
	}
	for (size_t i = 0; i < reading->source_count; i++) {
		const struct source *source = reading->sources[i];
		for (size_t k = 0; source->file != NULL && k < source->file->count; k++)
			reading->sections[reading->section_count++] = (struct placed){
				.origin = &source->origin,
				.section = &source->file->sections[k],
			};
	}
	qsort(reading->sections, count, sizeof *reading->sections, placed_compare);
	return true;
}

void
reading_gather(struct reading *reading)
{
	size_t kept = 0;

	if (!sections_copy(reading))
		return;
	for (size_t i = 0; i < reading->section_count; i++) {
		struct placed *placed = &reading->sections[i];
		struct placed *last = kept > 0 ? &reading->sections[kept - 1] : NULL;

		if (!section_check(reading, placed))
			continue;
		if (last != NULL && strcmp(last->section->name, placed->section->name) == 0)
			repetition_refuse(reading, last, placed);
		else
			reading->sections[kept++] = *placed;
	}
	reading->section_count = kept;
}

const struct placed *
reading_find(const struct reading *reading, const char *name)
{
	for (size_t i = 0; i < reading->section_count; i++)
		if (strcmp(reading->sections[i].section->name, name) == 0)
			return &reading->sections[i];
	return NULL;
}

const struct placed *
reading_find_named(const struct reading *reading, const char *type, const char *name)
{
	char section[sizeof "connector:" + LISTENER_NAME_MAX];

	snprintf(section, sizeof section, "%s:%s", type, name);
	return reading_find(reading, section);
}
