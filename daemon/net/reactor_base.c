/* reactor_base.c - what a reactor has of libevent. */
#include "net/reactor_base.h"

#include "base/log.h"

const char *const reactor_backend_names[] = { "auto", "epoll", "poll", "select", NULL };

const char *
reactor_library_version(void)
{
	return event_get_version();
}

/* What libevent says comes on top of an error that we see ourselves. */
static void
log_libevent(int severity, const char *text)
{
	(void)severity;
	log_debug("libevent: %s", text);
}

struct event_base *
reactor_base_new(enum reactor_backend backend)
{
	struct event_config *config = event_config_new();
	struct event_base *base = NULL;

	event_set_log_callback(log_libevent);
	if (config == NULL)
		return NULL;
	for (unsigned i = REACTOR_EPOLL;
	     backend != REACTOR_AUTO && reactor_backend_names[i] != NULL; i++)
		if (i != backend)
			event_config_avoid_method(config, reactor_backend_names[i]);
	/*
	 * Each base is touched by its own thread only: no locks. No change list of epoll's either,
	 * although it would fold two changes of interest into one: it tells epoll of a descriptor
	 * that is not watched any more when that is closed already, and its number another
	 * thread's.
	 */
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}
