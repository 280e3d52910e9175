/* fill.c - makes settings of sections: own keys, what [defaults] says, what the tables say. */
#include <stdlib.h>
#include <string.h>

#include "config/agreement.h"
#include "config/assign.h"
#include "config/conflict.h"
#include "config/expand.h"
#include "config/listener_check.h"
#include "config/sentence.h"
#include "config/table.h"
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

/* The protocol that a listener will have; NULL when its key is missing or wrong, which is told later. */
static const struct protocol *
protocol_of(const struct reading *reading, const struct placed *placed)
{
	const struct option *row = option_find(listener_options, "protocol");
	const struct inifile_entry *entry = section_entry(placed, "protocol");
	const char *inherited = reading->default_texts[row - listener_options];
	char *name;

	if (entry == NULL)
		return inherited != NULL ? protocol_find(inherited) : NULL;
	if (expand(entry->value, &name) != NULL)
		return NULL;
	const struct protocol *protocol = protocol_find(name);
	free(name);
	return protocol;
}

static const char *
protocol_default(const struct protocol *protocol, const struct option *row)
{
	for (const struct option_default *own = protocol != NULL ? protocol->defaults : NULL;
	     own != NULL && own->name != NULL; own++)
		if (strcmp(own->name, row->name) == 0)
			return own->value;
	return row->fallback;
}

static void
required_fault(struct reading *reading, const struct placed *placed, const struct option *row,
	       const struct protocol *protocol, const char *whose)
{
	/* A line that was refused may have had the key. */
	if (placed->section->has_lost_entry || section_misspells(placed, row->name, protocol))
		return;
	fault_add(&reading->faults, placed->origin, placed->section->line, placed->section->name,
		  row->name, "missing: every listener%s%s needs it",
		  *whose != '\0' ? " of protocol " : "", whose);
}

static void
common_fill(struct reading *reading, const struct placed *placed, struct listener_config *listener)
{
	const struct protocol *protocol = listener->common.protocol;

	for (size_t i = 0; listener_options[i].name != NULL; i++) {
		const struct option *row = &listener_options[i];
		const struct inifile_entry *entry = section_entry(placed, row->name);
		const struct inifile_entry *shared = section_entry(&reading->defaults, row->name);
		const char *inherited = reading->default_texts[i];
		char **text = &listener->common_texts[i];

		if (entry != NULL)
			row_assign(&reading->faults, placed, entry, row, &listener->common, text);
		else if (inherited != NULL)
			row_inherit(&reading->faults, placed, row, inherited, NULL,
				    &listener->common, text);
		else if (protocol_default(protocol, row) != NULL)
			row_inherit(&reading->faults, placed, row, protocol_default(protocol, row),
				    NULL, &listener->common, text);
		else if ((row->flags & OPTION_REQUIRED) && shared == NULL)
			required_fault(reading, placed, row, protocol, "");
	}
}

static void
own_fill(struct reading *reading, const struct placed *placed, struct listener_config *listener)
{
	const struct protocol *protocol = listener->common.protocol;
	size_t count = table_size(protocol->options);

	for (size_t i = 0; i < count; i++) {
		const struct option *row = &protocol->options[i];
		const struct inifile_entry *entry = section_entry(placed, row->name);

		if (entry != NULL)
			row_assign(&reading->faults, placed, entry, row, listener->settings,
				   &listener->texts[i]);
		else if (row->fallback != NULL)
			row_inherit(&reading->faults, placed, row, row->fallback, NULL,
				    listener->settings, &listener->texts[i]);
		else if (row->flags & OPTION_REQUIRED)
			required_fault(reading, placed, row, protocol, protocol->name);
	}
}

static struct listener_config *
listener_fill(struct reading *reading, const struct placed *placed)
{
	const struct protocol *protocol = protocol_of(reading, placed);
	struct listener_config *listener =
		listener_config_new(strchr(placed->section->name, ':') + 1,
				    place_format(placed->origin, placed->section->line), protocol);
	size_t faults = reading->faults.count;

	if (listener == NULL) {
		reading->faults.out_of_memory = true;
		return NULL;
	}
	keys_check(&reading->faults, placed, SECTION_LISTENER, protocol);
	common_fill(reading, placed, listener);
	/* Its name was taken now but could not be copied before. */
	if (listener->common.protocol != protocol)
		reading->faults.out_of_memory = true;
	if (protocol != NULL) {
		own_fill(reading, placed, listener);
		listener_transports_check(&reading->faults, placed, listener);
	}
	if (protocol != NULL && reading->faults.count == faults && !reading->faults.out_of_memory
	    && !placed->section->has_lost_entry)
		listener_check(&reading->faults, placed, listener);
	return listener;
}

void
reading_fill_listeners(struct reading *reading)
{
	struct config *config = reading->config;
	struct conflicts conflicts = { 0 };
	struct agreements agreements = { 0 };
	size_t found = 0;

	for (size_t i = 0; i < reading->section_count; i++) {
		const struct placed *placed = &reading->sections[i];

		if (strncmp(placed->section->name, "listener:", strlen("listener:")) != 0)
			continue;
		found++;
		size_t faults = reading->faults.count;
		struct listener_config *listener = listener_fill(reading, placed);
		if (listener == NULL)
			continue;
		if (listener->common.enabled) {
			config->listeners[config->listener_count++] = listener;
			conflicts_add(&conflicts, &reading->faults, placed, &listener->common);
			if (reading->faults.count == faults)
				agreements_add(&agreements, &reading->faults, placed, listener->name,
					       listener->common.protocol, listener->settings,
					       listener->texts);
		} else {
			config->disabled[config->disabled_count++] = listener;
			upstream_loops_check(reading, &listener, 1);
		}
	}
	conflicts_check(&conflicts, &reading->faults);
	agreements_check(&agreements, &reading->faults);
	upstream_loops_check(reading, config->listeners, config->listener_count);
	/* A section that was refused may have been the listener. */
	if (found == 0 && !reading->has_lost_section)
		fault_add(&reading->faults, &reading->sources[0]->origin, 0, NULL, NULL,
			  "no listener: expected a section [listener:NAME]");
}
