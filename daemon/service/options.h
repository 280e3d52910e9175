/* options.h - the command line: what is asked for, of which files. */
#ifndef TWINED_SERVICE_OPTIONS_H
#define TWINED_SERVICE_OPTIONS_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

enum verb {
	VERB_RUN,
	VERB_TEST,
	VERB_DUMP,
	VERB_PROTOCOLS,
	VERB_PROBE,
	VERB_RELOAD,
	VERB_VERSION,
	VERB_HELP
};

struct options {
	enum verb verb;
	const char *path;	/* of the configuration; NULL: -L alone says all */
	char **specs;		/* of -L */
	size_t spec_count;
	int louder;		/* how many -v more than -q */
	pid_t reload_pid;
	char **names;		/* of -p and -l */
	size_t name_count;
};

/* Parses the command line. Returns 0, or 2 (the exit status) after a line on stderr. */
int options_parse(int argc, char **argv, struct options *options);
void options_clear(struct options *options);

void options_print_usage(FILE *out);
void options_print_version(FILE *out);

#endif
