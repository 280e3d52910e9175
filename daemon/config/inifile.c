/* inifile.c - a strict reader in front of inih: it sees every line first and refuses what inih bends. */
#include "config/inifile.h"

#include <ini.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "config/inih.h"
#include "config/sentence.h"
#include "config/utf8.h"
#include "config/whole_file.h"

struct reader {
	const char *at, *end;
	unsigned line;
	struct inifile *file;
	struct inifile_section *section; /* where keys go; NULL: none yet, or a lost one */
	size_t errors;
	inifile_error_fn *error;
	void *arg;
};

static void __attribute__((format(printf, 2, 3)))
refuse(struct reader *reader, const char *format, ...)
{
	char sentence[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(sentence, sizeof sentence, format, arguments);
	va_end(arguments);
	reader->errors++;
	reader->error(reader->arg, reader->line, NULL, NULL, sentence);
}

static bool
is_blank(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* How many blanks the line begins with. */
static size_t
blanks(const char *line, size_t length)
{
	size_t count = 0;

	while (count < length && is_blank(line[count]))
		count++;
	return count;
}

/*
 * The place of the first of these characters, or of the " ;" that begins a comment; length: none.
 */
static size_t
find(const char *line, size_t length, const char *characters)
{
	for (size_t i = 0; i < length; i++)
		if (strchr(characters, line[i]) != NULL
		    || (line[i] == ';' && i > 0 && is_blank(line[i - 1])))
			return i;
	return length;
}

static void
section_begin(struct reader *reader, const char *name, size_t length)
{
	struct inifile *file = reader->file;
	struct inifile_section *sections =
		array_grow(file->sections, file->count, sizeof *sections);
	char *copy = strndup(name, length);

	if (sections != NULL)
		file->sections = sections;
	if (sections == NULL || copy == NULL) {
		free(copy);
		refuse(reader, "%s", out_of_memory);
		return;
	}
	sections[file->count] = (struct inifile_section){ .name = copy, .line = reader->line };
	reader->section = &sections[file->count++];
}

static void
header_check(struct reader *reader, const char *line, size_t length)
{
	size_t close = find(line, length, "]"), rest = close + 1;

	if (close == length || line[close] != ']') {
		refuse(reader, "the header does not close with \"]\"");
	} else {
		rest += blanks(line + rest, length - rest);
		if (rest < length && (line[rest] != ';' || rest == close + 1))
			refuse(reader,
			       "text after the \"]\" of a header: only a comment that begins with \" ;\" "
			       "may stand there");
		else if (close == 1)
			refuse(reader,
			       "the header is empty: expected [daemon], [defaults] or [listener:NAME]");
		else if (close - 1 > INIFILE_NAME_MAX)
			refuse(reader,
			       "the header has %zu bytes between its brackets, at most %d are allowed",
			       close - 1, INIFILE_NAME_MAX);
		else
			section_begin(reader, line + 1, close - 1);
	}
}

static void
entry_check(struct reader *reader, const char *line, size_t length)
{
	size_t equals = find(line, length, "=:"), key = equals;

	while (key > 0 && is_blank(line[key - 1]))
		key--;
	if (equals < length && line[equals] == ':'
	    && memchr(line + equals, '=', length - equals) == NULL)
		refuse(reader, "no \"=\" in the line: expected key = value, not key: value");
	else if (equals < length && line[equals] == ':')
		refuse(reader, "\":\" before the \"=\": expected key = value");
	else if (equals == length || line[equals] != '=')
		refuse(reader, "no \"=\" in the line: expected key = value");
	else if (key == 0)
		refuse(reader, "the key is empty: expected key = value");
	else if (key > INIFILE_NAME_MAX)
		refuse(reader, "the key has %zu bytes, at most %d are allowed", key,
		       INIFILE_NAME_MAX);
	else if (reader->file->count == 0 && !reader->file->has_lost_section)
		refuse(reader, "a key before the first section: expected [daemon], [defaults] or "
			       "[listener:NAME] above it");
}

static void
line_check(struct reader *reader, const char *line, size_t length, size_t most)
{
	char buffer[80];
	size_t indent = blanks(line, length);
	const char *wrong = utf8_check(line, length, buffer, sizeof buffer);

	if (wrong != NULL)
		refuse(reader, "the line has %s", wrong);
	else if (length > INIFILE_LINE_MAX)
		refuse(reader, "the line has %zu bytes, at most %d are allowed", length,
		       INIFILE_LINE_MAX);
	else if (indent == length || line[indent] == ';' || line[indent] == '#')
		return;
	else if (length > most)
		refuse(reader, "the line has %zu bytes, this build's inih takes at most %zu",
		       length, most);
	else if (indent > 0)
		refuse(reader,
		       "the line is indented: a key or header begins at the start of its line, and a "
		       "value ends with its line");
	else if (*line == '[')
		header_check(reader, line, length);
	else
		entry_check(reader, line, length);
}

/* Also when it is indented, or begins with bytes that it should not have. */
static bool
looks_like_header(const char *line, size_t length)
{
	const char *bracket = memchr(line, '[', length);

	if (bracket == NULL)
		return false;
	for (const char *at = line; at < bracket; at++)
		if (*at > ' ' && *at < 0x7f)
			return false;
	return true;
}

/*
 * True when inih may see the line. A header that is refused takes its keys along: they belong to no
 * section that we know.
 */
static bool
line_take(struct reader *reader, const char *line, size_t length, size_t most)
{
	size_t errors = reader->errors;
	bool is_header = looks_like_header(line, length);

	if (is_header)
		reader->section = NULL;
	line_check(reader, line, length, most);
	if (reader->errors == errors)
		return true;
	if (is_header)
		reader->file->has_lost_section = true;
	else if (reader->section != NULL)
		reader->section->has_lost_entry = true;
	return false;
}

/* inih's fgets: gives it the next line, an empty one in place of one that is refused. */
static char *
line_next(char *buffer, int size, void *void_reader)
{
	struct reader *reader = void_reader;
	const char *line = reader->at;

	if (line == reader->end)
		return NULL;
	const char *newline = memchr(line, '\n', (size_t)(reader->end - line));
	size_t length = (size_t)((newline != NULL ? newline : reader->end) - line);
	reader->at = newline != NULL ? newline + 1 : reader->end;
	if (newline != NULL && length > 0 && line[length - 1] == '\r')
		length--;
	if (++reader->line == 1 && length >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
		line += 3, length -= 3;
	size_t most = (size_t)size - 3;
	/* A comment may be longer than inih takes; it is none of its business. */
	if (!line_take(reader, line, length, most) || length > most)
		length = 0;
	memcpy(buffer, line, length);
	memcpy(buffer + length, "\n", 2);
	return buffer;
}

static int
entry_add(void *void_reader, const char *section_name, const char *key, const char *value)
{
	struct reader *reader = void_reader;
	struct inifile_section *section = reader->section;

	(void)section_name;
	if (section == NULL)
		return 1;
	struct inifile_entry *entries =
		array_grow(section->entries, section->count, sizeof *entries);
	struct inifile_entry entry = { .key = strdup(key),
				       .value = strdup(value),
				       .line = reader->line };
	if (entries != NULL)
		section->entries = entries;
	if (entries == NULL || entry.key == NULL || entry.value == NULL) {
		free(entry.key);
		free(entry.value);
		refuse(reader, "%s", out_of_memory);
		return 1;
	}
	entries[section->count++] = entry;
	return 1;
}

static int
entry_compare_keys(const void *a, const void *b)
{
	const struct inifile_entry *x = a, *y = b;
	int order = strcmp(x->key, y->key);

	return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static int
entry_compare_lines(const void *a, const void *b)
{
	const struct inifile_entry *x = a, *y = b;

	return (x->line > y->line) - (x->line < y->line);
}

/*
 * Keeps the first of each key. Sorted, since a hostile file of 1 MiB has a third of a million keys.
 */
static void
repetitions_drop(struct reader *reader, struct inifile_section *section)
{
	size_t kept = 0;

	if (section->count < 2)
		return;
	qsort(section->entries, section->count, sizeof *section->entries, entry_compare_keys);
	for (size_t i = 0; i < section->count; i++) {
		struct inifile_entry *entry = &section->entries[i];
		char sentence[64];

		if (kept == 0 || strcmp(section->entries[kept - 1].key, entry->key) != 0) {
			section->entries[kept++] = *entry;
			continue;
		}
		snprintf(sentence, sizeof sentence, "repeated key, first at line %u",
			 section->entries[kept - 1].line);
		reader->error(reader->arg, entry->line, section->name, entry->key, sentence);
		free(entry->key);
		free(entry->value);
	}
	section->count = kept;
	qsort(section->entries, kept, sizeof *section->entries, entry_compare_lines);
}

struct inifile *
inifile_parse(const char *bytes, size_t length, inifile_error_fn *error, void *arg)
{
	struct inifile *file = calloc(1, sizeof *file);
	struct reader reader = {
		.at = bytes,
		.end = bytes + length,
		.file = file,
		.error = error,
		.arg = arg,
	};

	if (file == NULL) {
		refuse(&reader, "%s", out_of_memory);
		return NULL;
	}
	inih_prepare(INIFILE_LINE_MAX);
	int refused = ini_parse_stream(line_next, &reader, entry_add, &reader);
	reader.section = NULL;
	if (refused > 0) {
		/* Not a line that we know of; but never let one pass that inih did not take. */
		reader.line = (unsigned)refused;
		refuse(&reader, "the line is not understood");
	} else if (refused < 0) {
		refuse(&reader, "%s", out_of_memory);
	}
	for (size_t i = 0; i < file->count; i++)
		repetitions_drop(&reader, &file->sections[i]);
	return file;
}

struct inifile *
inifile_read(const char *path, inifile_error_fn *error, void *arg)
{
	struct whole_file whole;
	const char *wrong = whole_file_read(path, true, &whole);

	if (wrong != NULL) {
		error(arg, 0, NULL, NULL, wrong);
		return NULL;
	}
	struct inifile *file = inifile_parse(whole.bytes, whole.length, error, arg);
	free(whole.bytes);
	if (file != NULL) {
		file->device = whole.device;
		file->inode = whole.inode;
	}
	return file;
}

void
inifile_free(struct inifile *file)
{
	if (file == NULL)
		return;
	for (size_t i = 0; i < file->count; i++) {
		struct inifile_section *section = &file->sections[i];
		for (size_t k = 0; k < section->count; k++) {
			free(section->entries[k].key);
			free(section->entries[k].value);
		}
		free(section->entries);
		free(section->name);
	}
	free(file->sections);
	free(file);
}

const char *
inifile_value_check(const char *key, const char *value, char *buffer, size_t size)
{
	size_t length = strlen(value), line = strlen(key) + strlen(" = ") + length;
	const char *wrong = utf8_check(value, length, buffer, size);

	if (wrong != NULL)
		return wrong;
	for (const char *dollar = strchr(value, '$'); dollar != NULL;
	     dollar = strchr(dollar + 1, '$'))
		line++;
	if (line > INIFILE_LINE_MAX)
		return "more bytes than a line of a file can hold";
	if (length > 0 && (is_blank(value[0]) || is_blank(value[length - 1])))
		return "a blank at its start or end, where a file cannot hold one";
	if (find(value, length, "") < length)
		return "\" ;\" in it, where a comment would begin in a file";
	return NULL;
}
