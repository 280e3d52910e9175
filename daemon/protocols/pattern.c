/*
 * pattern.c - an extended regular expression, found in a line or not in time that is bounded.
 *
 * regexec(3) of glibc begins anew at each byte of a line, which takes seconds for 64 KiB that are
 * made for that, and keeps memory for what it has seen; regcomp(3) takes gigabytes for 30
 * characters. Here all ways through the steps go on together, byte by byte. Two that come to the
 * same step are one, so that there are never more ways than steps (Thompson, 1968).
 */
#include "protocols/pattern.h"

#include <stdlib.h>

#include "protocols/pattern_private.h"

static inline void
list_add(struct step_list *list, size_t number)
{
	if (list->marks[number] == list->turn)
		return;
	list->marks[number] = list->turn;
	list->steps[list->count++] = (uint16_t)number;
}

static inline void
list_begin(struct step_list *list)
{
	list->count = 0;
	list->turn++;
}

static bool
list_make(struct step_list *list, size_t room)
{
	list->steps = calloc(room, sizeof *list->steps);
	list->marks = calloc(room, sizeof *list->marks);
	return list->steps != NULL && list->marks != NULL;
}

static void
list_clear(struct step_list *list)
{
	free(list->steps);
	free(list->marks);
}

static inline size_t
step_leads_to(const struct step *step, size_t number)
{
	return (size_t)((int)number + step->to);
}

/* Finds out what a match may begin with that is not at a line's begin. */
static void
pattern_find_begins(struct pattern *pattern)
{
	struct step_list *list = &pattern->lists[0];
	struct byte_set every = { 0 };
	byte_set_invert(&every);
	list_begin(list);
	list_add(list, 0);
	for (size_t i = 0; i < list->count; i++) {
		const struct step *step = &pattern->steps[list->steps[i]];
		struct byte_set *begins = &pattern->begins;
		switch ((enum step_kind)step->kind) {
		case STEP_BYTE:
			byte_set_add(begins, step->byte);
			break;
		case STEP_SET:
			for (size_t k = 0; k < sizeof begins->bits; k++)
				begins->bits[k] |= pattern->sets[step->to].bits[k];
			break;
		case STEP_ANY:
		case STEP_DONE:
			*begins = every;
			break;
		case STEP_LINE_BEGIN:
			continue;
		case STEP_FORK:
			list_add(list, step_leads_to(step, list->steps[i]));
			list_add(list, list->steps[i] + 1U);
			continue;
		case STEP_JUMP:
			list_add(list, step_leads_to(step, list->steps[i]));
			continue;
		case STEP_LINE_END:
		case STEP_WORD_BEGIN:
		case STEP_WORD_END:
		case STEP_WORD_EDGE:
		case STEP_NO_WORD_EDGE:
			list_add(list, list->steps[i] + 1U);
			continue;
		}
		pattern->floats = true;
	}
}

const char *
pattern_parse(const char *text, size_t most_steps, struct pattern **made)
{
	struct pattern *pattern = calloc(1, sizeof *pattern);
	if (pattern == NULL)
		return pattern_no_memory;
	const char *wrong = pattern_write(pattern, text, most_steps);
	if (wrong == NULL && (!list_make(&pattern->lists[0], pattern->count)
			      || !list_make(&pattern->lists[1], pattern->count)))
		wrong = pattern_no_memory;
	if (wrong != NULL) {
		pattern_free(pattern);
		return wrong;
	}
	pattern_find_begins(pattern);
	*made = pattern;
	return NULL;
}

void
pattern_free(struct pattern *pattern)
{
	if (pattern == NULL)
		return;
	free(pattern->steps);
	free(pattern->sets);
	list_clear(&pattern->lists[0]);
	list_clear(&pattern->lists[1]);
	free(pattern);
}

size_t
pattern_steps(const struct pattern *pattern)
{
	return pattern->count - 1;
}

/* Where a line is looked at: behind so many of its bytes. */
struct place {
	const uint8_t *bytes;
	size_t length, at;
};

static bool
place_is(const struct place *place, enum step_kind kind)
{
	bool before = place->at > 0 && byte_is_of_word(place->bytes[place->at - 1]);
	bool behind = place->at < place->length && byte_is_of_word(place->bytes[place->at]);
	switch (kind) {
	case STEP_LINE_BEGIN:
		return place->at == 0;
	case STEP_LINE_END:
		return place->at == place->length;
	case STEP_WORD_BEGIN:
		return !before && behind;
	case STEP_WORD_END:
		return before && !behind;
	case STEP_WORD_EDGE:
		return before != behind;
	default:
		return before == behind;
	}
}

/* Goes on with all ways up to the next byte and past it: true as soon as one is done. */
static bool
ways_go_on(const struct pattern *pattern, struct step_list *now, struct step_list *next,
	   const struct place *place)
{
	bool has_byte = place->at < place->length;
	uint8_t byte = has_byte ? place->bytes[place->at] : 0;
	for (size_t i = 0; i < now->count; i++) {
		size_t number = now->steps[i];
		const struct step *step = &pattern->steps[number];
		switch ((enum step_kind)step->kind) {
		case STEP_DONE:
			return true;
		case STEP_BYTE:
			if (has_byte && byte == step->byte)
				list_add(next, number + 1);
			break;
		case STEP_ANY:
			if (has_byte && byte != '\0')
				list_add(next, number + 1);
			break;
		case STEP_SET:
			if (has_byte && byte_set_has(&pattern->sets[step->to], byte))
				list_add(next, number + 1);
			break;
		case STEP_FORK:
			list_add(now, number + 1);
			list_add(now, step_leads_to(step, number));
			break;
		case STEP_JUMP:
			list_add(now, step_leads_to(step, number));
			break;
		default:
			if (place_is(place, (enum step_kind)step->kind))
				list_add(now, number + 1);
		}
	}
	return false;
}

bool
pattern_fits(struct pattern *pattern, const void *line, size_t length)
{
	struct step_list *now = &pattern->lists[0], *next = &pattern->lists[1], *passed;
	struct place place = { .bytes = line, .length = length };
	list_begin(now);
	for (;; place.at++) {
		if (place.at > 0 && now->count == 0) {
			if (!pattern->floats)
				return false;
			while (place.at < length
			       && !byte_set_has(&pattern->begins, place.bytes[place.at]))
				place.at++;
		}
		if (place.at == 0 || pattern->floats)
			list_add(now, 0);
		list_begin(next);
		if (ways_go_on(pattern, now, next, &place))
			return true;
		if (place.at == length)
			return false;
		passed = now;
		now = next;
		next = passed;
	}
}
