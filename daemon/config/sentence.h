/* sentence.h - a sentence about a text from outside, which it quotes so that it can be printed. */
#ifndef TWINED_CONFIG_SENTENCE_H
#define TWINED_CONFIG_SENTENCE_H

#include <stddef.h>

/* The sentence when there is no memory, always at this address. */
extern const char out_of_memory[];

enum { QUOTED_MAX = 4 * 80 + 8 };

/*
 * Writes the text in quotes: control characters and what is not UTF-8 escaped as \xNN, the end of a
 * long one left out. Returns buffer.
 */
const char *text_quote(const char *text, char buffer[static QUOTED_MAX]);

/* `"TEXT" ...`; valid until the thread's next call. */
const char *sentence_about(const char *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
