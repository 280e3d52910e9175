/* filter.h - which lines pass: rules in order, by how a line begins or by a regular expression. */
#ifndef TWINED_PROTOCOLS_FILTER_H
#define TWINED_PROTOCOLS_FILTER_H

#include <stdbool.h>
#include <stddef.h>

struct filter;

/*
 * Takes rules out of a text such as `+ok, -"a, b", /^[0-9]+$/, -/./`. Returns a sentence about what
 * is wrong, valid until the thread's next call, or NULL and a filter that filter_free frees.
 */
const char *filter_parse(const char *text, struct filter **filter);
void filter_free(struct filter *filter);

/*
 * Whether a line passes, any byte being allowed in it: as the first rule that fits says, or if none
 * does, unless the last one lets pass.
 */
bool filter_passes(const struct filter *filter, const void *line, size_t length);

#endif
