/* pattern.h - an extended regular expression, found in a line or not in time that is bounded. */
#ifndef TWINED_PROTOCOLS_PATTERN_H
#define TWINED_PROTOCOLS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

struct pattern;

/*
 * How many steps all patterns of a filter have at most. A step is a character or an operator, after
 * what is repeated so many times has been written out so many times; what a line costs grows with
 * them.
 */
enum { PATTERN_STEPS_MAX = 4000 };

extern const char pattern_no_memory[];

/*
 * Takes an expression of regex(7) without back-references, with \w, \s, \b, \< and their like, in
 * the C locale. most_steps is at most PATTERN_STEPS_MAX. Returns the tail of a sentence about what
 * is wrong, which is pattern_no_memory if that is it, or NULL and a pattern that pattern_free
 * frees.
 */
const char *pattern_parse(const char *text, size_t most_steps, struct pattern **made);
void pattern_free(struct pattern *pattern);

size_t pattern_steps(const struct pattern *pattern);

/*
 * Whether it is found anywhere in a line, any byte being allowed there. Takes no memory, and looks
 * at each step at most once a byte. For one thread at a time: notes are taken in the pattern.
 */
bool pattern_fits(struct pattern *pattern, const void *line, size_t length);

#endif
