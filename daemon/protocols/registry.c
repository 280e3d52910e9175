/* registry.c - the list of all protocols: a new one is its file and its line here. */
#include "protocols/registry.h"

#include <string.h>

const struct protocol *const protocols[] = {
	&chargen_protocol,
	&daytime_protocol,
	&discard_protocol,
	&echo_protocol,
	&proxy_protocol,
	&qotd_protocol,
	&relay_protocol,
	&time_protocol,
	NULL,
};

const struct protocol *
protocol_find(const char *name)
{
	for (const struct protocol *const *protocol = protocols; *protocol != NULL; protocol++)
		if (strcmp((*protocol)->name, name) == 0)
			return *protocol;
	return NULL;
}
