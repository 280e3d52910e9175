/* number.c - numbers, durations, sizes, rates and permission bits, and the types made of them. */
#include "config/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/sentence.h"
#include "config/value.h"

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

const char *
words_of(const struct option *option)
{
	static const char *const words[] = { "", ", or auto", ", or none", ", auto or none" };

	return words[!!(option->flags & OPTION_MAY_AUTO) + 2 * !!(option->flags & OPTION_MAY_NONE)];
}

const char *
range_format(const struct option *option, char *buffer, size_t size)
{
	char min[32], max[32];

	snprintf(buffer, size, "%s to %s%s",
		 number_format(option->type, option->min, min, sizeof min),
		 number_format(option->type, option->max, max, sizeof max), words_of(option));
	return buffer;
}

const char *
choices_format(const struct option *option, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (const char *const *choice = option->choices; *choice != NULL && used < size; choice++)
		used += (size_t)snprintf(buffer + used, size - used, "%s%s", used > 0 ? ", " : "",
					 *choice);
	return buffer;
}

static const char *
range_check(const struct option *option, int64_t number, const char *text)
{
	char range[96];

	if (number >= option->min && number <= option->max)
		return NULL;
	return sentence_about(text, "is out of range: %s",
			      range_format(option, range, sizeof range));
}

static const char *
noun_of(enum option_type type)
{
	return type == OPTION_DURATION ? value_duration.noun
	       : type == OPTION_SIZE   ? value_size.noun
	       : type == OPTION_MODE   ? value_mode.noun
				       : value_number.noun;
}

/* Every number, duration, size and mode. */
static const char *
number_set(const struct option *option, void *field, const char *text, const char *directory)
{
	int64_t number;

	(void)directory;
	if (!number_parse(option->type, text, &number))
		return sentence_about(text, "is not a %s%s", noun_of(option->type),
				      option->type == OPTION_DURATION ? "" : words_of(option));
	bool is_off =
		option->type == OPTION_DURATION && number == 0 && (option->flags & OPTION_MAY_NONE);
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
	return sentence_about(text, "is not one of %s%s",
			      choices_format(option, choices, sizeof choices), words_of(option));
}

#define INTEGER(name, noun_, set_)       \
	const struct value_type name = { \
		.noun = noun_,           \
		.size = sizeof(int64_t), \
		.set = set_,             \
		.clear = number_clear,   \
		.equal = number_equal,   \
	}

INTEGER(value_bool, "yes or no", bool_set);
INTEGER(value_number, "number such as 100", number_set);
INTEGER(value_duration, "duration such as 250ms, 5s, 2m, 1h", number_set);
INTEGER(value_size, "size such as 512, 64K, 1M, 2G", number_set);
INTEGER(value_choice, "choice", choice_set);
INTEGER(value_mode, "mode of permission bits such as 0660", number_set);

const struct value_type value_rate = {
	.noun = "rate such as 100/s, 5/m",
	.size = sizeof(struct rate),
	.set = rate_set,
	.clear = rate_clear,
	.equal = rate_equal,
};
