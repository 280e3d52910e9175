/* fuzz_inifile.c - feeds the INI reader any bytes: what it returns must be what a line can say. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/inifile.h"
#include "config/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct told {
	size_t count;
	unsigned lines;
};

static void
error_note(void *arg, unsigned line, const char *section, const char *key, const char *sentence)
{
	struct told *told = arg;
	char buffer[80];

	(void)section;
	told->count++;
	if (line > told->lines
	    || utf8_check(sentence, strlen(sentence), buffer, sizeof buffer) != NULL
	    || (key != NULL && *key == '\0'))
		abort();
}

static void
section_check(const struct inifile_section *section, unsigned lines)
{
	char buffer[80];

	if (section->line == 0 || section->line > lines || strlen(section->name) > INIFILE_NAME_MAX
	    || *section->name == '\0')
		abort();
	for (size_t i = 0; i < section->count; i++) {
		const struct inifile_entry *entry = &section->entries[i];
		if (entry->line <= section->line || entry->line > lines || *entry->key == '\0'
		    || strlen(entry->key) > INIFILE_NAME_MAX)
			abort();
		/* A dollar takes two in a dump, so the length may be more than a line then. */
		if (strchr(entry->value, '$') == NULL
		    && strlen(entry->key) + strlen(entry->value) < 3900
		    && inifile_value_check(entry->key, entry->value, buffer, sizeof buffer) != NULL)
			abort();
		for (size_t k = 0; k < i && i < 20; k++)
			if (strcmp(section->entries[k].key, entry->key) == 0)
				abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	struct told told = { .lines = 1 };

	for (size_t i = 0; i < length; i++)
		told.lines += bytes[i] == '\n';
	struct inifile *file = inifile_parse((const char *)bytes, length, error_note, &told);
	if (file == NULL)
		abort();
	for (size_t i = 0; i < file->count; i++)
		section_check(&file->sections[i], told.lines);
	inifile_free(file);
	return 0;
}
