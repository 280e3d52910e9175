/* service.c - what runs: the reactors and the listeners, and how a configuration is applied to them. */
#include "service/service.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/log.h"
#include "net/commons.h"
#include "net/endpoint.h"
#include "net/limits.h"
#include "net/pipe_pool.h"
#include "net/port.h"
#include "net/reactor.h"
#include "net/resolver.h"
#include "net/tally.h"
#include "service/answer.h"
#include "service/running_set.h"
#include "service/systemd.h"

enum {
	/* For the log, files and libraries, and for look-ups of names. */
	SPARE_DESCRIPTORS = 40 + RESOLVER_THREADS * RESOLVER_DESCRIPTORS,
	REACTOR_DESCRIPTORS = 5 + 2 * PIPES_MAX,
	CONNECTOR_DESCRIPTORS = 4,	/* while it dials, and while one ends and another begins */
};

/* A reactor and whether it turns. */
struct worker {
	struct reactor *reactor;
	atomic_bool asked;		/* to turn, and has not yet */
};

struct service {
	struct reactor **reactors;
	struct worker *workers;
	size_t reactor_count;
	struct running_set running;
	struct port_list passed;
	struct connection_budget *budget;
	struct resolver *resolver;
	struct commons *commons;	/* of the factories */
	int64_t descriptors;		/* that the process may have */
};

static size_t
cpu_count(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof cpus, &cpus) < 0)
		return 1;
	return (size_t)CPU_COUNT(&cpus);
}

/* Raises the descriptor limit as far as we may; returns it. */
static int64_t
descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1024;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		getrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
}

struct service *
service_new(const struct daemon_settings *settings)
{
	struct service *service = calloc(1, sizeof *service);
	size_t count = settings->threads == OPTION_AUTO ? cpu_count() : (size_t)settings->threads;

	if (service == NULL)
		return NULL;
	service->descriptors = descriptor_limit();
	service->budget = connection_budget_new();
	service->resolver = resolver_new();
	service->commons = commons_new();
	service->reactors = calloc(count, sizeof *service->reactors);
	service->workers = calloc(count, sizeof *service->workers);
	if (service->budget == NULL || service->resolver == NULL || service->commons == NULL
	    || service->reactors == NULL || service->workers == NULL
	    || systemd_sockets(&service->passed) < 0)
		goto fail;
	for (; service->reactor_count < count; service->reactor_count++) {
		unsigned index = (unsigned)service->reactor_count;

		service->reactors[index] =
			reactor_new(index, (enum reactor_backend)settings->reactor);
		if (service->reactors[index] == NULL)
			goto fail;
		service->workers[index].reactor = service->reactors[index];
	}
	return service;
fail:
	service_free(service);
	return NULL;
}

/* How many descriptors are left for connections. */
static int64_t
descriptors_for_connections(const struct service *service)
{
	int64_t left = service->descriptors - SPARE_DESCRIPTORS
		       - REACTOR_DESCRIPTORS * (int64_t)service->reactor_count;

	for (size_t i = 0; i < service->running.count; i++)
		left -= (int64_t)listener_ports(service->running.items[i].listener)->count;
	left -= (int64_t)service->running.connectors.count * CONNECTOR_DESCRIPTORS;
	return left > SPARE_DESCRIPTORS ? left : SPARE_DESCRIPTORS;
}

static void
warn_unclaimed(const struct service *service)
{
	for (size_t i = 0; i < service->passed.count; i++)
		if (service->passed.items[i]->refs == 1)
			log_warning("%s %s: passed, but no listener uses it",
				    service->passed.items[i]->key, service->passed.items[i]->text);
}

int
service_apply(struct service *service, const struct config *config, struct config_errors *errors)
{
	const struct running_place place = {
		.reactors = service->reactors,
		.reactor_count = service->reactor_count,
		.passed = &service->passed,
		.budget = service->budget,
		.resolver = service->resolver,
		.commons = service->commons,
	};
	int64_t most;

	if (running_set_apply(&service->running, config, &place, errors) < 0)
		return -1;
	most = config->daemon.max_connections == OPTION_AUTO ? 0 : config->daemon.max_connections;
	connection_budget_set(service->budget, most, descriptors_for_connections(service));
	warn_unclaimed(service);
	return 0;
}

int
service_start(struct service *service)
{
	for (size_t i = 0; i < service->reactor_count; i++)
		if (reactor_start(service->reactors[i]) < 0)
			return -1;
	return 0;
}

/* What one listener has counted, summed reactor by reactor. */
struct count_call {
	const struct listener *listener;
	unsigned reactor;
	struct counters sum;
};

static void
count_on_reactor(void *arg)
{
	struct count_call *call = arg;

	listener_count(call->listener, call->reactor, &call->sum);
}

static struct counters
count(const struct service *service, const struct listener *listener)
{
	struct count_call call = { .listener = listener };

	for (; call.reactor < service->reactor_count; call.reactor++)
		reactor_call_wait(service->reactors[call.reactor], count_on_reactor, &call);
	return call.sum;
}

const char *
service_status(struct service *service, char *text, size_t size)
{
	size_t listeners = service->running.count;
	int64_t connections = connection_budget_taken(service->budget);
	int64_t flows = connection_budget_flows(service->budget);
	size_t connectors = service->running.connectors.count;
	char dialled[40] = "";

	if (connectors > 0)
		snprintf(dialled, sizeof dialled, "%zu connector%s, ", connectors,
			 connectors == 1 ? "" : "s");
	int used = snprintf(text, size, "%zu listener%s, %s%" PRId64 " connection%s", listeners,
			    listeners == 1 ? "" : "s", dialled, connections,
			    connections == 1 ? "" : "s");

	if (flows > 0 && used > 0 && (size_t)used < size)
		snprintf(text + used, size - (size_t)used, ", %" PRId64 " flow%s", flows,
			 flows == 1 ? "" : "s");
	return text;
}

enum { CLOSED_MAX = 1024 };

/* "; closed: done 3, peer_reset 1"; empty for none. Returns buffer. */
static const char *
closed_format(const struct counters *sum, char buffer[static CLOSED_MAX])
{
	size_t used = 0;

	buffer[0] = '\0';
	for (unsigned i = 0; i < REASON_COUNT; i++)
		if (sum->closed[i] > 0)
			used += (size_t)snprintf(buffer + used, CLOSED_MAX - used, "%s %s %" PRIu64,
						 used == 0 ? "; closed:" : ",", reason_word(i),
						 sum->closed[i]);
	return buffer;
}

static void
log_listener(const char *name, const struct counters *sum)
{
	char closed[CLOSED_MAX], dropped[512] = "", flows[64] = "";
	size_t used = 0;

	if (sum->flows > 0)
		snprintf(flows, sizeof flows, ", %" PRIu64 " flow%s open of %" PRIu64,
			 sum->flows_open, sum->flows_open == 1 ? "" : "s", sum->flows);
	for (unsigned i = 0; i < DROP_COUNT; i++)
		if (sum->datagrams_dropped[i] > 0)
			used += (size_t)snprintf(dropped + used, sizeof dropped - used,
						 "%s %s %" PRIu64,
						 used == 0 ? "; not answered:" : ",",
						 datagram_drop_word(i), sum->datagrams_dropped[i]);
	log_notice("%s: %" PRIu64 " open, %" PRIu64 " accepted, %" PRIu64 " bytes in, %" PRIu64
		   " out, %" PRIu64 " datagrams in, %" PRIu64 " out%s%s%s",
		   name, sum->open, sum->accepted, sum->bytes_in, sum->bytes_out, sum->datagrams_in,
		   sum->datagrams_out, flows, closed_format(sum, closed), dropped);
}

static void
log_connector(const struct connector *connector)
{
	struct connector_state state;
	char closed[CLOSED_MAX];

	connector_look(connector, &state);
	log_notice("%s: %s, %" PRIu64 " connection%s so far, %" PRIu64 " bytes in, %" PRIu64
		   " out%s",
		   connector_name(connector), state.text, state.counters.accepted,
		   state.counters.accepted == 1 ? "" : "s", state.counters.bytes_in,
		   state.counters.bytes_out, closed_format(&state.counters, closed));
}

static void
log_report(void *name, const char *text)
{
	log_notice("%s: %s", (const char *)name, text);
}

void
service_log_summary(struct service *service)
{
	uint64_t open = 0, all;

	for (size_t i = 0; i < service->running.count; i++) {
		struct counters sum = count(service, service->running.items[i].listener);

		log_listener(service->running.items[i].config->name, &sum);
		listener_report(service->running.items[i].listener, log_report,
				service->running.items[i].config->name);
		open += sum.open;
	}
	for (size_t i = 0; i < service->running.connectors.count; i++) {
		const struct running_connector *running = &service->running.connectors.items[i];

		log_connector(running->connector);
		connector_report(running->connector, log_report, running->config->name);
	}
	all = (uint64_t)connection_budget_taken(service->budget);
	if (all > open)
		log_notice("listeners of the past: %" PRIu64 " open", all - open);
}

static void
worker_turned(void *arg)
{
	struct worker *worker = arg;

	atomic_store(&worker->asked, false);
}

bool
service_turns(struct service *service)
{
	bool all = true;

	for (size_t i = 0; i < service->reactor_count; i++) {
		struct worker *worker = &service->workers[i];

		if (atomic_exchange(&worker->asked, true))
			all = false;
		else if (reactor_call(worker->reactor, worker_turned, worker) < 0)
			atomic_store(&worker->asked, false);
	}
	return all;
}

void
service_answer(struct service *service, const struct question *question, pid_t asker,
	       struct answer *answer)
{
	answer_question(&service->running, service->reactors, service->reactor_count, question,
			asker, answer);
}

static void
stop_call(void *reactor)
{
	endpoints_stop(reactor);
}

void
service_stop(struct service *service)
{
	/*
	 * With their sockets: who comes now is to be refused, or to wait for the next who has them.
	 */
	running_set_free(&service->running);
	for (size_t i = 0; i < service->reactor_count; i++)
		reactor_call_wait(service->reactors[i], stop_call, service->reactors[i]);
}

/* The connections of a reactor that are left. */
struct left_call {
	struct reactor *reactor;
	size_t left;
};

static void
left_on_reactor(void *arg)
{
	struct left_call *call = arg;

	endpoints_close_delivered(call->reactor);
	call->left += endpoints_count(call->reactor);
}

size_t
service_stop_more(struct service *service)
{
	struct left_call call = { 0 };

	for (size_t i = 0; i < service->reactor_count; i++) {
		call.reactor = service->reactors[i];
		reactor_call_wait(call.reactor, left_on_reactor, &call);
	}
	return call.left;
}

static void
abort_call(void *reactor)
{
	endpoints_abort(reactor);
}

void
service_free(struct service *service)
{
	running_set_free(&service->running);
	for (size_t i = 0; i < service->reactor_count; i++) {
		/* What is aborted is freed when the turn ends, before the reactor stops. */
		reactor_call_wait(service->reactors[i], abort_call, service->reactors[i]);
		reactor_stop(service->reactors[i]);
		reactor_join(service->reactors[i]);
	}
	/*
	 * No thread of it wakes a reactor after this; what is on its way is freed with the reactor.
	 */
	resolver_free(service->resolver);
	for (size_t i = 0; i < service->reactor_count; i++)
		reactor_free(service->reactors[i]);
	for (size_t i = 0; i < service->passed.count; i++)
		port_unref(service->passed.items[i]);
	free(service->passed.items);
	connection_budget_free(service->budget);
	commons_free(service->commons);
	free(service->reactors);
	free(service->workers);
	free(service);
}
