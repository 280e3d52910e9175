/* reading.h - a configuration while it is read: its sources, the sections in them, what is wrong. */
#ifndef TWINED_CONFIG_READING_H
#define TWINED_CONFIG_READING_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "config/fault.h"
#include "config/inifile.h"

enum { LISTENER_NAME_MAX = 40 };

struct source {
	struct origin origin;
	struct inifile *file;		/* NULL: it could not be read */
};

/* A section and where it stands. */
struct placed {
	const struct origin *origin;
	const struct inifile_section *section;
};

struct reading {
	struct source **sources;
	size_t source_count;
	size_t files;
	bool has_lost_section;		/* a header or a file could not be understood */
	struct placed *sections;	/* of all sources, sorted by name; each name once */
	size_t section_count;
	struct placed defaults;		/* [defaults]; section NULL: there is none */
	char **default_texts;		/* what [defaults] says for each row of listener_options, or NULL */
	struct faults faults;
	struct config *config;
};

/* Reads the file and what it includes; path NULL: nothing. */
void reading_add_files(struct reading *reading, const char *path);

/* Makes a listener of the text of a -L, after the files. */
void reading_add_spec(struct reading *reading, const char *spec);

/* Gathers the sections of all sources and refuses those that stand twice or are unknown. */
void reading_gather(struct reading *reading);

/* NULL when there is none. */
const struct placed *reading_find(const struct reading *reading, const char *name);

/* Likewise of [TYPE:NAME]. */
const struct placed *reading_find_named(const struct reading *reading, const char *type,
					const char *name);

/* Whether a name fits [listener:NAME]. */
bool listener_name_valid(const char *name);

/* Each fills a part of the configuration and finds what is wrong with it. */
void reading_fill_daemon(struct reading *reading);
void reading_fill_defaults(struct reading *reading);
void reading_fill_sections(struct reading *reading);

#endif
