/* connector_check.c - looks at the values of a connector together. */
#include "config/connector_check.h"

#include <stdio.h>

#include "config/assign.h"
#include "config/listener_check.h"
#include "config/sentence.h"
#include "net/device.h"

void
connector_refuse_protocol(struct faults *faults, const struct placed *placed,
			  const struct protocol *protocol)
{
	char dialled[160] = "";
	size_t used = 0;

	for (size_t i = 0; protocols[i] != NULL && used < sizeof dialled; i++)
		if (protocols[i]->ways != NULL)
			used += (size_t)snprintf(dialled + used, sizeof dialled - used, "%s%s",
						 used > 0 ? ", " : "", protocols[i]->name);
	key_fault(faults, placed, "protocol",
		  sentence_about(protocol->name, "is for listeners only: expected %s", dialled));
}

static const char *
common_text(const struct section_config *connector, const char *key)
{
	return connector->common_texts[option_find(connector_options, key) - connector_options];
}

/* Addresses that what the protocol has to say cannot go over. */
static void
addresses_check(struct faults *faults, const struct placed *placed,
		const struct section_config *connector)
{
	const struct address_list *connect = &connector->common.connector.connect;

	if (!(connector->protocol->ways(connector->settings) & PROTOCOL_READS))
		return;
	for (size_t i = 0; i < connect->count; i++)
		if (address_is_datagram(connect->items[i].kind))
			key_fault(faults, placed, "connect",
				  sentence_about(connect->items[i].text,
						 "is for datagrams, which are only sent there: "
						 "expected role = out"));
}

static void
baud_check(struct faults *faults, const struct placed *placed,
	   const struct section_config *connector)
{
	const struct connector_settings *settings = &connector->common.connector;

	if (settings->baud == 0)
		return;
	if (!device_has_speed(settings->baud))
		key_fault(faults, placed, "baud",
			  sentence_about(common_text(connector, "baud"),
					 "is no speed of serial ports, such as 9600 or 115200"));
	for (size_t i = 0; i < settings->connect.count; i++)
		if (settings->connect.items[i].kind == ADDRESS_FILE)
			return;
	key_fault(faults, placed, "baud",
		  "no address of connect is file://, which alone may be a serial port");
}

static void
bind_check(struct faults *faults, const struct placed *placed,
	   const struct section_config *connector)
{
	const struct connector_settings *settings = &connector->common.connector;
	int family = settings->bind.sa.sa_family;

	if (family == AF_UNSPEC)
		return;
	for (size_t i = 0; i < settings->connect.count; i++)
		if (address_may_be(&settings->connect.items[i], family))
			return;
	key_fault(faults, placed, "bind",
		  family == AF_INET ? "is an IPv4 address, and no address of connect has one"
				    : "is an IPv6 address, and no address of connect has one");
}

/* Of two keys that contradict each other, the one that the section says is wrong. */
static void
reconnect_check(struct faults *faults, const struct placed *placed,
		const struct section_config *connector)
{
	const struct connector_settings *settings = &connector->common.connector;
	bool says_min = section_entry(placed, "reconnect_min") != NULL;
	const char *min = common_text(connector, "reconnect_min");
	const char *max = common_text(connector, "reconnect_max");

	if (settings->reconnect_min_ms <= settings->reconnect_max_ms)
		return;
	if (says_min)
		key_fault(faults, placed, "reconnect_min",
			  sentence_about(min, "is more than reconnect_max, which is %s", max));
	else
		key_fault(faults, placed, "reconnect_max",
			  sentence_about(max, "is less than reconnect_min, which is %s", min));
}

void
connector_check(struct faults *faults, const struct placed *placed,
		const struct section_config *connector)
{
	const struct connector_settings *settings = &connector->common.connector;

	addresses_check(faults, placed, connector);
	bind_check(faults, placed, connector);
	baud_check(faults, placed, connector);
	reconnect_check(faults, placed, connector);
	if (settings->silence_timeout_ms != 0
	    && !(connector->protocol->ways(connector->settings) & PROTOCOL_READS))
		key_fault(faults, placed, "silence_timeout",
			  "nothing is read there, which is always silent");
	protocol_check(faults, placed, connector, NULL);
}
