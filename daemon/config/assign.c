/* assign.c - the one place that knows keys, rows and places together. */
#include "config/assign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/sentence.h"
#include "config/suggestion.h"
#include "config/value.h"

const struct inifile_entry *
section_entry(const struct placed *placed, const char *key)
{
	for (size_t i = 0; placed->section != NULL && i < placed->section->count; i++)
		if (strcmp(placed->section->entries[i].key, key) == 0)
			return &placed->section->entries[i];
	return NULL;
}

static void
entry_fault(struct faults *faults, const struct placed *placed, const struct inifile_entry *entry,
	    const char *sentence)
{
	fault_add(faults, placed->origin, entry->line, placed->section->name, entry->key, "%s",
		  sentence);
}

/* A file's text is its whole path, so that it means the same wherever a dump is read. */
static bool
file_text_keep(const struct option *row, const void *settings, char **text)
{
	const struct file_text *file = (const void *)((const char *)settings + row->offset);

	if (file->path == NULL)
		return true;
	free(*text);
	*text = strdup(file->path);
	return *text != NULL;
}

/* Takes text over. NULL, or a sentence. */
static const char *
field_set(const struct option *row, void *settings, char *value, const char *directory, char **text)
{
	const char *wrong = value_set(row, settings, value, directory);

	if (wrong != NULL) {
		free(value);
		return wrong;
	}
	free(*text);
	*text = value;
	if (row->type == OPTION_FILE && !file_text_keep(row, settings, text))
		return out_of_memory;
	return NULL;
}

bool
row_assign(struct faults *faults, const struct placed *placed, const struct inifile_entry *entry,
	   const struct option *row, void *settings, char **text)
{
	char *value, buffer[80], sentence[160];
	const char *wrong = expand(entry->value, &value);

	if (wrong != NULL) {
		entry_fault(faults, placed, entry, wrong);
		return false;
	}
	wrong = inifile_value_check(entry->key, value, buffer, sizeof buffer);
	if (wrong != NULL) {
		snprintf(sentence, sizeof sentence, "%s has %s",
			 strchr(entry->value, '$') != NULL ? "with its variables put in, the value"
							   : "the value",
			 wrong);
		entry_fault(faults, placed, entry, sentence);
		free(value);
		return false;
	}
	wrong = field_set(row, settings, value, placed->origin->directory, text);
	if (wrong != NULL)
		entry_fault(faults, placed, entry, wrong);
	return wrong == NULL;
}

bool
row_inherit(struct faults *faults, const struct placed *placed, const struct option *row,
	    const char *value, const char *directory, void *settings, char **text)
{
	char *copy = strdup(value);
	const char *wrong =
		copy == NULL ? out_of_memory : field_set(row, settings, copy, directory, text);

	/*
	 * Inherited values were taken once before, so this is about memory, or a file that went
	 * away.
	 */
	if (wrong != NULL)
		fault_add(faults, placed->origin,
			  placed->section != NULL ? placed->section->line : 0,
			  placed->section != NULL ? placed->section->name : NULL, row->name, "%s",
			  wrong);
	return wrong == NULL;
}

/* "proxy" or "proxy and relay": whose option a key is; empty: nobody's. */
static const char *
owners_format(const char *key, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (size_t i = 0; protocols[i] != NULL && used < size; i++)
		if (option_find(protocols[i]->options, key) != NULL)
			used += (size_t)snprintf(buffer + used, size - used, "%s%s",
						 used > 0 ? " and " : "", protocols[i]->name);
	return buffer;
}

static void
table_offer(struct suggestion *suggestion, const struct option *table)
{
	for (const struct option *row = table; row != NULL && row->name != NULL; row++)
		suggestion_offer(suggestion, row->name);
}

static bool
takes_protocol_keys(enum section_type type)
{
	return type == SECTION_LISTENER || type == SECTION_CONNECTOR;
}

/* The key that an unknown one is nearest to. */
static struct suggestion
key_suggestion(const char *key, enum section_type type, const struct protocol *protocol)
{
	struct suggestion suggestion = suggestion_new(key);
	bool own = takes_protocol_keys(type);

	table_offer(&suggestion, section_options(type));
	if (own && protocol != NULL)
		table_offer(&suggestion, protocol->options);
	for (size_t i = 0; own && protocol == NULL && protocols[i] != NULL; i++)
		if (type == SECTION_LISTENER || protocols[i]->ways != NULL)
			table_offer(&suggestion, protocols[i]->options);
	return suggestion;
}

bool
section_misspells(const struct placed *placed, const char *key, enum section_type type,
		  const struct protocol *protocol)
{
	for (size_t i = 0; i < placed->section->count; i++) {
		const char *entry_key = placed->section->entries[i].key;
		struct suggestion suggestion = key_suggestion(entry_key, type, protocol);

		if (suggestion.best != NULL && strcmp(suggestion.best, key) == 0)
			return true;
	}
	return false;
}

/* Where a key that is a common one elsewhere belongs; NULL: nowhere. */
static const char *
home_of(const char *key, enum section_type type)
{
	if (type != SECTION_DAEMON && option_find(daemon_options, key) != NULL)
		return "is a key of [daemon]";
	if (type == SECTION_DAEMON && option_find(listener_options, key) != NULL)
		return "is a key of listeners: it belongs in [defaults] or a [listener:NAME]";
	if (type == SECTION_CONNECTOR && option_find(listener_options, key) != NULL)
		return "is a key of listeners, not of connectors";
	if (option_find(connector_options, key) != NULL)
		return "is a key of connectors: it belongs in a [connector:NAME]";
	return NULL;
}

static void
key_check(struct faults *faults, const struct placed *placed, const struct inifile_entry *entry,
	  enum section_type type, const struct protocol *protocol)
{
	const char *home = home_of(entry->key, type);
	char owners[160], sentence[320];

	if (option_find(section_options(type), entry->key) != NULL)
		return;
	owners_format(entry->key, owners, sizeof owners);
	if (takes_protocol_keys(type) && *owners != '\0'
	    && (protocol == NULL || option_find(protocol->options, entry->key) != NULL))
		return;
	if (*owners != '\0' && takes_protocol_keys(type))
		snprintf(sentence, sizeof sentence, "is an option of %s, not of %s", owners,
			 protocol->name);
	else if (*owners != '\0')
		snprintf(sentence, sizeof sentence,
			 "is an option of %s: it belongs in a [listener:NAME]", owners);
	else if (home != NULL)
		snprintf(sentence, sizeof sentence, "%s", home);
	else {
		struct suggestion suggestion = key_suggestion(entry->key, type, protocol);
		char nearest[80];
		snprintf(sentence, sizeof sentence, "unknown key%s",
			 suggestion_format(&suggestion, nearest, sizeof nearest));
	}
	entry_fault(faults, placed, entry, sentence);
}

void
keys_check(struct faults *faults, const struct placed *placed, enum section_type type,
	   const struct protocol *protocol)
{
	for (size_t i = 0; i < placed->section->count; i++)
		key_check(faults, placed, &placed->section->entries[i], type, protocol);
}
