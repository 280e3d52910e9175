/* config.c - reads a configuration whole, and owns it. */
#include "config/config.h"

#include <stdlib.h>

#include "config/reading.h"
#include "config/table.h"
#include "config/value.h"

static struct config *
config_new(size_t sections_max)
{
	struct config *config = calloc(1, sizeof *config);

	if (config == NULL)
		return NULL;
	config->daemon_texts = table_texts_new(daemon_options);
	config->listeners = calloc(sections_max + 1, sizeof(struct section_config *));
	config->disabled = calloc(sections_max + 1, sizeof(struct section_config *));
	config->connectors = calloc(sections_max + 1, sizeof(struct section_config *));
	config->disabled_connectors = calloc(sections_max + 1, sizeof(struct section_config *));
	if (config->daemon_texts == NULL || config->listeners == NULL || config->disabled == NULL
	    || config->connectors == NULL || config->disabled_connectors == NULL) {
		config_free(config);
		return NULL;
	}
	return config;
}

static void
sources_free(struct reading *reading)
{
	for (size_t i = 0; i < reading->source_count; i++) {
		struct source *source = reading->sources[i];
		inifile_free(source->file);
		free(source->origin.label);
		free(source->origin.directory);
		free(source);
	}
	free(reading->sources);
	free(reading->sections);
	table_texts_free(listener_options, reading->default_texts);
}

struct config *
config_read(const char *path, char *const *specs, size_t spec_count, struct config_errors *errors)
{
	struct reading reading = { 0 };

	*errors = (struct config_errors){ 0 };
	reading_add_files(&reading, path);
	for (size_t i = 0; i < spec_count; i++)
		reading_add_spec(&reading, specs[i]);
	reading_gather(&reading);
	reading.default_texts = table_texts_new(listener_options);
	reading.config = config_new(reading.section_count);
	if (reading.default_texts == NULL || reading.config == NULL)
		reading.faults.out_of_memory = true;
	if (reading.source_count == 0)
		fault_add(&reading.faults, &(struct origin){ .label = (char[]){ "command line" } },
			  0, NULL, NULL, "no file and no -L: there is nothing to do");
	else if (!reading.faults.out_of_memory) {
		reading_fill_daemon(&reading);
		reading_fill_defaults(&reading);
		reading_fill_sections(&reading);
	}
	errors->files = reading.files;
	if (faults_finish(&reading.faults, errors)) {
		config_free(reading.config);
		reading.config = NULL;
	}
	sources_free(&reading);
	return reading.config;
}

void
config_free(struct config *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < config->listener_count; i++)
		section_config_unref(config->listeners[i]);
	for (size_t i = 0; i < config->disabled_count; i++)
		section_config_unref(config->disabled[i]);
	for (size_t i = 0; i < config->connector_count; i++)
		section_config_unref(config->connectors[i]);
	for (size_t i = 0; i < config->disabled_connector_count; i++)
		section_config_unref(config->disabled_connectors[i]);
	values_clear(daemon_options, &config->daemon);
	table_texts_free(daemon_options, config->daemon_texts);
	free(config->listeners);
	free(config->disabled);
	free(config->connectors);
	free(config->disabled_connectors);
	free(config);
}
