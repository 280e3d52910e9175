/* section_config.c - owns what a listener or connector is told. */
#include "config/section_config.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/table.h"
#include "config/value.h"

const char *
section_word(enum section_type type)
{
	static const char *const words[] = {
		[SECTION_DAEMON] = "daemon",
		[SECTION_DEFAULTS] = "defaults",
		[SECTION_LISTENER] = "listener",
		[SECTION_CONNECTOR] = "connector",
	};

	return words[type];
}

const struct option *
section_options(enum section_type type)
{
	return type == SECTION_DAEMON      ? daemon_options
	       : type == SECTION_CONNECTOR ? connector_options
					   : listener_options;
}

struct section_config *
section_config_new(enum section_type type, const char *name, char *place,
		   const struct protocol *protocol)
{
	struct section_config *section = calloc(1, sizeof *section);

	if (section == NULL) {
		free(place);
		return NULL;
	}
	section->refs = 1;
	section->type = type;
	section->place = place;
	section->protocol = protocol;
	values_clear(section_options(type), &section->common);
	section->name = strdup(name);
	section->common_texts = table_texts_new(section_options(type));
	bool complete = section->name != NULL && place != NULL && section->common_texts != NULL;
	if (protocol != NULL) {
		/* Never of size 0, which calloc(3) may answer with NULL. */
		section->settings = calloc(1, protocol->settings_size + 1);
		section->texts = table_texts_new(protocol->options);
		if (section->settings != NULL)
			values_clear(protocol->options, section->settings);
		complete = complete && section->settings != NULL && section->texts != NULL;
	}
	if (!complete) {
		section_config_unref(section);
		return NULL;
	}
	return section;
}

struct section_config *
section_config_ref(struct section_config *section)
{
	__atomic_add_fetch(&section->refs, 1, __ATOMIC_RELAXED);
	return section;
}

void
section_config_unref(struct section_config *section)
{
	if (section == NULL || __atomic_sub_fetch(&section->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	const struct option *options = section->protocol != NULL ? section->protocol->options : NULL;
	if (section->settings != NULL)
		values_clear(options, section->settings);
	values_clear(section_options(section->type), &section->common);
	table_texts_free(options, section->texts);
	table_texts_free(section_options(section->type), section->common_texts);
	free(section->settings);
	free(section->name);
	free(section->place);
	free(section);
}

bool
section_config_equal(const struct section_config *a, const struct section_config *b)
{
	return strcmp(a->name, b->name) == 0
	       && table_equal(section_options(a->type), &a->common, &b->common)
	       && table_equal(a->protocol->options, a->settings, b->settings);
}

const struct upstream_list *
section_upstreams(const struct section_config *section, const char **key)
{
	for (const struct option *row = section->protocol != NULL ? section->protocol->options
								  : NULL;
	     row != NULL && row->name != NULL; row++) {
		if (row->type != OPTION_UPSTREAMS)
			continue;
		*key = row->name;
		return (const void *)((const char *)section->settings + row->offset);
	}
	return NULL;
}
