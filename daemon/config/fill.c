/* fill.c - makes settings of sections: own keys, what [defaults] says, what the tables say. */
#include <stdlib.h>
#include <string.h>

#include "config/agreement.h"
#include "config/assign.h"
#include "config/conflict.h"
#include "config/connector_check.h"
#include "config/connector_loop.h"
#include "config/listener_check.h"
#include "config/section_fill.h"
#include "config/upstream_loop.h"
#include "config/value.h"

void
reading_fill_daemon(struct reading *reading)
{
	const struct placed *placed = reading_find(reading, "daemon");
	struct placed nowhere = { .origin = &reading->sources[0]->origin };
	struct config *config = reading->config;

	if (placed == NULL)
		placed = &nowhere;
	else
		keys_check(&reading->faults, placed, SECTION_DAEMON, NULL);
	for (size_t i = 0; daemon_options[i].name != NULL; i++) {
		const struct option *row = &daemon_options[i];
		const struct inifile_entry *entry = section_entry(placed, row->name);
		char **text = &config->daemon_texts[i];

		if (entry != NULL)
			row_assign(&reading->faults, placed, entry, row, &config->daemon, text);
		else if (row->fallback != NULL)
			row_inherit(&reading->faults, placed, row, row->fallback, NULL,
				    &config->daemon, text);
		if (entry != NULL && placed->origin->rank > 0 && strcmp(row->name, "include") == 0)
			fault_add(&reading->faults, placed->origin, entry->line, "daemon",
				  "include", "only the first file includes others");
	}
}

void
reading_fill_defaults(struct reading *reading)
{
	const struct placed *placed = reading_find(reading, "defaults");
	struct listener_settings scratch = { 0 };

	if (placed == NULL)
		return;
	reading->defaults = *placed;
	values_clear(listener_options, &scratch);
	keys_check(&reading->faults, placed, SECTION_DEFAULTS, NULL);
	for (size_t i = 0; listener_options[i].name != NULL; i++) {
		const struct inifile_entry *entry = section_entry(placed, listener_options[i].name);
		char *text = NULL;

		if (entry != NULL
		    && row_assign(&reading->faults, placed, entry, &listener_options[i], &scratch,
				  &text))
			reading->default_texts[i] = text;
	}
	values_clear(listener_options, &scratch);
}

/* The value of the key protocol, as it is filled in. */
static const struct protocol *
filled_protocol(const struct section_config *section)
{
	return section->type == SECTION_LISTENER ? section->common.listener.protocol
						 : section->common.connector.protocol;
}

/* Makes what a section says, and checks it; NULL without memory. */
static struct section_config *
section_read(struct reading *reading, const struct placed *placed, enum section_type type)
{
	struct faults *faults = &reading->faults;
	const struct protocol *protocol = section_protocol(reading, placed);
	struct section_config *section =
		section_config_new(type, strchr(placed->section->name, ':') + 1,
				   place_format(placed->origin, placed->section->line), protocol);
	size_t before = faults->count;

	if (section == NULL) {
		faults->out_of_memory = true;
		return NULL;
	}
	if (type == SECTION_CONNECTOR && protocol != NULL && protocol->ways == NULL) {
		connector_refuse_protocol(faults, placed, protocol);
		return section;
	}
	section_fill(reading, placed, section);
	/* Its name was taken now but could not be copied before. */
	if (filled_protocol(section) != protocol)
		faults->out_of_memory = true;
	if (protocol != NULL && type == SECTION_LISTENER)
		listener_transports_check(faults, placed, section);
	if (protocol == NULL || faults->count != before || faults->out_of_memory
	    || placed->section->has_lost_entry)
		return section;
	if (type == SECTION_LISTENER)
		listener_check(faults, placed, section);
	else
		connector_check(faults, placed, section);
	return section;
}

/* What sections are filled into, and checked against each other by. */
struct sections {
	struct reading *reading;
	struct conflicts conflicts;
	struct agreements agreements;
};

static bool
section_is(const struct placed *placed, enum section_type type)
{
	const char *word = section_word(type);
	size_t length = strlen(word);

	return strncmp(placed->section->name, word, length) == 0
	       && placed->section->name[length] == ':';
}

/* Fills a [listener:NAME]. */
static void
listener_add(struct sections *sections, const struct placed *placed)
{
	struct reading *reading = sections->reading;
	struct config *config = reading->config;
	size_t faults = reading->faults.count;
	struct section_config *listener = section_read(reading, placed, SECTION_LISTENER);

	if (listener == NULL)
		return;
	if (!listener->common.listener.enabled) {
		config->disabled[config->disabled_count++] = listener;
		upstream_loops_check(reading, &listener, 1);
		return;
	}
	config->listeners[config->listener_count++] = listener;
	conflicts_add(&sections->conflicts, &reading->faults, placed, &listener->common.listener);
	if (reading->faults.count == faults)
		agreements_add(&sections->agreements, &reading->faults, placed, listener);
}

/* Fills a [connector:NAME]. */
static void
connector_add(struct sections *sections, const struct placed *placed)
{
	struct reading *reading = sections->reading;
	struct config *config = reading->config;
	size_t faults = reading->faults.count;
	struct section_config *connector = section_read(reading, placed, SECTION_CONNECTOR);

	if (connector == NULL)
		return;
	if (!connector->common.connector.enabled) {
		config->disabled_connectors[config->disabled_connector_count++] = connector;
		return;
	}
	config->connectors[config->connector_count++] = connector;
	if (reading->faults.count == faults)
		agreements_add(&sections->agreements, &reading->faults, placed, connector);
}

void
reading_fill_sections(struct reading *reading)
{
	struct config *config = reading->config;
	struct sections sections = { .reading = reading };
	size_t found = 0;

	for (size_t i = 0; i < reading->section_count; i++) {
		const struct placed *placed = &reading->sections[i];

		if (section_is(placed, SECTION_LISTENER))
			listener_add(&sections, placed);
		else if (section_is(placed, SECTION_CONNECTOR))
			connector_add(&sections, placed);
		else
			continue;
		found++;
	}
	/* What is not understood may be a role or a hub. */
	if (reading->faults.count == 0 && !reading->faults.out_of_memory)
		connector_loops_check(reading);
	conflicts_check(&sections.conflicts, &reading->faults);
	agreements_check(&sections.agreements, &reading->faults);
	upstream_loops_check(reading, config->listeners, config->listener_count);
	/* A section that was refused may have been the listener. */
	if (found == 0 && !reading->has_lost_section)
		fault_add(&reading->faults, &reading->sources[0]->origin, 0, NULL, NULL,
			  "no listener: expected a section [listener:NAME]");
}
