/* pattern_bracket.c - what stands in the brackets of a regular expression: a set of bytes. */
#include <ctype.h>
#include <string.h>

#include "protocols/pattern_private.h"

enum { IS_CLASS = -1 };

static const char does_not_close[] = "has a [ that does not close";

/* <ctype.h> is that of the C locale, which the daemon never leaves. */
static const struct {
	const char *name;
	int (*has)(int byte);
} classes[] = {
	{ "alnum", isalnum }, { "alpha", isalpha }, { "blank", isblank }, { "cntrl", iscntrl },
	{ "digit", isdigit }, { "graph", isgraph }, { "lower", islower }, { "print", isprint },
	{ "punct", ispunct }, { "space", isspace }, { "upper", isupper }, { "xdigit", isxdigit },
};

bool
byte_set_add_class(struct byte_set *set, const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		if (strlen(classes[i].name) != length || memcmp(classes[i].name, name, length) != 0)
			continue;
		for (int byte = 0; byte <= UINT8_MAX; byte++)
			if (classes[i].has(byte))
				byte_set_add(set, (uint8_t)byte);
		return true;
	}
	return false;
}

void
byte_set_invert(struct byte_set *set)
{
	for (size_t i = 0; i < sizeof set->bits; i++)
		set->bits[i] = (uint8_t)~set->bits[i];
}

/* Takes a byte, which may be written [.a.] or [=a=]; or a class, which is added to the set. */
static const char *
element_take(const char **at, struct byte_set *set, int *byte)
{
	const char *begin = *at;
	if (begin[0] != '[' || begin[1] == '\0' || strchr(".=:", begin[1]) == NULL) {
		*byte = (unsigned char)*begin;
		*at += 1;
		return NULL;
	}
	const char close[] = { begin[1], ']', '\0' };
	const char *end = strstr(begin + 2, close);
	if (end == NULL)
		return does_not_close;
	size_t length = (size_t)(end - begin) - 2;
	*at = end + 2;
	*byte = begin[1] == '.' ? (unsigned char)begin[2] : IS_CLASS;
	if (begin[1] == ':')
		return byte_set_add_class(set, begin + 2, length)
			       ? NULL
			       : "has an unknown class of characters in []";
	if (length != 1)
		return "has more than one byte in [. .] or [= =]";
	byte_set_add(set, (uint8_t)begin[2]);
	return NULL;
}

/* Takes an element, or a range of them. */
static const char *
range_take(const char **at, struct byte_set *set)
{
	int first, last;
	const char *wrong = element_take(at, set, &first);
	if (wrong != NULL)
		return wrong;
	last = first;
	if ((*at)[0] == '-' && (*at)[1] != ']') {
		*at += 1;
		if (**at == '\0')
			return does_not_close;
		wrong = element_take(at, set, &last);
		if (wrong != NULL)
			return wrong;
		if (first == IS_CLASS || last == IS_CLASS)
			return "has a range of classes in []";
		if (last < first)
			return "has a range in [] that ends before it begins";
	}
	for (int byte = first; byte <= last && byte != IS_CLASS; byte++)
		byte_set_add(set, (uint8_t)byte);
	return NULL;
}

const char *
bracket_take(const char **at, struct byte_set *set)
{
	bool inverts = **at == '^', is_first = true;
	*at += inverts;
	for (; **at != ']' || is_first; is_first = false) {
		if (**at == '\0')
			return does_not_close;
		if (**at == '-' && !is_first && (*at)[1] != ']')
			return "has a - in [] that is neither first, last nor in a range";
		const char *wrong = range_take(at, set);
		if (wrong != NULL)
			return wrong;
	}
	*at += 1;
	if (inverts)
		byte_set_invert(set);
	return NULL;
}
