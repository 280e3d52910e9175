/* template.h - text of the configuration in which {words} stand for values. */
#ifndef TWINED_PROTOCOLS_TEMPLATE_H
#define TWINED_PROTOCOLS_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

/* A word and what stands for it; name NULL ends a list. */
struct template_word {
	const char *name;
	const char *value;
};

/*
 * Looks whether all words of a template are in the list. NULL when they are, else the first that is
 * not, at its brace. Braces around anything but small letters are text: {"a": 1}.
 */
const char *template_find_unknown(const char *template, const struct template_word *words);

/* Whether it begins with a double quote and does not end with another one. */
bool template_is_open(const char *template);

/* Whether the template has the word. */
bool template_has(const char *template, const char *name);

/*
 * Writes the template with values for its words; one pair of double quotes around the whole is left
 * out, for it only protects blanks. Returns the length; what does not fit into size is left out. No
 * NUL.
 */
size_t template_write(const char *template, const struct template_word *words, char *to,
		      size_t size);

#endif
