/* pattern_parse.c - writes the steps of an extended regular expression. */
#include <stdlib.h>
#include <string.h>

#include "protocols/pattern_private.h"

enum {
	DEPTH_MAX = 200,   /* of parentheses: each takes some of our stack */
	TIMES_MAX = 32767, /* RE_DUP_MAX */
	UNBOUNDED = -1,
};

const char pattern_no_memory[] = "there is no memory for it";

static const char too_large[] =
	"is too large: a filter has at most 4000 characters and operators, with repetitions written out";
_Static_assert(PATTERN_STEPS_MAX == 4000, "as it says");

/* A pattern while it is written, and where its text has been read up to. */
struct writer {
	struct pattern *pattern;
	const char *at;
	size_t most_steps;
	unsigned depth;
};

/* A step that leads from its own number to another one. */
static struct step
step_to(enum step_kind kind, size_t number, size_t to)
{
	return (struct step){ .kind = (uint8_t)kind, .to = (int16_t)((int)to - (int)number) };
}

/* Puts a step before the one with this number, or at the end. */
static const char *
step_insert(struct writer *writer, size_t number, struct step step)
{
	struct pattern *pattern = writer->pattern;
	if (pattern->count == writer->most_steps)
		return too_large;
	memmove(&pattern->steps[number + 1], &pattern->steps[number],
		(pattern->count - number) * sizeof step);
	pattern->steps[number] = step;
	pattern->count++;
	return NULL;
}

static const char *
step_add(struct writer *writer, enum step_kind kind, char byte)
{
	return step_insert(writer, writer->pattern->count,
			   (struct step){ .kind = (uint8_t)kind, .byte = (uint8_t)byte });
}

static const char *
set_add(struct writer *writer, const struct byte_set *set)
{
	struct pattern *pattern = writer->pattern;
	struct byte_set *sets = reallocarray(pattern->sets, pattern->set_count + 1, sizeof *sets);
	if (sets == NULL)
		return pattern_no_memory;
	pattern->sets = sets;
	sets[pattern->set_count] = *set;
	return step_insert(writer, pattern->count,
			   (struct step){ .kind = STEP_SET, .to = (int16_t)pattern->set_count++ });
}

static const char *
bracket_write(struct writer *writer)
{
	struct byte_set set = { 0 };
	writer->at++;
	const char *wrong = bracket_take(&writer->at, &set);
	return wrong != NULL ? wrong : set_add(writer, &set);
}

/* \w, \W, \s or \S. */
static const char *
class_write(struct writer *writer, char letter)
{
	struct byte_set set = { 0 };
	bool is_word = letter == 'w' || letter == 'W';
	byte_set_add_class(&set, is_word ? "alnum" : "space", strlen("alnum"));
	if (is_word)
		byte_set_add(&set, '_');
	if (letter == 'W' || letter == 'S')
		byte_set_invert(&set);
	return set_add(writer, &set);
}

/* Writes a place in the line, such as ^ or \b; *is_place: whether there was one. */
static const char *
place_write(struct writer *writer, bool *is_place)
{
	static const char letters[] = "`'<>bB";
	static const enum step_kind kinds[] = {STEP_LINE_BEGIN, STEP_LINE_END,  STEP_WORD_BEGIN,
					       STEP_WORD_END,   STEP_WORD_EDGE, STEP_NO_WORD_EDGE};
	const char *at = writer->at;
	*is_place = true;
	if (*at == '^' || *at == '$') {
		writer->at++;
		return step_add(writer, *at == '^' ? STEP_LINE_BEGIN : STEP_LINE_END, 0);
	}
	const char *letter = at[0] == '\\' && at[1] != '\0' ? strchr(letters, at[1]) : NULL;
	*is_place = letter != NULL;
	if (letter == NULL)
		return NULL;
	writer->at += 2;
	return step_add(writer, kinds[letter - letters], 0);
}

static const char *
escape_write(struct writer *writer)
{
	char letter = writer->at[1];
	if (letter == '\0')
		return "ends in a backslash";
	/* With one, a line could take hours: the peer writes it. */
	if (letter >= '1' && letter <= '9')
		return "has a back-reference, which can take for ever";
	writer->at += 2;
	if (strchr("wWsS", letter) != NULL)
		return class_write(writer, letter);
	return step_add(writer, STEP_BYTE, letter);
}

static const char *alternatives_write(struct writer *writer);

static const char *
group_write(struct writer *writer)
{
	if (writer->depth == DEPTH_MAX)
		return "has more than 200 ( within each other";
	writer->at++;
	writer->depth++;
	const char *wrong = alternatives_write(writer);
	writer->depth--;
	if (wrong != NULL)
		return wrong;
	if (*writer->at != ')')
		return "has a ( that does not close";
	writer->at++;
	return NULL;
}

static const char *
atom_write(struct writer *writer)
{
	switch (*writer->at) {
	case '(':
		return group_write(writer);
	case '[':
		return bracket_write(writer);
	case '\\':
		return escape_write(writer);
	case '.':
		writer->at++;
		return step_add(writer, STEP_ANY, 0);
	case '*':
	case '+':
	case '?':
	case '{':
		return "has a *, +, ? or { behind nothing that it could repeat";
	default:
		return step_add(writer, STEP_BYTE, *writer->at++);
	}
}

/* Takes a number, and TIMES_MAX + 1 for a larger one; UNBOUNDED: there is none. */
static int
number_take(const char **at)
{
	int number = UNBOUNDED;
	for (; **at >= '0' && **at <= '9'; *at += 1) {
		number = (number == UNBOUNDED ? 0 : number * 10) + (**at - '0');
		if (number > TIMES_MAX)
			number = TIMES_MAX + 1;
	}
	return number;
}

/* Takes *, +, ?, {m}, {m,}, {,n} or {m,n}. */
static const char *
times_take(const char **at, int *least, int *most)
{
	char sign = *(*at)++;
	*least = sign == '+';
	*most = sign == '?' ? 1 : UNBOUNDED;
	if (sign != '{')
		return NULL;
	*least = *most = number_take(at);
	if (**at == ',') {
		*at += 1;
		*most = number_take(at);
		if (*least == UNBOUNDED)
			*least = 0;
	}
	if (**at != '}' || *least == UNBOUNDED || (*most != UNBOUNDED && *most < *least))
		return "has a { without how often, as {2} or {1,3} say it";
	*at += 1;
	return *least > TIMES_MAX || *most > TIMES_MAX ? too_large : NULL;
}

/*
 * Writes the last `length` steps so often; before each that may be left out a fork leads to the
 * end.
 */
static const char *
copies_write(struct writer *writer, size_t length, size_t least, size_t most)
{
	struct pattern *pattern = writer->pattern;
	size_t begin = pattern->count - length, end = begin + most * length + (most - least);
	size_t from = begin + (least == 0), to = from + length;
	if (end > writer->most_steps)
		return too_large;
	if (least == 0)
		step_insert(writer, begin, step_to(STEP_FORK, begin, end));
	for (size_t i = 1; i < most; i++, to += length) {
		if (i >= least) {
			pattern->steps[to] = step_to(STEP_FORK, to, end);
			to++;
		}
		memcpy(&pattern->steps[to], &pattern->steps[from], length * sizeof *pattern->steps);
	}
	pattern->count = end;
	return NULL;
}

/* Writes what makes the last `length` steps be repeated without end. */
static const char *
loop_write(struct writer *writer, size_t length, size_t least)
{
	struct pattern *pattern = writer->pattern;
	size_t begin = pattern->count - length;
	const char *wrong;
	if (least > 0) {
		wrong = copies_write(writer, length, least, least);
		size_t end = pattern->count;
		if (wrong != NULL)
			return wrong;
		return step_insert(writer, end, step_to(STEP_FORK, end, end - length));
	}
	wrong = step_insert(writer, begin, step_to(STEP_FORK, begin, begin + length + 2));
	size_t end = pattern->count;
	return wrong != NULL ? wrong : step_insert(writer, end, step_to(STEP_JUMP, end, begin));
}

/* Writes an atom and how often it stands there. */
static const char *
piece_write(struct writer *writer)
{
	struct pattern *pattern = writer->pattern;
	size_t begin = pattern->count;
	bool is_place;
	const char *wrong = place_write(writer, &is_place);
	if (wrong != NULL || is_place)
		return wrong;
	wrong = atom_write(writer);
	while (wrong == NULL && *writer->at != '\0' && strchr("*+?{", *writer->at) != NULL) {
		size_t length = pattern->count - begin;
		int least, most;
		wrong = times_take(&writer->at, &least, &most);
		if (wrong != NULL || length == 0)
			continue;
		if (most == 0)
			pattern->count = begin;
		else if (most == UNBOUNDED)
			wrong = loop_write(writer, length, (size_t)least);
		else
			wrong = copies_write(writer, length, (size_t)least, (size_t)most);
	}
	return wrong;
}

/* Writes what stands between | and |. */
static const char *
branch_write(struct writer *writer)
{
	const char *wrong = NULL;
	while (wrong == NULL && *writer->at != '\0' && *writer->at != '|'
	       && (*writer->at != ')' || writer->depth == 0))
		wrong = piece_write(writer);
	return wrong;
}

static const char *
alternatives_write(struct writer *writer)
{
	struct pattern *pattern = writer->pattern;
	/* Until the end is known, each jump leads back to the one before, or nowhere. */
	size_t jump = 0;
	bool jumps = false;
	for (;;) {
		size_t begin = pattern->count;
		const char *wrong = branch_write(writer);
		if (wrong != NULL)
			return wrong;
		if (*writer->at != '|')
			break;
		writer->at++;
		wrong = step_insert(writer, begin, step_to(STEP_FORK, begin, pattern->count + 2));
		if (wrong != NULL)
			return wrong;
		size_t number = pattern->count;
		wrong = step_insert(writer, number,
				    step_to(STEP_JUMP, number, jumps ? jump : number));
		if (wrong != NULL)
			return wrong;
		jump = number;
		jumps = true;
	}
	while (jumps) {
		size_t before = jump + (size_t)pattern->steps[jump].to;
		jumps = before != jump;
		pattern->steps[jump] = step_to(STEP_JUMP, jump, pattern->count);
		jump = before;
	}
	return NULL;
}

const char *
pattern_write(struct pattern *pattern, const char *text, size_t most_steps)
{
	struct writer writer = { .pattern = pattern, .at = text, .most_steps = most_steps };
	pattern->steps = calloc(most_steps + 1, sizeof *pattern->steps);
	if (pattern->steps == NULL)
		return pattern_no_memory;
	const char *wrong = alternatives_write(&writer);
	if (wrong != NULL)
		return wrong;
	pattern->steps[pattern->count++] = (struct step){ .kind = STEP_DONE };
	struct step *steps = realloc(pattern->steps, pattern->count * sizeof *steps);
	if (steps != NULL)
		pattern->steps = steps;
	return NULL;
}
