/* section_fill.c - own keys, what [defaults] says, what the tables say. */
#include "config/section_fill.h"

#include <stdlib.h>
#include <string.h>

#include "config/assign.h"
#include "config/expand.h"
#include "config/table.h"
#include "config/value.h"
#include "net/listener.h"

/* What [defaults] says for a key; NULL: nothing. */
static const char *
inherited_text(const struct reading *reading, const char *key)
{
	const struct option *row = option_find(listener_options, key);

	return row != NULL ? reading->default_texts[row - listener_options] : NULL;
}

const struct protocol *
section_protocol(const struct reading *reading, const struct placed *placed)
{
	const struct inifile_entry *entry = section_entry(placed, "protocol");
	const char *inherited = inherited_text(reading, "protocol");
	char *name;

	if (entry == NULL)
		return inherited != NULL ? protocol_find(inherited) : NULL;
	if (expand(entry->value, &name) != NULL)
		return NULL;
	const struct protocol *protocol = protocol_find(name);
	free(name);
	return protocol;
}

/* The default of a common key. Those that a protocol has of its own are for listeners. */
static const char *
default_of(const struct section_config *section, const struct option *row)
{
	const struct protocol *protocol = section->protocol;

	for (const struct option_default *own =
		     protocol != NULL && section->type == SECTION_LISTENER ? protocol->defaults
									   : NULL;
	     own != NULL && own->name != NULL; own++)
		if (strcmp(own->name, row->name) == 0)
			return own->value;
	return row->fallback;
}

static void
required_fault(struct faults *faults, const struct placed *placed,
	       const struct section_config *section, const struct option *row, const char *whose)
{
	/* A line that was refused may have had the key. */
	if (placed->section->has_lost_entry
	    || section_misspells(placed, row->name, section->type, section->protocol))
		return;
	fault_add(faults, placed->origin, placed->section->line, placed->section->name, row->name,
		  "missing: every %s%s%s needs it", section_word(section->type),
		  *whose != '\0' ? " of protocol " : "", whose);
}

static void
common_fill(struct reading *reading, const struct placed *placed, struct section_config *section)
{
	const struct option *options = section_options(section->type);

	for (size_t i = 0; options[i].name != NULL; i++) {
		const struct option *row = &options[i];
		const struct inifile_entry *entry = section_entry(placed, row->name);
		const struct inifile_entry *shared = section_entry(&reading->defaults, row->name);
		const char *inherited = inherited_text(reading, row->name);
		const char *fallback = default_of(section, row);
		char **text = &section->common_texts[i];

		if (entry != NULL)
			row_assign(&reading->faults, placed, entry, row, &section->common, text);
		else if (inherited != NULL || fallback != NULL)
			row_inherit(&reading->faults, placed, row,
				    inherited != NULL ? inherited : fallback, NULL,
				    &section->common, text);
		else if ((row->flags & OPTION_REQUIRED) && shared == NULL)
			required_fault(&reading->faults, placed, section, row, "");
	}
}

static void
own_fill(struct faults *faults, const struct placed *placed, struct section_config *section)
{
	const struct protocol *protocol = section->protocol;
	size_t count = table_size(protocol->options);

	for (size_t i = 0; i < count; i++) {
		const struct option *row = &protocol->options[i];
		const struct inifile_entry *entry = section_entry(placed, row->name);

		if (entry != NULL)
			row_assign(faults, placed, entry, row, section->settings,
				   &section->texts[i]);
		else if (row->fallback != NULL)
			row_inherit(faults, placed, row, row->fallback, NULL, section->settings,
				    &section->texts[i]);
		else if (row->flags & OPTION_REQUIRED)
			required_fault(faults, placed, section, row, protocol->name);
	}
}

void
section_fill(struct reading *reading, const struct placed *placed, struct section_config *section)
{
	keys_check(&reading->faults, placed, section->type, section->protocol);
	common_fill(reading, placed, section);
	if (section->protocol != NULL)
		own_fill(&reading->faults, placed, section);
}
