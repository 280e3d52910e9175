/* number.h - numbers with units as they stand in a file, both ways. */
#ifndef TWINED_CONFIG_NUMBER_H
#define TWINED_CONFIG_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/option.h"

/*
 * Reads the number of a row's type (a rate's without its period) from the whole text; one too large
 * for int64_t is taken as the largest, for the range check to refuse. False when the text is no
 * such number.
 */
bool number_parse(enum option_type type, const char *text, int64_t *number);

/* "100/s" */
bool rate_parse(const char *text, struct rate *rate);

/* Writes the number with the largest unit that divides it: 1m, 64K, 0660. Returns buffer. */
const char *number_format(enum option_type type, int64_t number, char *buffer, size_t size);

#endif
