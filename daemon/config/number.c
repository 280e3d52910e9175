/* number.c - numbers, durations, sizes, rates and permission bits. */
#include "config/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* Each from the largest to the smallest. */
static const struct unit duration_units[] = {
	{ "d", 24 * 60 * 60 * 1000 },
	{ "h", 60 * 60 * 1000 },
	{ "m", 60 * 1000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ NULL, 0 },
};
static const struct unit size_units[] = {
	{ "G", 1 << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 }, { "", 1 }, { NULL, 0 },
};
static const struct unit no_units[] = { { "", 1 }, { NULL, 0 } };

static const struct unit *
units_of(enum option_type type)
{
	return type == OPTION_DURATION ? duration_units
	       : type == OPTION_SIZE   ? size_units
				       : no_units;
}

static const struct unit *
unit_find(const struct unit *units, const char *name)
{
	for (; units->name != NULL; units++)
		if (strcmp(units->name, name) == 0)
			return units;
	return NULL;
}

/* Reads digits with an optional sign, so that -1 is out of range rather than not a number. */
static const char *
digits_parse(const char *text, int base, int64_t *number)
{
	bool negative = *text == '-';
	const char *at = text + negative;
	const char *first = at;

	*number = 0;
	for (; *at >= '0' && *at < '0' + base; at++)
		if (__builtin_mul_overflow(*number, base, number)
		    || __builtin_add_overflow(*number, *at - '0', number))
			*number = INT64_MAX / base;
	if (at == first)
		return NULL;
	if (negative)
		*number = -*number;
	return at;
}

bool
number_parse(enum option_type type, const char *text, int64_t *number)
{
	const char *rest = digits_parse(text, type == OPTION_MODE ? 8 : 10, number);

	if (rest == NULL)
		return false;
	/* Nothing needs no unit. */
	if (type == OPTION_DURATION && strcmp(text, "0") == 0)
		return true;
	const struct unit *unit = unit_find(units_of(type), rest);
	if (unit == NULL)
		return false;
	if (__builtin_mul_overflow(*number, unit->factor, number))
		*number = *text == '-' ? INT64_MIN : INT64_MAX;
	return true;
}

bool
rate_parse(const char *text, struct rate *rate)
{
	const char *rest = digits_parse(text, 10, &rate->count);

	if (rest == NULL || *rest != '/')
		return false;
	const struct unit *unit = unit_find(duration_units, rest + 1);
	if (unit == NULL || unit->factor == 1)
		return false;
	rate->period_ms = unit->factor;
	return true;
}

const char *
number_format(enum option_type type, int64_t number, char *buffer, size_t size)
{
	const struct unit *unit = units_of(type);

	if (type == OPTION_MODE) {
		snprintf(buffer, size, number == 0 ? "0" : "0%" PRIo64, (uint64_t)number);
		return buffer;
	}
	while (unit->factor != 1 && (number == 0 || number % unit->factor != 0))
		unit++;
	snprintf(buffer, size, "%" PRId64 "%s", number / unit->factor,
		 type == OPTION_DURATION && number == 0 ? "" : unit->name);
	return buffer;
}
