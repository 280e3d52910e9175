/* fault.h - what is wrong with a configuration, gathered with its places while that is read. */
#ifndef TWINED_CONFIG_FAULT_H
#define TWINED_CONFIG_FAULT_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

/* A file, or a -L of the command line. */
struct origin {
	char *label;		/* "conf/twined.ini", or "-L 'echo tcp://127.0.0.1:7'" */
	char *directory;	/* where relative paths begin; NULL: the working directory */
	size_t rank;		/* its place in the order of reading */
	bool is_spec;
};

struct fault {
	size_t rank;
	unsigned line;
	size_t number;
	char *text;
};

struct faults {
	struct fault *items;
	size_t count;
	bool out_of_memory;
};

/*
 * Adds `conf/twined.ini:12: [listener:echo] lisen: unknown key`. line 0: the origin as a whole;
 * section and key may be NULL. A -L has neither lines nor sections.
 */
void fault_add(struct faults *faults, const struct origin *origin, unsigned line,
	       const char *section, const char *key, const char *format, ...)
	__attribute__((format(printf, 6, 7)));

/* Writes "conf/twined.ini:12"; NULL when there is no memory. */
char *place_format(const struct origin *origin, unsigned line);

/* Moves the faults, in order, to *errors, which has room for one line; true when there were any. */
bool faults_finish(struct faults *faults, struct config_errors *errors);

#endif
