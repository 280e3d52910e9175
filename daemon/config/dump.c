/* dump.c - prints a configuration so that reading it back gives the same. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"

/* The text of a row; nothing for one that is unset. */
static void
row_dump(const struct option *row, const char *text, FILE *out)
{
	if (text == NULL)
		return;
	/* After a blank, a semicolon would begin a comment. */
	fprintf(out, "%s =%s", row->name, *text == ';' || *text == '\0' ? "" : " ");
	for (const char *at = text; *at != '\0'; at++)
		fputs(*at == '$' ? "$$" : (char[]){ *at, '\0' }, out);
	putc('\n', out);
}

static void
table_dump(const struct option *table, char *const *texts, FILE *out)
{
	for (size_t i = 0; table != NULL && table[i].name != NULL; i++)
		row_dump(&table[i], texts[i], out);
}

static void
section_dump(const struct section_config *section, FILE *out)
{
	fprintf(out, "\n[%s:%s]\n", section_word(section->type), section->name);
	table_dump(section_options(section->type), section->common_texts, out);
	table_dump(section->protocol->options, section->texts, out);
}

int
config_dump(const struct config *config, FILE *out)
{
	fputs("# The effective configuration: defaults, included files and the environment put in.\n\n[daemon]\n",
	      out);
	for (size_t i = 0; daemon_options[i].name != NULL; i++)
		/* The sections of the included files stand here. */
		if (strcmp(daemon_options[i].name, "include") != 0)
			row_dump(&daemon_options[i], config->daemon_texts[i], out);
	for (size_t i = 0; i < config->listener_count; i++)
		section_dump(config->listeners[i], out);
	for (size_t i = 0; i < config->disabled_count; i++)
		section_dump(config->disabled[i], out);
	for (size_t i = 0; i < config->connector_count; i++)
		section_dump(config->connectors[i], out);
	for (size_t i = 0; i < config->disabled_connector_count; i++)
		section_dump(config->disabled_connectors[i], out);
	if (fflush(out) != 0 || ferror(out)) {
		errno = errno != 0 ? errno : EIO;
		return -1;
	}
	return 0;
}
