/* value.h - what a value means: text to setting by option row, and what a row takes, in words. */
#ifndef TWINED_CONFIG_VALUE_H
#define TWINED_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/option.h"

/*
 * Sets the field of the row in a settings struct. directory is where the relative path of an
 * OPTION_FILE begins, NULL the working directory. Returns NULL, or a sentence that quotes what it
 * could not take: `"5 parsecs" is not a duration such as 250ms, 5s, 2m, 1h`; valid until the
 * thread's next call. What the field held before is freed. On an error the field is as before.
 */
const char *value_set(const struct option *option, void *settings, const char *text,
		      const char *directory);

/* Frees what a field owns and makes it unset: zero, but OPTION_AUTO for a user or group. */
void value_clear(const struct option *option, void *settings);

/* Clears the fields of a whole table; makes a zeroed struct a valid one. */
void values_clear(const struct option *table, void *settings);

/*
 * Whether the field is the same in two settings structs, and the bytes of the file that it names.
 */
bool value_equal(const struct option *option, const void *a, const void *b);

/*
 * The type and the range of a row in words, for -l: "duration, 1ms to 365d, or none". Returns
 * buffer.
 */
const char *value_describe(const struct option *option, char *buffer, size_t size);

/*
 * What follows is between the files that implement the types: value.c, value_list.c and number.c.
 */

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
	value_connect, value_upstreams, value_exchange, value_bytes, value_ip, value_dscp,
	value_prefixes, value_protocol;

/* ", or none": the words that the row takes besides its values. */
const char *words_of(const struct option *option);

/* "1 to 256, or auto". Returns buffer. */
const char *range_format(const struct option *option, char *buffer, size_t size);

/* "wait, reset". Returns buffer. */
const char *choices_format(const struct option *option, char *buffer, size_t size);

#endif
