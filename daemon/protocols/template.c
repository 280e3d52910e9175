/* template.c - text of the configuration in which {words} stand for values. */
#include "protocols/template.h"

#include <string.h>

/* The length of the name when a {word} begins here, else 0. */
static size_t
word_length(const char *at)
{
	size_t length = *at == '{' ? strspn(at + 1, "abcdefghijklmnopqrstuvwxyz") : 0;
	return length > 0 && at[1 + length] == '}' ? length : 0;
}

static bool
word_is(const char *at, size_t length, const char *name)
{
	return strlen(name) == length && memcmp(at + 1, name, length) == 0;
}

const char *
template_find_unknown(const char *template, const struct template_word *words)
{
	for (const char *at = template; *at != '\0'; at++) {
		size_t length = word_length(at);
		const struct template_word *word = words;
		if (length == 0)
			continue;
		while (word->name != NULL && !word_is(at, length, word->name))
			word++;
		if (word->name == NULL)
			return at;
	}
	return NULL;
}

bool
template_has(const char *template, const char *name)
{
	for (const char *at = template; *at != '\0'; at++) {
		size_t length = word_length(at);
		if (length > 0 && word_is(at, length, name))
			return true;
	}
	return false;
}

static bool
is_quoted(const char *template, size_t length)
{
	return length >= 2 && template[0] == '"' && template[length - 1] == '"';
}

bool
template_is_open(const char *template)
{
	return *template == '"' && !is_quoted(template, strlen(template));
}

size_t
template_write(const char *template, const struct template_word *words, char *to, size_t size)
{
	const char *at = template, *end = template + strlen(template);
	size_t written = 0;
	if (is_quoted(template, (size_t)(end - at))) {
		at++;
		end--;
	}
	while (at != end) {
		size_t length = word_length(at);
		const struct template_word *word = words;
		const char *text = at;
		size_t text_length = 1;
		while (length > 0 && word->name != NULL && !word_is(at, length, word->name))
			word++;
		if (length > 0 && word->name != NULL) {
			text = word->value;
			text_length = strlen(word->value);
			at += length + 2;
		} else {
			at++;
		}
		if (text_length > size - written)
			break;
		memcpy(to + written, text, text_length);
		written += text_length;
	}
	return written;
}
