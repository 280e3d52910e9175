/* line.h - takes lines out of a stream of bytes: LF or CRLF ends one, any other byte is text. */
#ifndef TWINED_PROTOCOLS_LINE_H
#define TWINED_PROTOCOLS_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: at the beginning of a line. Owns memory only while it holds part of a line. */
struct line_reader {
	uint8_t *held;
	size_t length, room;
	bool skipping;		/* the rest of a line that was too long */
};

enum line_result {
	LINE_NONE,		/* all bytes are used up */
	LINE_WHOLE,
	LINE_LONG,		/* it has more than most bytes; these are the first most of them */
	LINE_NO_MEMORY,		/* part of a line is lost */
};

/* The text of a line, without its end; valid until the reader's next call. */
struct line_text {
	const uint8_t *bytes;
	size_t length;
};

/*
 * Takes the next line out of [*at, end) and moves *at behind it. A long line is told once, and the
 * same in whatever pieces the bytes come.
 */
enum line_result line_reader_next(struct line_reader *reader, size_t most, const uint8_t **at,
				  const uint8_t *end, struct line_text *text);

/* Takes the last line, which has no end, if there is one. */
enum line_result line_reader_last(struct line_reader *reader, size_t most, struct line_text *text);

/* Frees what it holds and begins anew. */
void line_reader_clear(struct line_reader *reader);

#endif
