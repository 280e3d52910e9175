/* daemon_options.c - the table of the keys of [daemon]. */
#include "base/log.h"
#include "config/config.h"
#include "net/reactor.h"

#define FIELD(name) offsetof(struct daemon_settings, name)

enum {
	THREADS_MAX = 256,
	CONNECTIONS_MAX = 10 * 1000 * 1000,
	DAY = 24 * 60 * 60 * 1000,
	PATTERNS_MAX = 3900
};

const struct option daemon_options[] = {
	{ "threads", OPTION_NUMBER, OPTION_MAY_AUTO | OPTION_AT_START, FIELD(threads), 1,
	  THREADS_MAX, NULL, "auto",
	  "reactors, each in a thread; auto: one for each CPU we may use" },
	{ "reactor", OPTION_CHOICE, OPTION_AT_START, FIELD(reactor), 0, 0, reactor_backend_names,
	  "auto", "how the kernel is asked what is ready" },
	{ "include", OPTION_STRING, 0, FIELD(include), 1, PATTERNS_MAX, NULL, NULL,
	  "more files: comma-separated patterns, relative to this file; one may match nothing" },
	{ "log_level", OPTION_CHOICE, 0, FIELD(log_level), 0, 0, log_level_names, "info",
	  "the least of what is logged" },
	{ "max_connections", OPTION_NUMBER, OPTION_MAY_AUTO, FIELD(max_connections), 1,
	  CONNECTIONS_MAX, NULL, "auto",
	  "connections of all listeners at a time; auto: what the descriptor limit allows" },
	{ "shutdown_timeout", OPTION_DURATION, OPTION_MAY_NONE, FIELD(shutdown_timeout_ms), 1, DAY,
	  NULL, "10s", "how long a graceful stop waits for connections" },
	{ 0 },
};
