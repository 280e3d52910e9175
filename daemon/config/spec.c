/* spec.c - takes the words of a -L apart. */
#include "config/spec.h"

#include <stdlib.h>
#include <string.h>

#include "config/sentence.h"
#include "config/utf8.h"

static const char blanks[] = " \t";

struct words {
	const char *at;
	struct inifile_section *section;
	const struct origin *origin;
	struct faults *faults;
};

/* Takes key and value over. */
static void
entry_add(struct words *words, char *key, char *value)
{
	struct inifile_section *section = words->section;
	struct inifile_entry *entries =
		reallocarray(section->entries, section->count + 1, sizeof *entries);

	if (entries != NULL)
		section->entries = entries;
	if (entries == NULL || key == NULL || value == NULL) {
		words->faults->out_of_memory = true;
		free(key);
		free(value);
		return;
	}
	entries[section->count++] = (struct inifile_entry){ .key = key, .value = value };
}

/* The next word up to a blank, which the caller frees; NULL at the end or without memory. */
static char *
word_next(struct words *words)
{
	words->at += strspn(words->at, blanks);
	size_t length = strcspn(words->at, blanks);
	if (length == 0)
		return NULL;
	char *word = strndup(words->at, length);
	if (word == NULL)
		words->faults->out_of_memory = true;
	words->at += length;
	return word;
}

/* The value in quotes at words->at. */
static char *
quoted_next(struct words *words, const char *key)
{
	char *value = malloc(strlen(words->at) + 1), *to = value;
	const char *at = words->at + 1;

	if (value == NULL) {
		words->faults->out_of_memory = true;
		return NULL;
	}
	for (; *at != '\0' && *at != '"'; at++) {
		if (*at == '\\' && (at[1] == '"' || at[1] == '\\'))
			at++;
		*to++ = *at;
	}
	*to = '\0';
	const char *wrong = *at == '\0'
				    ? "a value that begins with a quote and does not end with one"
			    : at[1] != '\0' && strchr(blanks, at[1]) == NULL
				    ? "text right after the closing quote of a value"
				    : NULL;
	if (wrong != NULL) {
		fault_add(words->faults, words->origin, 0, NULL, key, "%s", wrong);
		free(value);
		value = NULL;
	}
	words->at = *at == '\0' ? at : at + 1 + strcspn(at + 1, blanks);
	return value;
}

/* The value at words->at, which the caller frees; NULL after an error. */
static char *
value_next(struct words *words, const char *key)
{
	if (*words->at == '"')
		return quoted_next(words, key);
	size_t length = strcspn(words->at, blanks);
	char *value = strndup(words->at, length);
	if (value == NULL)
		words->faults->out_of_memory = true;
	words->at += length;
	return value;
}

static const char *
key_check(const struct words *words, const char *key)
{
	if (strcmp(key, "protocol") == 0 || strcmp(key, "listen") == 0)
		return "is said already: a -L begins with PROTOCOL ADDRESS[,ADDRESS...]";
	for (size_t i = 0; i < words->section->count; i++)
		if (strcmp(words->section->entries[i].key, key) == 0)
			return "repeated key";
	return NULL;
}

static void
pair_next(struct words *words)
{
	size_t length = strcspn(words->at, " \t=");
	char quoted[QUOTED_MAX];

	if (length == 0 || words->at[length] != '=') {
		char *word = word_next(words);
		if (word != NULL)
			fault_add(words->faults, words->origin, 0, NULL, NULL,
				  "%s is not key=value", text_quote(word, quoted));
		free(word);
		return;
	}
	char *key = strndup(words->at, length);
	words->at += length + 1;
	char *value = value_next(words, key);
	const char *wrong = key == NULL || value == NULL ? NULL : key_check(words, key);
	if (wrong != NULL)
		fault_add(words->faults, words->origin, 0, NULL, key, "%s", wrong);
	if (value != NULL && wrong == NULL) {
		entry_add(words, key, value);
		return;
	}
	free(key);
	free(value);
}

static bool
words_read(struct words *words, const char *spec)
{
	char buffer[80];
	const char *wrong = utf8_check(spec, strlen(spec), buffer, sizeof buffer);

	if (wrong != NULL) {
		fault_add(words->faults, words->origin, 0, NULL, NULL, "the text has %s", wrong);
		return false;
	}
	char *protocol = word_next(words), *addresses = word_next(words);
	if (protocol == NULL || addresses == NULL) {
		fault_add(words->faults, words->origin, 0, NULL, NULL,
			  "expected PROTOCOL ADDRESS[,ADDRESS...] [key=value...]");
		free(protocol);
		free(addresses);
		return false;
	}
	words->section->name = strdup(protocol);
	if (words->section->name == NULL)
		words->faults->out_of_memory = true;
	entry_add(words, strdup("protocol"), protocol);
	entry_add(words, strdup("listen"), addresses);
	while (words->at += strspn(words->at, blanks), *words->at != '\0')
		pair_next(words);
	return words->section->name != NULL;
}

struct inifile *
spec_parse(const char *spec, const struct origin *origin, struct faults *faults)
{
	struct inifile *file = calloc(1, sizeof *file);
	struct words words = { .at = spec, .origin = origin, .faults = faults };

	if (file != NULL)
		file->sections = words.section = calloc(1, sizeof *file->sections);
	if (words.section == NULL) {
		faults->out_of_memory = true;
		free(file);
		return NULL;
	}
	file->count = 1;
	if (words_read(&words, spec))
		return file;
	inifile_free(file);
	return NULL;
}
