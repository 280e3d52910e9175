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
#include "net/datagram_port.h"
#include "net/endpoint.h"
#include "net/factory.h"
#include "net/limits.h"
#include "net/port.h"
#include "net/reactor.h"
#include "net/tally.h"
#include "service/systemd.h"

enum { SPARE_DESCRIPTORS = 64 };	/* for the log, files, look-ups and libraries */

/* A listener that runs, and the section it came from. Sorted by name. */
struct running {
	struct listener_config *config;
	struct listener *listener;
};

struct running_set {
	struct running *items;
	size_t count;
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
	struct own_addresses *own;
	struct connection_budget *budget;
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
	int64_t descriptors = descriptor_limit();

	if (service == NULL)
		return NULL;
	descriptors = descriptors > 2 * SPARE_DESCRIPTORS ? descriptors - SPARE_DESCRIPTORS
							  : SPARE_DESCRIPTORS;
	service->budget = connection_budget_new(descriptors);
	service->reactors = calloc(count, sizeof *service->reactors);
	service->workers = calloc(count, sizeof *service->workers);
	if (service->budget == NULL || service->reactors == NULL || service->workers == NULL
	    || systemd_sockets(&service->passed) < 0)
		goto fail;
	for (; service->reactor_count < count; service->reactor_count++) {
		unsigned index = (unsigned)service->reactor_count;

		service->reactors[index] = reactor_new(index, (enum reactor_backend)settings->reactor);
		if (service->reactors[index] == NULL)
			goto fail;
		service->workers[index].reactor = service->reactors[index];
	}
	return service;
fail:
	service_free(service);
	return NULL;
}

/* Adds an error line; without memory the count alone tells. */
static void
add_error(struct config_errors *errors, const struct listener_config *config, const char *sentence)
{
	char **lines = realloc(errors->lines, (errors->count + 1) * sizeof *lines);
	char *line = NULL;

	if (lines == NULL)
		return;
	errors->lines = lines;
	if (asprintf(&line, "%s: [listener:%s] %s", config->place, config->name, sentence) < 0)
		return;
	errors->lines[errors->count++] = line;
}

static struct running *
running_find(const struct running_set *set, const char *name)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(name, set->items[middle].config->name);

		if (order == 0)
			return &set->items[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static void
release_config(void *config)
{
	listener_config_unref(config);
}

/* Makes and binds the listener of a section; predecessor may be NULL. NULL: errors says why. */
static struct listener *
listener_make(struct service *service, struct listener_config *config, const struct running *predecessor,
	      const struct port_list *known, struct config_errors *errors)
{
	char error[512];
	struct factory *factory =
		factory_new(config->common.protocol, config->name, config->settings,
			    listener_config_ref(config), release_config);
	struct listener *listener = NULL;

	if (factory != NULL)
		listener = listener_new(&config->common, factory,
					predecessor == NULL ? NULL : predecessor->listener,
					service->budget, (unsigned)service->reactor_count);
	if (listener == NULL) {
		add_error(errors, config, strerror(errno));
		return NULL;
	}
	if (listener_bind(listener, known, error, sizeof error) < 0) {
		char sentence[sizeof error + 16];

		snprintf(sentence, sizeof sentence, "listen: %s", error);
		add_error(errors, config, sentence);
		listener_free(listener);
		return NULL;
	}
	return listener;
}

/* Appends the ports of a list to another; not their references. 0, or -1 without memory. */
static int
port_list_append(struct port_list *list, const struct port_list *more)
{
	struct port **items;

	if (more->count == 0)
		return 0;
	items = realloc(list->items, (list->count + more->count) * sizeof *items);
	if (items == NULL)
		return -1;
	memcpy(items + list->count, more->items, more->count * sizeof *items);
	list->items = items;
	list->count += more->count;
	return 0;
}

/* Every port there is: passed, or of a listener that runs. */
static int
known_ports(const struct service *service, struct port_list *known)
{
	*known = (struct port_list){ 0 };
	if (port_list_append(known, &service->passed) < 0)
		return -1;
	for (size_t i = 0; i < service->running.count; i++)
		if (port_list_append(known, listener_ports(service->running.items[i].listener)) < 0)
			return -1;
	return 0;
}

/* The set of own datagram addresses of a set of listeners; NULL with errno. */
static struct own_addresses *
own_addresses_of(const struct running_set *set)
{
	struct port_list all = { 0 }, datagram = { 0 };
	struct own_addresses *own = NULL;

	for (size_t i = 0; i < set->count; i++)
		if (port_list_append(&all, listener_ports(set->items[i].listener)) < 0)
			goto out;
	for (size_t i = 0; i < all.count; i++)
		if (address_is_datagram(all.items[i]->kind))
			all.items[datagram.count++] = all.items[i];
	own = own_addresses_new((const struct port *const *)all.items, datagram.count);
out:
	free(all.items);
	return own;
}

/* The set that is to run: what is equal as it is, the rest new and bound. -1: errors says why. */
static int
prepare(struct service *service, const struct config *config, struct running_set *next,
	struct config_errors *errors)
{
	struct port_list known;

	next->items = calloc(config->listener_count, sizeof *next->items);
	if (next->items == NULL || known_ports(service, &known) < 0)
		return -1;
	for (size_t i = 0; i < config->listener_count; i++) {
		struct listener_config *wanted = config->listeners[i];
		struct running *old = running_find(&service->running, wanted->name);
		struct running *new = &next->items[next->count];

		if (old != NULL && listener_config_equal(old->config, wanted)) {
			*new = *old;
			next->count++;
			continue;
		}
		/* Counters and limits go on only where they mean the same. */
		if (old != NULL && old->config->common.protocol != wanted->common.protocol)
			old = NULL;
		new->listener = listener_make(service, wanted, old, &known, errors);
		if (new->listener == NULL)
			continue;
		new->config = listener_config_ref(wanted);
		next->count++;
	}
	free(known.items);
	return errors->count == 0 ? 0 : -1;
}

/* Whether a listener is in both sets. */
static bool
is_kept(const struct running_set *set, const struct running *running)
{
	const struct running *same = running_find(set, running->config->name);

	return same != NULL && same->listener == running->listener;
}

static void
log_change(const struct running *running, const char *what)
{
	const struct port_list *ports = listener_ports(running->listener);

	for (size_t i = 0; i < ports->count; i++)
		log_notice("%s %s: %s %s", running->config->name, ports->items[i]->text,
			   listener_protocol(running->listener)->name, what);
}

/* Puts the new set in the place of the old one. */
static void
swap(struct service *service, struct running_set *next, struct own_addresses *own)
{
	struct running_set *old = &service->running;

	for (size_t i = 0; i < old->count; i++) {
		if (is_kept(next, &old->items[i])) {
			listener_set_own(old->items[i].listener, own);
			continue;
		}
		listener_close(old->items[i].listener);
		if (running_find(next, old->items[i].config->name) == NULL)
			log_change(&old->items[i], "closed");
	}
	for (size_t i = 0; i < next->count; i++) {
		if (is_kept(old, &next->items[i]))
			continue;
		if (listener_open(next->items[i].listener, service->reactors, service->reactor_count, own)
		    < 0)
			log_error("%s: %s", next->items[i].config->name, strerror(errno));
		log_change(&next->items[i], running_find(old, next->items[i].config->name) == NULL
						    ? "listening"
						    : "changed");
	}
	for (size_t i = 0; i < old->count; i++) {
		if (is_kept(next, &old->items[i]))
			continue;
		listener_free(old->items[i].listener);
		listener_config_unref(old->items[i].config);
	}
	free(old->items);
	*old = *next;
	own_addresses_unref(service->own);
	service->own = own;
}

/* Frees what was prepared and is not running. */
static void
abandon(const struct service *service, struct running_set *next)
{
	for (size_t i = 0; i < next->count; i++) {
		if (is_kept(&service->running, &next->items[i]))
			continue;
		listener_free(next->items[i].listener);
		listener_config_unref(next->items[i].config);
	}
	free(next->items);
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
	struct running_set next = { 0 };
	struct own_addresses *own = NULL;

	if (prepare(service, config, &next, errors) == 0)
		own = own_addresses_of(&next);
	if (own == NULL) {
		abandon(service, &next);
		return -1;
	}
	connection_budget_set(service->budget, config->daemon.max_connections == OPTION_AUTO
						       ? 0
						       : config->daemon.max_connections);
	swap(service, &next, own);
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

/* What one listener, or all (listener NULL), have counted, summed reactor by reactor. */
struct count_call {
	const struct service *service;
	const struct listener *listener;
	unsigned reactor;
	struct counters sum;
};

static void
count_on_reactor(void *arg)
{
	struct count_call *call = arg;
	const struct running_set *running = &call->service->running;

	if (call->listener != NULL) {
		listener_count(call->listener, call->reactor, &call->sum);
		return;
	}
	for (size_t i = 0; i < running->count; i++)
		listener_count(running->items[i].listener, call->reactor, &call->sum);
}

static struct counters
count(const struct service *service, const struct listener *listener)
{
	struct count_call call = { .service = service, .listener = listener };

	for (; call.reactor < service->reactor_count; call.reactor++)
		reactor_call_wait(service->reactors[call.reactor], count_on_reactor, &call);
	return call.sum;
}

const char *
service_status(struct service *service, char *text, size_t size)
{
	size_t listeners = service->running.count;
	uint64_t connections = count(service, NULL).open;

	snprintf(text, size, "%zu listener%s, %" PRIu64 " connection%s", listeners,
		 listeners == 1 ? "" : "s", connections, connections == 1 ? "" : "s");
	return text;
}

static void
log_listener(const char *name, const struct counters *sum)
{
	char closed[512] = "", dropped[256] = "";
	size_t used = 0;

	for (unsigned i = 0; i < REASON_COUNT; i++)
		if (sum->closed[i] > 0)
			used += (size_t)snprintf(closed + used, sizeof closed - used, "%s %s %" PRIu64,
						 used == 0 ? "; closed:" : ",", reason_word(i),
						 sum->closed[i]);
	used = 0;
	for (unsigned i = 0; i < DROP_COUNT; i++)
		if (sum->datagrams_dropped[i] > 0)
			used += (size_t)snprintf(dropped + used, sizeof dropped - used, "%s %s %" PRIu64,
						 used == 0 ? "; not answered:" : ",",
						 datagram_drop_word(i), sum->datagrams_dropped[i]);
	log_notice("%s: %" PRIu64 " open, %" PRIu64 " accepted, %" PRIu64 " bytes in, %" PRIu64
		   " out, %" PRIu64 " datagrams in, %" PRIu64 " out%s%s",
		   name, sum->open, sum->accepted, sum->bytes_in, sum->bytes_out, sum->datagrams_in,
		   sum->datagrams_out, closed, dropped);
}

void
service_log_summary(struct service *service)
{
	for (size_t i = 0; i < service->running.count; i++) {
		struct counters sum = count(service, service->running.items[i].listener);

		log_listener(service->running.items[i].config->name, &sum);
	}
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

static void
stop_call(void *reactor)
{
	endpoints_stop(reactor);
}

void
service_stop(struct service *service)
{
	for (size_t i = 0; i < service->running.count; i++)
		listener_close(service->running.items[i].listener);
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
	for (size_t i = 0; i < service->running.count; i++)
		listener_close(service->running.items[i].listener);
	for (size_t i = 0; i < service->reactor_count; i++) {
		/* What is aborted is freed when the turn ends, before the reactor stops. */
		reactor_call_wait(service->reactors[i], abort_call, service->reactors[i]);
		reactor_stop(service->reactors[i]);
		reactor_join(service->reactors[i]);
	}
	for (size_t i = 0; i < service->running.count; i++) {
		listener_free(service->running.items[i].listener);
		listener_config_unref(service->running.items[i].config);
	}
	for (size_t i = 0; i < service->reactor_count; i++)
		reactor_free(service->reactors[i]);
	for (size_t i = 0; i < service->passed.count; i++)
		port_unref(service->passed.items[i]);
	free(service->running.items);
	free(service->passed.items);
	own_addresses_unref(service->own);
	connection_budget_free(service->budget);
	free(service->reactors);
	free(service->workers);
	free(service);
}
