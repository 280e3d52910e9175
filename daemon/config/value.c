/* value.c - the types that are texts or names, and a field by its row, whatever its type. */
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
#include "config/whole_file.h"
#include "net/address.h"
#include "net/protocol.h"

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
	*(struct file_text *)field =
		(struct file_text){ .path = path, .bytes = whole.bytes, .length = whole.length };
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
			return sentence_about(text, "is not a user of this system%s",
					      words_of(option));
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
			return sentence_about(text, "is not a group of this system%s",
					      words_of(option));
		id = found->gr_gid;
	}
	*(int64_t *)field = id;
	return NULL;
}

static bool
id_equal(const void *a, const void *b)
{
	return *(const int64_t *)a == *(const int64_t *)b;
}

static void
id_clear(void *field)
{
	*(int64_t *)field = OPTION_AUTO;
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
		return sentence_about(
			text, "is not a protocol%s",
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

const struct value_type value_string = {
	.noun = "text",
	.size = sizeof(char *),
	.set = string_set,
	.clear = string_clear,
	.equal = string_equal,
};

const struct value_type value_file = {
	.noun = "file",
	.size = sizeof(struct file_text),
	.set = file_set,
	.clear = file_clear,
	.equal = file_equal,
};

const struct value_type value_user = {
	.noun = "user, by name or number",
	.size = sizeof(int64_t),
	.set = user_set,
	.clear = id_clear,
	.equal = id_equal,
};

const struct value_type value_group = {
	.noun = "group, by name or number",
	.size = sizeof(int64_t),
	.set = group_set,
	.clear = id_clear,
	.equal = id_equal,
};

const struct value_type value_protocol = {
	.noun = "name of a protocol",
	.size = sizeof(const struct protocol *),
	.set = protocol_set,
	.clear = protocol_clear,
	.equal = protocol_equal,
};

static const struct value_type *
value_type(enum option_type type)
{
	static const struct value_type *const types[] = {
		[OPTION_BOOL] = &value_bool,         [OPTION_NUMBER] = &value_number,
		[OPTION_DURATION] = &value_duration, [OPTION_SIZE] = &value_size,
		[OPTION_RATE] = &value_rate,         [OPTION_CHOICE] = &value_choice,
		[OPTION_MODE] = &value_mode,         [OPTION_STRING] = &value_string,
		[OPTION_FILE] = &value_file,         [OPTION_USER] = &value_user,
		[OPTION_GROUP] = &value_group,       [OPTION_LISTEN] = &value_listen,
		[OPTION_CONNECT] = &value_connect,   [OPTION_PREFIXES] = &value_prefixes,
		[OPTION_UPSTREAMS] = &value_upstreams,
		[OPTION_EXCHANGE] = &value_exchange, [OPTION_BYTES] = &value_bytes,
		[OPTION_IP] = &value_ip,             [OPTION_DSCP] = &value_dscp,
		[OPTION_PROTOCOL] = &value_protocol,
	};

	return types[type];
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
	/* The old value lives until the new one is there. */
	union {
		struct rate rate;
		struct file_text file;
		struct address_list addresses;
		struct upstream_list upstreams;
		struct exchange exchange;
		struct byte_text bytes;
		union peer_address ip;
		struct prefix_list prefixes;
		int64_t number;
		void *pointer;
	} old;

	if ((option->flags & OPTION_MAY_AUTO) && strcmp(text, "auto") == 0) {
		word_set(option, field, true);
		return NULL;
	}
	if ((option->flags & OPTION_MAY_NONE) && strcmp(text, "none") == 0) {
		word_set(option, field, false);
		return NULL;
	}
	memcpy(&old, field, type->size);
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
	return value_type(option->type)
		->equal(field_of_const(option, a), field_of_const(option, b));
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
			[OPTION_NUMBER] = "number",
			[OPTION_DURATION] = "duration",
			[OPTION_SIZE] = "size",
			[OPTION_MODE] = "permission bits",
		};
		snprintf(buffer, size, "%s, %s", nouns[option->type],
			 range_format(option, range, sizeof range));
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
			snprintf(range, sizeof range, ", %lld to %lld bytes",
				 (long long)option->min, (long long)option->max);
		snprintf(buffer, size, "text%s%s", range, words_of(option));
		break;
	default:
		snprintf(buffer, size, "%s%s", value_type(option->type)->noun, words_of(option));
	}
	return buffer;
}
