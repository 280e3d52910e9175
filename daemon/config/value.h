/* value.h - what a value means: text to setting by option row, and what a row takes, in words. */
#ifndef TWINED_CONFIG_VALUE_H
#define TWINED_CONFIG_VALUE_H

#include "base/option.h"

/*
 * Sets the field of the row in a settings struct. Returns NULL, or the tail of a sentence that follows
 * the quoted value: `is not a duration such as 250ms, 5s, 2m, 1h`; valid until the thread's next call.
 * What the field held before is freed. On an error the field is as before.
 */
const char *value_set(const struct option *option, void *settings, const char *text);

/* Frees what a field owns and makes it unset. */
void value_clear(const struct option *option, void *settings);

/* The type and the range of a row in words, for -l: "duration, 1ms to 1d, or none". Returns buffer. */
const char *value_describe(const struct option *option, char *buffer, size_t size);

#endif
