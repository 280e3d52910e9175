/* sentence.c - quotes what others wrote. */
#include "config/sentence.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/utf8.h"

const char out_of_memory[] = "out of memory";

enum { SHOWN_MAX = 80 };

const char *
text_quote(const char *text, char buffer[static QUOTED_MAX])
{
	size_t length = strlen(text), used = 1;

	buffer[0] = '"';
	for (size_t i = 0; i < length;) {
		uint32_t character;
		size_t size = utf8_decode(text + i, length - i, &character);

		if (i + (size > 0 ? size : 1) > SHOWN_MAX) {
			memcpy(buffer + used, "...", 3);
			used += 3;
			break;
		}
		if (size == 0 || character < 0x20 || (character >= 0x7f && character < 0xa0)) {
			used += (size_t)snprintf(buffer + used, QUOTED_MAX - used, "\\x%02x",
						 (unsigned char)text[i++]);
			continue;
		}
		memcpy(buffer + used, text + i, size);
		used += size;
		i += size;
	}
	memcpy(buffer + used, "\"", 2);
	return buffer;
}

const char *
sentence_about(const char *text, const char *format, ...)
{
	/* The tail may quote a text, too. */
	enum { TAIL_MAX = QUOTED_MAX + 320 };
	static _Thread_local char sentence[QUOTED_MAX + TAIL_MAX];
	char quoted[QUOTED_MAX], tail[TAIL_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(tail, sizeof tail, format, arguments);
	va_end(arguments);
	snprintf(sentence, sizeof sentence, "%s %s", text_quote(text, quoted), tail);
	return sentence;
}
