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

static struct listener_config *
listener_fill(struct reading *reading, const struct placed *placed)
{
	const struct protocol *protocol = section_protocol(reading, placed);
	struct listener_config *listener =
		listener_config_new(strchr(placed->section->name, ':') + 1,
				    place_format(placed->origin, placed->section->line), protocol);
	size_t faults = reading->faults.count;

	if (listener == NULL) {
		reading->faults.out_of_memory = true;
		return NULL;
	}
	section_fill(&(const struct filling){
		.reading = reading,
		.placed = placed,
		.type = SECTION_LISTENER,
		.table = listener_options,
		.common = &listener->common,
		.common_texts = listener->common_texts,
		.protocol = protocol,
		.settings = listener->settings,
		.texts = listener->texts,
	});
	/* Its name was taken now but could not be copied before. */
	if (listener->common.protocol != protocol)
		reading->faults.out_of_memory = true;
	if (protocol != NULL)
		listener_transports_check(&reading->faults, placed, listener);
	if (protocol != NULL && reading->faults.count == faults && !reading->faults.out_of_memory
	    && !placed->section->has_lost_entry)
		listener_check(&reading->faults, placed, listener);
	return listener;
}

static struct connector_config *
connector_fill(struct reading *reading, const struct placed *placed)
{
	const struct protocol *protocol = section_protocol(reading, placed);
	struct connector_config *connector =
		connector_config_new(strchr(placed->section->name, ':') + 1,
				     place_format(placed->origin, placed->section->line), protocol);
	size_t faults = reading->faults.count;

	if (connector == NULL) {
		reading->faults.out_of_memory = true;
		return NULL;
	}
	if (protocol != NULL && protocol->ways == NULL) {
		connector_refuse_protocol(&reading->faults, placed, protocol);
		return connector;
	}
	section_fill(&(const struct filling){
		.reading = reading,
		.placed = placed,
		.type = SECTION_CONNECTOR,
		.table = connector_options,
		.common = &connector->common,
		.common_texts = connector->common_texts,
		.protocol = protocol,
		.settings = connector->settings,
		.texts = connector->texts,
	});
	if (connector->common.protocol != protocol)
		reading->faults.out_of_memory = true;
	if (protocol != NULL && reading->faults.count == faults && !reading->faults.out_of_memory
	    && !placed->section->has_lost_entry)
		connector_check(&reading->faults, placed, connector);
	return connector;
}

/* What sections are filled into, and checked against each other by. */
struct sections {
	struct reading *reading;
	struct conflicts conflicts;
	struct agreements agreements;
};

static bool
section_is(const struct placed *placed, const char *type)
{
	size_t length = strlen(type);

	return strncmp(placed->section->name, type, length) == 0
	       && placed->section->name[length] == ':';
}

/* Fills a [listener:NAME]. */
static void
listener_add(struct sections *sections, const struct placed *placed)
{
	struct reading *reading = sections->reading;
	struct config *config = reading->config;
	size_t faults = reading->faults.count;
	struct listener_config *listener = listener_fill(reading, placed);

	if (listener == NULL)
		return;
	if (!listener->common.enabled) {
		config->disabled[config->disabled_count++] = listener;
		upstream_loops_check(reading, &listener, 1);
		return;
	}
	config->listeners[config->listener_count++] = listener;
	conflicts_add(&sections->conflicts, &reading->faults, placed, &listener->common);
	if (reading->faults.count == faults)
		agreements_add(&sections->agreements, &reading->faults, placed, listener->name,
			       listener->common.protocol, listener->settings, listener->texts);
}

/* Fills a [connector:NAME]. */
static void
connector_add(struct sections *sections, const struct placed *placed)
{
	struct reading *reading = sections->reading;
	struct config *config = reading->config;
	size_t faults = reading->faults.count;
	struct connector_config *connector = connector_fill(reading, placed);

	if (connector == NULL)
		return;
	if (!connector->common.enabled) {
		config->disabled_connectors[config->disabled_connector_count++] = connector;
		return;
	}
	config->connectors[config->connector_count++] = connector;
	if (reading->faults.count == faults)
		agreements_add(&sections->agreements, &reading->faults, placed, connector->name,
			       connector->common.protocol, connector->settings, connector->texts);
}

void
reading_fill_sections(struct reading *reading)
{
	struct config *config = reading->config;
	struct sections sections = { .reading = reading };
	size_t found = 0;

	for (size_t i = 0; i < reading->section_count; i++) {
		const struct placed *placed = &reading->sections[i];

		if (section_is(placed, "listener"))
			listener_add(&sections, placed);
		else if (section_is(placed, "connector"))
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
