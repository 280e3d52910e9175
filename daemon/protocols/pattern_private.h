/* pattern_private.h - a pattern from within: for pattern*.c only. */
#ifndef TWINED_PROTOCOLS_PATTERN_PRIVATE_H
#define TWINED_PROTOCOLS_PATTERN_PRIVATE_H

#include <stdint.h>

#include "protocols/pattern.h"

/*
 * A pattern is a program of steps, and a way through it that ends at STEP_DONE is a match.
 *
 *   ab      byte a, byte b
 *   a|b     fork 3, byte a, jump 2, byte b
 *   a*      fork 3, byte a, jump -2
 *   a+      byte a, fork -1
 *   a?      fork 2, byte a
 *   a{2,4}  byte a, byte a, fork 4, byte a, fork 2, byte a
 */
enum step_kind {
	STEP_BYTE,		/* takes this byte */
	STEP_ANY,		/* takes any byte but NUL */
	STEP_SET,		/* takes a byte of the set with the number `to` */
	STEP_FORK,		/* goes on at the next step, and at `to` */
	STEP_JUMP,		/* goes on at `to` */
	STEP_LINE_BEGIN,	/* these go on at the next step if they stand where they say */
	STEP_LINE_END,
	STEP_WORD_BEGIN,
	STEP_WORD_END,
	STEP_WORD_EDGE,
	STEP_NO_WORD_EDGE,
	STEP_DONE,
};

struct step {
	uint8_t kind;		/* enum step_kind */
	uint8_t byte;
	int16_t to;		/* counted from this step on, so that steps may be copied and moved */
};

struct byte_set {
	uint8_t bits[32];
};

static inline bool
byte_set_has(const struct byte_set *set, uint8_t byte)
{
	return set->bits[byte / 8] >> byte % 8 & 1;
}

static inline void
byte_set_add(struct byte_set *set, uint8_t byte)
{
	set->bits[byte / 8] |= (uint8_t)(1 << byte % 8);
}

static inline bool
byte_is_of_word(uint8_t byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z')
	       || (byte >= '0' && byte <= '9') || byte == '_';
}

/* The steps that ways have come to behind a byte, each once: those whose mark is this turn's. */
struct step_list {
	size_t count;
	uint16_t *steps;
	uint64_t *marks, turn;
};

struct pattern {
	size_t count;
	struct step *steps;	/* the last one is STEP_DONE */
	size_t set_count;
	struct byte_set *sets;
	bool floats;		/* it may be found elsewhere than at a line's begin ... */
	struct byte_set begins;	/* ... and then begins with one of these */
	struct step_list lists[2];
};

/* pattern_bracket.c */

/*
 * Takes what stands behind a [ up to its ], and moves *at behind that: NULL and the set, or the
 * tail of a sentence.
 */
const char *bracket_take(const char **at, struct byte_set *set);

/* Adds a class by the name it has in brackets, of so many bytes: false if there is none. */
bool byte_set_add_class(struct byte_set *set, const char *name, size_t length);

void byte_set_invert(struct byte_set *set);

/* pattern_parse.c */

/*
 * Has a pattern's steps and sets written: NULL, or the tail of a sentence; what it owns by then is
 * the caller's.
 */
const char *pattern_write(struct pattern *pattern, const char *text, size_t most_steps);

#endif
