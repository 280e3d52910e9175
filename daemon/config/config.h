/* config.h - the whole configuration: read from files or the command line, checked, compared, dumped. */
#ifndef TWINED_CONFIG_CONFIG_H
#define TWINED_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/section_config.h"

/* The keys of [daemon]. */
struct daemon_settings {
	int64_t threads;		/* OPTION_AUTO: one for each CPU we may use */
	int64_t reactor;		/* enum reactor_backend */
	char *include;			/* glob(3) patterns relative to the file; NULL: none */
	int64_t log_level;		/* enum log_level */
	int64_t max_connections;	/* OPTION_AUTO: what RLIMIT_NOFILE allows */
	int64_t shutdown_timeout_ms;	/* 0: as long as it takes */
};

extern const struct option daemon_options[];

struct config {
	struct daemon_settings daemon;
	char **daemon_texts;			/* the value of each row of daemon_options as text, or NULL */
	struct section_config **listeners;	/* sorted by name; those with enabled = no are left out */
	size_t listener_count;
	struct section_config **disabled;	/* sorted by name; checked, and dumped, but not to be run */
	size_t disabled_count;
	struct section_config **connectors;	/* likewise */
	size_t connector_count;
	struct section_config **disabled_connectors;
	size_t disabled_connector_count;
};

/*
 * The errors of a configuration, in the order of files and lines, each a whole line without its
 * end.
 */
struct config_errors {
	char **lines;
	size_t count;
	size_t files;		/* how many files were read */
};

/*
 * Reads a file and what it includes. Returns a configuration that config_free frees, or NULL when
 * there is any error; then *errors has them all. path NULL: none, only the specs. specs are those
 * of -L: "PROTOCOL ADDRESS[,ADDRESS...] [key=value...]". *errors is for config_errors_clear in
 * either case; without memory even for a line it has none.
 */
struct config *config_read(const char *path, char *const *specs, size_t spec_count,
			   struct config_errors *errors);
void config_free(struct config *config);

/* Adds a line; without memory none. */
void config_errors_add(struct config_errors *errors, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Prints every error and the closing line "PATH: 2 errors"; path NULL: "command line: 2 errors". */
void config_errors_print(const struct config_errors *errors, const char *path, FILE *out);
void config_errors_clear(struct config_errors *errors);

/* Prints the effective configuration as INI; 0, or -1 with errno. */
int config_dump(const struct config *config, FILE *out);

/*
 * Prints what -l prints: NULL: every protocol, a line each; else one whole, or the keys of [daemon]
 * for "daemon", of connectors for "connector". 0, or -1 when there is none of that name.
 */
int config_describe(const char *protocol_name, FILE *out);

#endif
