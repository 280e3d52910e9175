/* value.c - a field of a settings struct by its row, whatever its type. */
#include "config/value.h"

#include <stdio.h>
#include <string.h>

#include "config/value_type.h"
#include "net/address.h"

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
