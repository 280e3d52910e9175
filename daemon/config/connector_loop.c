/* connector_loop.c - compares what connectors dial with what listeners listen on. */
#include "config/connector_loop.h"

#include <stdio.h>
#include <string.h>

#include "config/address_identity.h"
#include "config/address_reach.h"
#include "config/listener_check.h"
#include "config/sentence.h"
#include "net/commons.h"

static bool
is_shared(const struct connector_config *connector, const struct listener_config *listener)
{
	const struct protocol *protocol = connector->common.protocol;

	return protocol != NULL && protocol == listener->common.protocol && protocol->shares != NULL
	       && strcmp(shared_name(protocol, connector->settings, connector->name),
			 shared_name(protocol, listener->settings, listener->name))
			  == 0;
}

static bool
is_led_to(const struct address *address, const struct listener_settings *settings)
{
	char key[ADDRESS_IDENTITY_MAX], bound_key[ADDRESS_IDENTITY_MAX];

	if (!address_reach_key(address, key))
		return false;
	for (size_t i = 0; i < settings->listen.count; i++) {
		const struct address *bound = &settings->listen.items[i];

		if (address_reach_key(bound, bound_key) && strcmp(key, bound_key) == 0
		    && address_reaches(address, bound, settings->socket.bind_device))
			return true;
	}
	return false;
}

static void
pair_check(struct reading *reading, const struct connector_config *connector,
	   const struct listener_config *listener)
{
	const struct address_list *connect = &connector->common.connect;
	char section[64];

	if (!is_shared(connector, listener))
		return;
	snprintf(section, sizeof section, "connector:%s", connector->name);
	for (size_t i = 0; i < connect->count; i++)
		if (is_led_to(&connect->items[i], &listener->common))
			key_fault(&reading->faults, reading_find(reading, section), "connect",
				  sentence_about(connect->items[i].text,
						 "is [listener:%s], which has the same %s: every line "
						 "would come back",
						 listener->name, connector->common.protocol->shares));
}

void
connector_loops_check(struct reading *reading)
{
	const struct config *config = reading->config;

	for (size_t i = 0; i < config->connector_count; i++)
		for (size_t k = 0; k < config->listener_count; k++)
			pair_check(reading, config->connectors[i], config->listeners[k]);
}
