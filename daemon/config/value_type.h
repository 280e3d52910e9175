/* value_type.h - how a type of option sets, clears and compares its field; for value*.c alone. */
#ifndef TWINED_CONFIG_VALUE_TYPE_H
#define TWINED_CONFIG_VALUE_TYPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/option.h"

struct value_type {
	const char *noun;	/* for -l, and "is not a NOUN" of numbers */
	size_t size;		/* of the field */
	/* As value_set, for an unset field and neither of the words auto and none. */
	const char *(*set)(const struct option *option, void *field, const char *text,
			   const char *directory);
	void (*clear)(void *field);
	bool (*equal)(const void *a, const void *b);
};

/* One for each of enum option_type. */
extern const struct value_type value_bool, value_number, value_duration, value_size, value_rate,
	value_choice, value_mode, value_string, value_file, value_user, value_group, value_listen,
	value_connect, value_prefixes, value_protocol;

/* ", or none": the words that the row takes besides its values. */
const char *words_of(const struct option *option);

/* "1 to 256, or auto". Returns buffer. */
const char *range_format(const struct option *option, char *buffer, size_t size);

/* "wait, reset". Returns buffer. */
const char *choices_format(const struct option *option, char *buffer, size_t size);

#endif
