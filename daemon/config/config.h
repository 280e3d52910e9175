/* config.h - the whole configuration: read from files or the command line, checked, compared, dumped. */
#ifndef TWINED_CONFIG_CONFIG_H
#define TWINED_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "net/listener.h"
#include "net/protocol.h"

/* The keys of [daemon]. */
struct daemon_settings {
	int64_t threads;		/* OPTION_AUTO: one for each CPU we may use */
	int64_t reactor;		/* enum reactor_backend */
	char *include;			/* glob(3) pattern relative to the file; NULL: none */
	int64_t log_level;		/* enum log_level */
	int64_t max_connections;	/* OPTION_AUTO: what RLIMIT_NOFILE allows */
	int64_t shutdown_timeout_ms;
};

extern const struct option daemon_options[];

/*
 * One [listener:NAME] with everything it inherits. Shared by the configuration it came with and by what
 * runs it, which may outlive that configuration: references are counted, from any thread.
 */
struct listener_config {
	unsigned refs;				/* atomic */
	char *name;
	char *place;				/* "conf/twined.ini:12", for messages */
	struct listener_settings common;
	void *settings;				/* the protocol's, of protocol->settings_size bytes */
	char **common_texts;			/* the value of each row of listener_options as text, or NULL */
	char **texts;				/* likewise of the protocol's options */
};

struct config {
	struct daemon_settings daemon;
	char **daemon_texts;
	struct listener_config **listeners;	/* sorted by name; those with enabled = no are left out */
	size_t listener_count;
	size_t connector_count;
};

/* The errors of a configuration, in the order found, each a whole line without its end. */
struct config_errors {
	char **lines;
	size_t count;
	size_t files;		/* how many files were read */
};

/*
 * Reads a file and what it includes. Returns a configuration that config_free frees, or NULL when
 * there is any error; then *errors has them all. path NULL: none, only the specs. specs are those of -L:
 * "PROTOCOL ADDRESS[,ADDRESS...] [key=value...]".
 */
struct config *config_read(const char *path, char *const *specs, size_t spec_count,
			   struct config_errors *errors);
void config_free(struct config *config);

/* Prints the errors on stderr, a line each, and then "FILE: 2 errors"; nothing when there are none. */
void config_errors_print(const struct config_errors *errors, const char *path);
void config_errors_clear(struct config_errors *errors);

/* Whether two listeners are the same in every value (and in the bytes of every file they name). */
bool listener_config_equal(const struct listener_config *a, const struct listener_config *b);

struct listener_config *listener_config_ref(struct listener_config *listener);
void listener_config_unref(struct listener_config *listener);

/* Prints the effective configuration as INI; 0, or -1 with errno. */
int config_dump(const struct config *config, FILE *out);

/* Prints what -l prints: all protocols, or one whole (NULL: all); -1 when there is none of that name. */
int config_describe(const char *protocol_name, FILE *out);

#endif
