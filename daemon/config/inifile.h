/* inifile.h - what an INI file says, line by line; what inih lets through silently is an error here. */
#ifndef TWINED_CONFIG_INIFILE_H
#define TWINED_CONFIG_INIFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
	INIFILE_LINE_MAX = 4000,	/* bytes of a line, without its end */
	INIFILE_NAME_MAX = 49,		/* bytes of a key, or of a header between its brackets */
};

struct inifile_entry {
	char *key, *value;
	unsigned line;
};

struct inifile_section {
	char *name;			/* what stands between the brackets */
	unsigned line;
	struct inifile_entry *entries;	/* in the order of their lines; each key once */
	size_t count;
	bool has_lost_entry;		/* a line was refused: its key is not here */
};

struct inifile {
	struct inifile_section *sections;
	size_t count;
	bool has_lost_section;		/* a header was refused: its section is not here */
	dev_t device;			/* the file's identity, for inifile_read */
	ino_t inode;
};

/*
 * Takes an error: line 0 is the file as a whole, section NULL is outside of any, key NULL is none
 * of the keys. They come in no particular order.
 */
typedef void inifile_error_fn(void *arg, unsigned line, const char *section, const char *key,
			      const char *sentence);

/*
 * Reads a file. What was understood is returned, for more errors to be found in it, even after
 * errors; inifile_free frees it. NULL, after an error, when the file cannot be read at all.
 */
struct inifile *inifile_read(const char *path, inifile_error_fn *error, void *arg);

/* Likewise from memory; the bytes stay the caller's. */
struct inifile *inifile_parse(const char *bytes, size_t length, inifile_error_fn *error, void *arg);

void inifile_free(struct inifile *file);

/* Whether a file can say key = value; if not, why, for the sentence "has ...". */
const char *inifile_value_check(const char *key, const char *value, char *buffer, size_t size);

#endif
