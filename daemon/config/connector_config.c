/* connector_config.c - owns what a connector is told. */
#include "config/connector_config.h"

#include <stdlib.h>
#include <string.h>

#include "config/table.h"
#include "config/value.h"

struct connector_config *
connector_config_new(const char *name, char *place, const struct protocol *protocol)
{
	struct connector_config *connector = calloc(1, sizeof *connector);

	if (connector == NULL) {
		free(place);
		return NULL;
	}
	connector->refs = 1;
	connector->place = place;
	values_clear(connector_options, &connector->common);
	connector->common.protocol = protocol;
	connector->name = strdup(name);
	connector->common_texts = table_texts_new(connector_options);
	bool complete = connector->name != NULL && place != NULL && connector->common_texts != NULL;
	if (protocol != NULL) {
		/* Never of size 0, which calloc(3) may answer with NULL. */
		connector->settings = calloc(1, protocol->settings_size + 1);
		connector->texts = table_texts_new(protocol->options);
		if (connector->settings != NULL)
			values_clear(protocol->options, connector->settings);
		complete = complete && connector->settings != NULL && connector->texts != NULL;
	}
	if (!complete) {
		connector_config_unref(connector);
		return NULL;
	}
	return connector;
}

struct connector_config *
connector_config_ref(struct connector_config *connector)
{
	__atomic_add_fetch(&connector->refs, 1, __ATOMIC_RELAXED);
	return connector;
}

void
connector_config_unref(struct connector_config *connector)
{
	if (connector == NULL || __atomic_sub_fetch(&connector->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	const struct protocol *protocol = connector->common.protocol;
	const struct option *options = protocol != NULL ? protocol->options : NULL;
	if (connector->settings != NULL)
		values_clear(options, connector->settings);
	values_clear(connector_options, &connector->common);
	table_texts_free(options, connector->texts);
	table_texts_free(connector_options, connector->common_texts);
	free(connector->settings);
	free(connector->name);
	free(connector->place);
	free(connector);
}

bool
connector_config_equal(const struct connector_config *a, const struct connector_config *b)
{
	return strcmp(a->name, b->name) == 0
	       && table_equal(connector_options, &a->common, &b->common)
	       && table_equal(a->common.protocol->options, a->settings, b->settings);
}
