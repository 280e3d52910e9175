/* listener_config.c - owns what a listener is told. */
#include "config/listener_config.h"

#include <stdlib.h>
#include <string.h>

#include "config/table.h"
#include "config/value.h"

struct listener_config *
listener_config_new(const char *name, char *place, const struct protocol *protocol)
{
	struct listener_config *listener = calloc(1, sizeof *listener);

	if (listener == NULL) {
		free(place);
		return NULL;
	}
	listener->refs = 1;
	listener->place = place;
	values_clear(listener_options, &listener->common);
	listener->common.protocol = protocol;
	listener->name = strdup(name);
	listener->common_texts = table_texts_new(listener_options);
	bool complete = listener->name != NULL && place != NULL && listener->common_texts != NULL;
	if (protocol != NULL) {
		/* Never of size 0, which calloc(3) may answer with NULL. */
		listener->settings = calloc(1, protocol->settings_size + 1);
		listener->texts = table_texts_new(protocol->options);
		if (listener->settings != NULL)
			values_clear(protocol->options, listener->settings);
		complete = complete && listener->settings != NULL && listener->texts != NULL;
	}
	if (!complete) {
		listener_config_unref(listener);
		return NULL;
	}
	return listener;
}

struct listener_config *
listener_config_ref(struct listener_config *listener)
{
	__atomic_add_fetch(&listener->refs, 1, __ATOMIC_RELAXED);
	return listener;
}

void
listener_config_unref(struct listener_config *listener)
{
	if (listener == NULL || __atomic_sub_fetch(&listener->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	const struct protocol *protocol = listener->common.protocol;
	const struct option *options = protocol != NULL ? protocol->options : NULL;
	if (listener->settings != NULL)
		values_clear(options, listener->settings);
	values_clear(listener_options, &listener->common);
	table_texts_free(options, listener->texts);
	table_texts_free(listener_options, listener->common_texts);
	free(listener->settings);
	free(listener->name);
	free(listener->place);
	free(listener);
}

bool
listener_config_equal(const struct listener_config *a, const struct listener_config *b)
{
	return strcmp(a->name, b->name) == 0
	       && table_equal(listener_options, &a->common, &b->common)
	       && table_equal(a->common.protocol->options, a->settings, b->settings);
}

const struct upstream_list *
listener_upstreams(const struct listener_config *listener, const char **key)
{
	const struct protocol *protocol = listener->common.protocol;

	for (const struct option *row = protocol != NULL ? protocol->options : NULL;
	     row != NULL && row->name != NULL; row++) {
		if (row->type != OPTION_UPSTREAMS)
			continue;
		*key = row->name;
		return (const void *)((const char *)listener->settings + row->offset);
	}
	return NULL;
}
