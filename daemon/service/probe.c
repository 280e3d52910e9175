/* probe.c - is a client of every listener, the way a person with netcat would be. */
#include "service/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/config.h"
#include "net/protocol.h"
#include "service/check.h"
#include "service/options.h"
#include "service/upstream_dial.h"

/* Where a client of a bound address connects to: of every address, loopback. */
static void
aim_at_loopback(struct sockaddr_any *address, bool any)
{
	if (address->u.sa.sa_family == AF_INET
	    && address->u.in.sin_addr.s_addr == htonl(INADDR_ANY)) {
		address->u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else if (address->u.sa.sa_family == AF_INET6
		   && IN6_IS_ADDR_UNSPECIFIED(&address->u.in6.sin6_addr)) {
		in_port_t port = address->u.in6.sin6_port;

		address->u.in6.sin6_addr = in6addr_loopback;
		if (!any)
			return;
		*address = (struct sockaddr_any){ .length = sizeof address->u.in };
		address->u.in.sin_family = AF_INET;
		address->u.in.sin_port = port;
		address->u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
}

static void
print_row(const struct section_config *listener, const char *address,
	  const struct check_result *result)
{
	printf("%-16s %-32s %-10s ", listener->name, address, listener->protocol->name);
	if (result->failure[0] == '\0')
		printf("OK %.2f ms%s%s\n", result->round_trip_ms,
		       result->remark[0] != '\0' ? " " : "", result->remark);
	else
		printf("FAILED: %s%s%s\n", result->failure, result->remark[0] != '\0' ? "; " : "",
		       result->remark);
	fflush(stdout);
}

/* A connection that was closed at once says nothing of why: whoever was to serve it may. */
static void
explain_failure(const struct section_config *listener, struct check_result *result)
{
	if (result->was_accepted && result->failure[0] != '\0' && result->remark[0] == '\0')
		upstreams_dial(listener, result->remark, sizeof result->remark);
}

/* Tries all that one address of a listener stands for; whether all are OK. */
static bool
probe_address(const struct section_config *listener, int64_t max_connections,
	      const struct address *address)
{
	bool any = address->host != NULL && strcmp(address->host, "*") == 0, all_ok = true;
	struct sockaddr_any *found = NULL;
	size_t count = 0;
	const char *unknown;

	if (address->kind == ADDRESS_SYSTEMD)
		unknown =
			"systemd passes this socket: its unit says where, the configuration does "
			"not";
	else
		unknown = address_resolve(address, &found, &count);
	if (unknown == NULL && address->service != NULL && found[0].u.in.sin_port == 0)
		unknown = "port 0 is picked at the start: the log says which";
	if (unknown != NULL) {
		struct check_result result = { 0 };

		snprintf(result.failure, sizeof result.failure, "%s", unknown);
		print_row(listener, address->text, &result);
		free(found);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		struct check_result result;

		aim_at_loopback(&found[i], any);
		check_address(listener, max_connections, address->kind, &found[i], &result);
		explain_failure(listener, &result);
		print_row(listener, address->text, &result);
		all_ok = all_ok && result.failure[0] == '\0';
	}
	free(found);
	return all_ok;
}

/* Whether a listener is asked for. */
static bool
is_asked(const struct options *options, const struct section_config *listener)
{
	for (size_t i = 0; i < options->name_count; i++)
		if (strcmp(options->names[i], listener->name) == 0)
			return true;
	return options->name_count == 0;
}

/* Whether every name is that of a listener; says which is not. */
static bool
names_exist(const struct options *options, const struct config *config)
{
	bool all = true;

	for (size_t i = 0; i < options->name_count; i++) {
		bool found = false;

		for (size_t j = 0; j < config->listener_count; j++)
			found = found || strcmp(options->names[i], config->listeners[j]->name) == 0;
		if (!found)
			fprintf(stderr,
				"twined: --probe: the configuration has no listener \"%s\"\n",
				options->names[i]);
		all = all && found;
	}
	return all;
}

int
probe(const struct options *options)
{
	struct config_errors errors = { 0 };
	struct config *config =
		config_read(options->path, options->specs, options->spec_count, &errors);
	bool all_ok;

	if (config == NULL)
		config_errors_print(&errors, options->path, stderr);
	config_errors_clear(&errors);
	if (config == NULL)
		return 1;
	log_set_level(LEVEL_ERROR);
	all_ok = names_exist(options, config);
	for (size_t i = 0; i < config->listener_count; i++) {
		const struct section_config *listener = config->listeners[i];

		if (!is_asked(options, listener))
			continue;
		for (size_t j = 0; j < listener->common.listener.listen.count; j++)
			all_ok = probe_address(listener, config->daemon.max_connections,
					       &listener->common.listener.listen.items[j])
				 && all_ok;
	}
	config_free(config);
	return all_ok ? 0 : 1;
}
