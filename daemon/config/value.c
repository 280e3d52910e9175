/* value.c - one row for each type of option: how its text becomes a setting. */
#include "config/value.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/number.h"
#include "config/sentence.h"
#include "config/suggestion.h"
#include "config/value_list.h"
#include "config/whole_file.h"
#include "net/protocol.h"

static const char out_of_memory[] = "out of memory";

/* What a value is in words, for "is not WHAT" of errors and for -l. */
struct value_type {
	const char *noun;
	const char *(*set)(const struct option *option, void *field, const char *text, const char *directory);
	void (*clear)(void *field);
	bool (*equal)(const void *a, const void *b);
};

static const struct value_type *value_type(enum option_type type);

/* ", or none" */
static const char *
words_of(const struct option *option)
{
	static const char *const words[] = { "", ", or auto", ", or none", ", auto or none" };

	return words[!!(option->flags & OPTION_MAY_AUTO) + 2 * !!(option->flags & OPTION_MAY_NONE)];
}

/* "1 to 256, or auto" */
static const char *
range_format(const struct option *option, char *buffer, size_t size)
{
	char min[32], max[32];

	snprintf(buffer, size, "%s to %s%s", number_format(option->type, option->min, min, sizeof min),
		 number_format(option->type, option->max, max, sizeof max), words_of(option));
	return buffer;
}

static const char *
range_check(const struct option *option, int64_t number, const char *text)
{
	char range[96];

	if (number >= option->min && number <= option->max)
		return NULL;
	return sentence_about(text, "is out of range: %s", range_format(option, range, sizeof range));
}

/* Every number, duration, size and mode. */
static const char *
number_set(const struct option *option, void *field, const char *text, const char *directory)
{
	int64_t number;

	(void)directory;
	if (!number_parse(option->type, text, &number))
		return sentence_about(text, "is not a %s%s", value_type(option->type)->noun,
				      option->type == OPTION_DURATION ? "" : words_of(option));
	bool is_off = option->type == OPTION_DURATION && number == 0 && (option->flags & OPTION_MAY_NONE);
	const char *wrong = is_off ? NULL : range_check(option, number, text);
	if (wrong == NULL)
		*(int64_t *)field = number;
	return wrong;
}

static bool
number_equal(const void *a, const void *b)
{
	return *(const int64_t *)a == *(const int64_t *)b;
}

static void
number_clear(void *field)
{
	*(int64_t *)field = 0;
}

static const char *
rate_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct rate rate;

	(void)directory;
	if (!rate_parse(text, &rate))
		return sentence_about(text, "is not a rate such as 100/s, 5/m%s", words_of(option));
	const char *wrong = range_check(option, rate.count, text);
	if (wrong == NULL)
		*(struct rate *)field = rate;
	return wrong;
}

static bool
rate_equal(const void *a, const void *b)
{
	const struct rate *x = a, *y = b;

	return x->count == y->count && x->period_ms == y->period_ms;
}

static void
rate_clear(void *field)
{
	*(struct rate *)field = (struct rate){ 0 };
}

static const char *
bool_set(const struct option *option, void *field, const char *text, const char *directory)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };

	(void)directory;
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcmp(text, words[i]) == 0) {
			*(int64_t *)field = i % 2;
			return NULL;
		}
	return sentence_about(text, "is not yes, no, true, false, on or off%s", words_of(option));
}

/* "wait, reset" */
static const char *
choices_format(const struct option *option, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (const char *const *choice = option->choices; *choice != NULL && used < size; choice++)
		used += (size_t)snprintf(buffer + used, size - used, "%s%s", used > 0 ? ", " : "", *choice);
	return buffer;
}

static const char *
choice_set(const struct option *option, void *field, const char *text, const char *directory)
{
	char choices[200];

	(void)directory;
	for (int64_t i = 0; option->choices[i] != NULL; i++)
		if (strcmp(text, option->choices[i]) == 0) {
			*(int64_t *)field = i;
			return NULL;
		}
	return sentence_about(text, "is not one of %s%s", choices_format(option, choices, sizeof choices),
			      words_of(option));
}

static const char *
string_set(const struct option *option, void *field, const char *text, const char *directory)
{
	size_t length = strlen(text);

	(void)directory;
	if (length == 0 && option->min > 0)
		return sentence_about(text, "is empty");
	if ((int64_t)length < option->min || (option->max != 0 && (int64_t)length > option->max))
		return sentence_about(text, "has %zu bytes: %lld to %lld are allowed", length,
				      (long long)option->min, (long long)option->max);
	char *copy = strdup(text);
	if (copy == NULL)
		return out_of_memory;
	*(char **)field = copy;
	return NULL;
}

static void
string_clear(void *field)
{
	free(*(char **)field);
	*(char **)field = NULL;
}

static bool
string_equal(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	return x == NULL || y == NULL ? x == y : strcmp(x, y) == 0;
}

/* The absolute path, which the caller frees, of one that may be relative to a directory. */
static char *
path_absolute(const char *path, const char *directory)
{
	char *base, *whole;

	if (*path == '/')
		return strdup(path);
	base = realpath(directory != NULL ? directory : ".", NULL);
	if (base == NULL || asprintf(&whole, "%s/%s", strcmp(base, "/") == 0 ? "" : base, path) < 0)
		whole = NULL;
	free(base);
	return whole;
}

static const char *
file_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct whole_file whole;

	(void)option;
	if (*text == '\0')
		return sentence_about(text, "is empty");
	char *path = path_absolute(text, directory);
	if (path == NULL)
		return sentence_about(text, "cannot be read: %s", strerror(errno));
	const char *wrong = whole_file_read(path, false, &whole);
	if (wrong != NULL) {
		free(path);
		return sentence_about(text, "%s", wrong);
	}
	*(struct file_text *)field = (struct file_text){ .path = path, .bytes = whole.bytes,
							 .length = whole.length };
	return NULL;
}

static void
file_clear(void *field)
{
	struct file_text *file = field;

	free(file->path);
	free(file->bytes);
	*file = (struct file_text){ 0 };
}

static bool
file_equal(const void *a, const void *b)
{
	const struct file_text *x = a, *y = b;

	return string_equal(&x->path, &y->path) && x->length == y->length
	       && (x->length == 0 || memcmp(x->bytes, y->bytes, x->length) == 0);
}

/* The largest number says "unchanged" to chown(2). */
static bool
id_parse(const char *text, int64_t *id)
{
	return text[strspn(text, "0123456789")] == '\0' && number_parse(OPTION_NUMBER, text, id)
	       && *id < UINT32_MAX;
}

static const char *
user_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct passwd entry, *found = NULL;
	char buffer[16384];
	int64_t id;

	(void)directory;
	if (!id_parse(text, &id)) {
		if (getpwnam_r(text, &entry, buffer, sizeof buffer, &found) != 0 || found == NULL)
			return sentence_about(text, "is not a user of this system%s", words_of(option));
		id = found->pw_uid;
	}
	*(int64_t *)field = id;
	return NULL;
}

static const char *
group_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct group entry, *found = NULL;
	char buffer[65536];
	int64_t id;

	(void)directory;
	if (!id_parse(text, &id)) {
		if (getgrnam_r(text, &entry, buffer, sizeof buffer, &found) != 0 || found == NULL)
			return sentence_about(text, "is not a group of this system%s", words_of(option));
		id = found->gr_gid;
	}
	*(int64_t *)field = id;
	return NULL;
}

static void
id_clear(void *field)
{
	*(int64_t *)field = OPTION_AUTO;
}

static const char *
addresses_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct address_list list;

	(void)directory;
	const char *wrong = address_list_parse(text, option->type == OPTION_LISTEN, &list);
	if (wrong == NULL)
		*(struct address_list *)field = list;
	return wrong;
}

static void
addresses_clear(void *field)
{
	address_list_clear(field);
}

static bool
addresses_equal(const void *a, const void *b)
{
	return address_list_equal(a, b);
}

static const char *
prefixes_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct prefix_list list;

	(void)option;
	(void)directory;
	const char *wrong = prefix_list_parse(text, &list);
	if (wrong == NULL)
		*(struct prefix_list *)field = list;
	return wrong;
}

static void
prefixes_clear(void *field)
{
	struct prefix_list *list = field;

	free(list->items);
	*list = (struct prefix_list){ 0 };
}

static bool
prefixes_equal(const void *a, const void *b)
{
	return prefix_list_equal(a, b);
}

static const char *
protocol_set(const struct option *option, void *field, const char *text, const char *directory)
{
	const struct protocol *protocol = protocol_find(text);
	struct suggestion suggestion = suggestion_new(text);
	char nearest[80];

	(void)option;
	(void)directory;
	if (protocol == NULL) {
		for (size_t i = 0; protocols[i] != NULL; i++)
			suggestion_offer(&suggestion, protocols[i]->name);
		return sentence_about(text, "is not a protocol%s",
				      suggestion.best == NULL
					      ? ": twined -l lists them"
					      : suggestion_format(&suggestion, nearest, sizeof nearest));
	}
	*(const struct protocol **)field = protocol;
	return NULL;
}

static void
protocol_clear(void *field)
{
	*(const struct protocol **)field = NULL;
}

static bool
protocol_equal(const void *a, const void *b)
{
	return *(const struct protocol *const *)a == *(const struct protocol *const *)b;
}

static const struct value_type types[] = {
	[OPTION_BOOL] = { "yes or no", bool_set, number_clear, number_equal },
	[OPTION_NUMBER] = { "number such as 100", number_set, number_clear, number_equal },
	[OPTION_DURATION] = { "duration such as 250ms, 5s, 2m, 1h", number_set, number_clear, number_equal },
	[OPTION_SIZE] = { "size such as 512, 64K, 1M, 2G", number_set, number_clear, number_equal },
	[OPTION_RATE] = { "rate such as 100/s, 5/m", rate_set, rate_clear, rate_equal },
	[OPTION_CHOICE] = { "choice", choice_set, number_clear, number_equal },
	[OPTION_MODE] = { "mode of permission bits such as 0660", number_set, number_clear, number_equal },
	[OPTION_STRING] = { "text", string_set, string_clear, string_equal },
	[OPTION_FILE] = { "file", file_set, file_clear, file_equal },
	[OPTION_USER] = { "user, by name or number", user_set, id_clear, number_equal },
	[OPTION_GROUP] = { "group, by name or number", group_set, id_clear, number_equal },
	[OPTION_LISTEN] = { "addresses to listen on", addresses_set, addresses_clear, addresses_equal },
	[OPTION_CONNECT] = { "addresses to connect to", addresses_set, addresses_clear, addresses_equal },
	[OPTION_PREFIXES] = { "address prefixes, unix or all", prefixes_set, prefixes_clear, prefixes_equal },
	[OPTION_PROTOCOL] = { "name of a protocol", protocol_set, protocol_clear, protocol_equal },
};

static const struct value_type *
value_type(enum option_type type)
{
	return &types[type];
}

static void *
field_of(const struct option *option, void *settings)
{
	return (char *)settings + option->offset;
}

static const void *
field_of_const(const struct option *option, const void *settings)
{
	return (const char *)settings + option->offset;
}

/* The words auto and none: every type has one field for both. */
static void
word_set(const struct option *option, void *field, bool is_auto)
{
	value_type(option->type)->clear(field);
	if (!is_auto)
		return;
	if (option->type == OPTION_RATE)
		((struct rate *)field)->count = OPTION_AUTO;
	else
		*(int64_t *)field = OPTION_AUTO;
}

const char *
value_set(const struct option *option, void *settings, const char *text, const char *directory)
{
	const struct value_type *type = value_type(option->type);
	void *field = field_of(option, settings);
	/* As large as the largest field, so that the old value lives until the new one is there. */
	union {
		struct rate rate;
		struct file_text file;
		struct address_list addresses;
		struct prefix_list prefixes;
		int64_t number;
		void *pointer;
	} old;
	size_t size = option->type == OPTION_RATE	? sizeof old.rate
		      : option->type == OPTION_FILE	? sizeof old.file
		      : option->type == OPTION_PREFIXES ? sizeof old.prefixes
		      : option->type == OPTION_LISTEN || option->type == OPTION_CONNECT
			      ? sizeof old.addresses
			      : sizeof old.number;

	if ((option->flags & OPTION_MAY_AUTO) && strcmp(text, "auto") == 0) {
		word_set(option, field, true);
		return NULL;
	}
	if ((option->flags & OPTION_MAY_NONE) && strcmp(text, "none") == 0) {
		word_set(option, field, false);
		return NULL;
	}
	memcpy(&old, field, size);
	const char *wrong = type->set(option, field, text, directory);
	if (wrong == NULL)
		type->clear(&old);
	return wrong;
}

void
value_clear(const struct option *option, void *settings)
{
	value_type(option->type)->clear(field_of(option, settings));
}

void
values_clear(const struct option *table, void *settings)
{
	for (const struct option *option = table; option != NULL && option->name != NULL; option++)
		value_clear(option, settings);
}

bool
value_equal(const struct option *option, const void *a, const void *b)
{
	return value_type(option->type)->equal(field_of_const(option, a), field_of_const(option, b));
}

const char *
value_describe(const struct option *option, char *buffer, size_t size)
{
	char range[200] = "";

	switch (option->type) {
	case OPTION_NUMBER:
	case OPTION_DURATION:
	case OPTION_SIZE:
	case OPTION_MODE: {
		static const char *const nouns[] = {
			[OPTION_NUMBER] = "number", [OPTION_DURATION] = "duration", [OPTION_SIZE] = "size",
			[OPTION_MODE] = "permission bits",
		};
		snprintf(buffer, size, "%s, %s", nouns[option->type], range_format(option, range, sizeof range));
		break;
	}
	case OPTION_RATE:
		snprintf(buffer, size, "rate such as 100/s or 5/m, %s",
			 range_format(option, range, sizeof range));
		break;
	case OPTION_CHOICE:
		snprintf(buffer, size, "one of %s%s", choices_format(option, range, sizeof range),
			 words_of(option));
		break;
	case OPTION_STRING:
		if (option->max != 0)
			snprintf(range, sizeof range, ", %lld to %lld bytes", (long long)option->min,
				 (long long)option->max);
		snprintf(buffer, size, "text%s%s", range, words_of(option));
		break;
	default:
		snprintf(buffer, size, "%s%s", value_type(option->type)->noun, words_of(option));
	}
	return buffer;
}
