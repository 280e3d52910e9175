/* describe.c - prints the option tables for people. */
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/value.h"

static const char *
transports_words(unsigned transports)
{
	return transports == (PROTOCOL_STREAM | PROTOCOL_DATAGRAM) ? "streams and datagrams"
	       : transports == PROTOCOL_STREAM                     ? "streams"
								   : "datagrams";
}

static const char *
transports_schemes(unsigned transports)
{
	return transports == (PROTOCOL_STREAM | PROTOCOL_DATAGRAM)
		       ? "tcp://, unix://, udp:// and unixgram://"
	       : transports == PROTOCOL_STREAM ? "tcp:// and unix://"
					       : "udp:// and unixgram://";
}

/* The default for a protocol; its own for a common key, where it has one. */
static const char *
default_of(const struct option *row, const struct option_default *defaults)
{
	for (; defaults != NULL && defaults->name != NULL; defaults++)
		if (strcmp(defaults->name, row->name) == 0)
			return defaults->value;
	return row->fallback;
}

static void
table_describe(const struct option *table, const struct option_default *defaults, FILE *out)
{
	char type[256];

	for (const struct option *row = table; row != NULL && row->name != NULL; row++) {
		const char *fallback = default_of(row, defaults);

		fprintf(out, "  %s = %s\n", row->name,
			row->flags & OPTION_REQUIRED ? "(required)"
			: fallback != NULL           ? fallback
						     : "(unset)");
		fprintf(out, "      %s\n      %s%s\n", value_describe(row, type, sizeof type),
			row->help,
			row->flags & OPTION_AT_START ? "; takes effect at a restart" : "");
	}
}

static void
protocols_list(FILE *out)
{
	for (size_t i = 0; protocols[i] != NULL; i++)
		fprintf(out, "%-10s %-22s %s\n", protocols[i]->name,
			transports_words(protocols[i]->transports), protocols[i]->summary);
}

int
config_describe(const char *protocol_name, FILE *out)
{
	const struct protocol *protocol;

	if (protocol_name == NULL) {
		protocols_list(out);
		return 0;
	}
	if (strcmp(protocol_name, "daemon") == 0) {
		fputs("The keys of [daemon], with their defaults:\n\n", out);
		table_describe(daemon_options, NULL, out);
		return 0;
	}
	if (strcmp(protocol_name, "connector") == 0) {
		fputs("The keys of every connector, with their defaults:\n\n", out);
		table_describe(connector_options, NULL, out);
		return 0;
	}
	protocol = protocol_find(protocol_name);
	if (protocol == NULL)
		return -1;
	fprintf(out, "%s: %s\n", protocol->name, protocol->summary);
	fprintf(out, "Serves %s.%s\n\n", transports_schemes(protocol->transports),
		protocol->ways != NULL ? " Connectors speak it, too: -l connector." : "");
	if (protocol->options == NULL || protocol->options->name == NULL)
		fputs("It has no options of its own.\n", out);
	else
		fprintf(out, "The options of %s, with their defaults:\n\n", protocol->name);
	table_describe(protocol->options, NULL, out);
	fprintf(out, "\nThe keys of every listener, with their defaults for %s:\n\n",
		protocol->name);
	table_describe(listener_options, protocol->defaults, out);
	return 0;
}
