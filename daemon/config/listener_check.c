/* listener_check.c - looks at the values of a listener together. */
#include "config/listener_check.h"

#include "config/assign.h"
#include "config/sentence.h"

void
key_fault(struct faults *faults, const struct placed *placed, const char *key, const char *sentence)
{
	const struct inifile_entry *entry = section_entry(placed, key);

	fault_add(faults, placed->origin, entry != NULL ? entry->line : placed->section->line,
		  placed->section->name, key, "%s", sentence);
}

/* Of a passed socket its kind is known only when it is there. */
static void
transports_check(struct faults *faults, const struct placed *placed, const char *key,
		 const struct address_list *addresses, const struct protocol *protocol)
{
	for (size_t i = 0; i < addresses->count; i++) {
		const struct address *address = &addresses->items[i];
		bool is_datagram = address_is_datagram(address->kind);

		if (address->kind == ADDRESS_SYSTEMD
		    || (protocol->transports & (is_datagram ? PROTOCOL_DATAGRAM : PROTOCOL_STREAM)))
			continue;
		key_fault(faults, placed, key,
			  sentence_about(
				  address->text, "is for %s, which %s does not serve: expected %s",
				  is_datagram ? "datagrams" : "streams", protocol->name,
				  is_datagram ? "tcp:// or unix://" : "udp:// or unixgram://"));
	}
}

void
listener_transports_check(struct faults *faults, const struct placed *placed,
			  const struct section_config *listener)
{
	const struct protocol *protocol = listener->protocol;

	transports_check(faults, placed, "listen", &listener->common.listener.listen, protocol);
	for (const struct option *row = protocol->options; row != NULL && row->name != NULL; row++)
		if (row->type == OPTION_CONNECT)
			transports_check(
				faults, placed, row->name,
				(const void *)((const char *)listener->settings + row->offset),
				protocol);
}

/* Keys that would be taken for more than they do. */
static void
common_check(struct faults *faults, const struct placed *placed,
	     const struct listener_settings *settings)
{
	const char *datagram = NULL;
	bool has_inet = false;

	for (size_t i = 0; i < settings->listen.count; i++) {
		const struct address *address = &settings->listen.items[i];

		has_inet = has_inet || address->kind == ADDRESS_TCP || address->kind == ADDRESS_UDP;
		if (datagram == NULL && address_is_datagram(address->kind))
			datagram = address->text;
	}
	/* Datagrams would come in without what a header is trusted for. */
	if (settings->accept_proxy.count > 0 && datagram != NULL)
		key_fault(faults, placed, "accept_proxy",
			  sentence_about(datagram, "has no stream that could begin with a header"));
	/* What [defaults] says may well be about others. */
	if (settings->socket.bind_device != NULL && !has_inet
	    && section_entry(placed, "bind_device") != NULL)
		key_fault(
			faults, placed, "bind_device",
			"no address of listen is tcp:// or udp://, which alone are on an interface");
}

/* Where what a protocol finds wrong goes. */
struct findings {
	struct faults *faults;
	const struct placed *placed;
};

static void
finding_add(void *arg, const char *key, const char *sentence)
{
	const struct findings *findings = arg;

	if (key != NULL)
		key_fault(findings->faults, findings->placed, key, sentence);
	else
		fault_add(findings->faults, findings->placed->origin,
			  findings->placed->section->line, findings->placed->section->name, NULL,
			  "%s", sentence);
}

void
protocol_check(struct faults *faults, const struct placed *placed,
	       const struct section_config *section, const struct address_list *listen)
{
	struct findings findings = { .faults = faults, .placed = placed };

	if (section->protocol->settings_check != NULL)
		section->protocol->settings_check(section->settings, listen, finding_add,
						  &findings);
}

void
listener_check(struct faults *faults, const struct placed *placed,
	       const struct section_config *listener)
{
	common_check(faults, placed, &listener->common.listener);
	protocol_check(faults, placed, listener, &listener->common.listener.listen);
}
