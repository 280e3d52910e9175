/* line.c - takes lines out of a stream of bytes: LF or CRLF ends one, any other byte is text. */
#include "protocols/line.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 128 };

/* Holds some more bytes; there is room for one more than the longest line, which may be a CR. */
static bool
reader_hold(struct line_reader *reader, size_t most, const uint8_t *bytes, size_t length)
{
	size_t needed = reader->length + length;
	if (length == 0)
		return true;
	if (needed > reader->room) {
		size_t room = needed * 2 > FIRST_ROOM ? needed * 2 : FIRST_ROOM;
		if (room > most + 1)
			room = most + 1;
		uint8_t *held = realloc(reader->held, room);
		if (held == NULL)
			return false;
		reader->held = held;
		reader->room = room;
	}
	memcpy(reader->held + reader->length, bytes, length);
	reader->length = needed;
	return true;
}

/* Hands a line over, cut to what it may have. */
static enum line_result
line_give(struct line_text *text, const uint8_t *bytes, size_t length, size_t most)
{
	*text = (struct line_text){ .bytes = bytes, .length = length <= most ? length : most };
	return length <= most ? LINE_WHOLE : LINE_LONG;
}

static size_t
without_cr(const uint8_t *bytes, size_t length)
{
	return length > 0 && bytes[length - 1] == '\r' ? length - 1 : length;
}

enum line_result
line_reader_next(struct line_reader *reader, size_t most, const uint8_t **at, const uint8_t *end,
		 struct line_text *text)
{
	if (reader->length == 0 && reader->held != NULL) {
		free(reader->held);
		reader->held = NULL;
		reader->room = 0;
	}
	while (*at != end) {
		const uint8_t *begin = *at, *newline = memchr(begin, '\n', (size_t)(end - begin));
		size_t length = (size_t)((newline != NULL ? newline : end) - begin);
		*at = newline != NULL ? newline + 1 : end;
		if (reader->skipping) {
			reader->skipping = newline == NULL;
			continue;
		}
		if (newline != NULL && reader->length == 0)
			return line_give(text, begin, without_cr(begin, length), most);

		size_t room = most + 1 - reader->length;
		bool over = length > room;
		if (!reader_hold(reader, most, begin, over ? room : length)) {
			line_reader_clear(reader);
			reader->skipping = newline == NULL;
			return LINE_NO_MEMORY;
		}
		size_t held = reader->length;
		if (newline == NULL && !over && without_cr(reader->held, held) <= most)
			continue;
		if (newline != NULL && !over)
			held = without_cr(reader->held, held);
		reader->length = 0;
		reader->skipping = newline == NULL;
		return line_give(text, reader->held, held, most);
	}
	return LINE_NONE;
}

enum line_result
line_reader_last(struct line_reader *reader, size_t most, struct line_text *text)
{
	size_t length = reader->length;
	reader->length = 0;
	reader->skipping = false;
	return length == 0 ? LINE_NONE : line_give(text, reader->held, length, most);
}

void
line_reader_clear(struct line_reader *reader)
{
	free(reader->held);
	*reader = (struct line_reader){ 0 };
}
