/* proxy_factory.c - what the connections and flows of a proxy's listener share. */
#include "protocols/proxy_factory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/datagram_flow.h"
#include "net/factory.h"
#include "protocols/proxy_datagram.h"
#include "protocols/upstreams.h"

static void
shared_free(struct proxy_shared *shared)
{
	datagram_flows_free(shared->flows);
	upstreams_free(shared->datagrams);
	upstreams_free(shared->streams);
	free(shared);
}

int
proxy_factory_made(struct factory *factory)
{
	const struct proxy_settings *settings = factory_settings(factory);
	struct proxy_shared *shared = calloc(1, sizeof *shared);
	int error;

	if (shared == NULL)
		return -1;
	shared->streams = upstreams_new(settings, factory_name(factory), false);
	shared->datagrams = upstreams_new(settings, factory_name(factory), true);
	shared->flows = proxy_flows_new(settings);
	if (shared->streams == NULL || shared->datagrams == NULL || shared->flows == NULL) {
		error = errno;
		shared_free(shared);
		errno = error;
		return -1;
	}
	factory_set_shared(factory, shared);
	return 0;
}

void
proxy_factory_lost(struct factory *factory)
{
	shared_free(factory_shared(factory));
}

void
proxy_factory_started(struct factory *factory)
{
	struct proxy_shared *shared = factory_shared(factory);

	upstreams_start(shared->streams, factory);
	upstreams_start(shared->datagrams, factory);
}

void
proxy_factory_stopped(struct factory *factory)
{
	struct proxy_shared *shared = factory_shared(factory);

	upstreams_stop(shared->streams);
	upstreams_stop(shared->datagrams);
}

/* Whom to give the lines to. */
struct report_call {
	void (*line)(void *arg, const char *text);
	void *arg;
};

static void
report_upstream(void *arg, const struct upstream_report *report)
{
	const struct report_call *call = arg;
	char text[512];

	snprintf(text, sizeof text,
		 "upstream %s: %s%s, %" PRIu64 " open, %" PRIu64 " connected, %" PRIu64 " refused",
		 report->text, report->state, report->backup ? ", backup" : "", report->open,
		 report->connected, report->refused);
	call->line(call->arg, text);
}

void
proxy_factory_report(struct factory *factory, void (*line)(void *arg, const char *text), void *arg)
{
	struct proxy_shared *shared = factory_shared(factory);
	struct report_call call = { .line = line, .arg = arg };

	upstreams_report(shared->streams, report_upstream, &call);
	upstreams_report(shared->datagrams, report_upstream, &call);
}
