/* assign.h - brings a key of a section to its row, and its value into the row's field. */
#ifndef TWINED_CONFIG_ASSIGN_H
#define TWINED_CONFIG_ASSIGN_H

#include <stdbool.h>

#include "config/reading.h"
#include "config/section_config.h"

/* An entry with its key of a section; NULL: none. */
const struct inifile_entry *section_entry(const struct placed *placed, const char *key);

/*
 * Expands the value of an entry, checks it, sets the row's field and keeps the text. False after an
 * error, which is added to the faults.
 */
bool row_assign(struct faults *faults, const struct placed *placed,
		const struct inifile_entry *entry, const struct option *row, void *settings,
		char **text);

/* Sets a field to a text that needs no expansion: a default or an inherited value. */
bool row_inherit(struct faults *faults, const struct placed *placed, const struct option *row,
		 const char *value, const char *directory, void *settings, char **text);

/*
 * Whether a key of a listener or connector is unknown and looks like this one: then the user has
 * said it, and is told once. protocol is NULL when it is not known, here and below.
 */
bool section_misspells(const struct placed *placed, const char *key, enum section_type type,
		       const struct protocol *protocol);

/* Refuses every key of the section that has no row there. */
void keys_check(struct faults *faults, const struct placed *placed, enum section_type type,
		const struct protocol *protocol);

#endif
