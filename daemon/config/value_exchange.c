/* value_exchange.c - quoted texts: what is sent to a server, and what it must answer. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/sentence.h"
#include "config/value.h"

enum { TEXT_MAX = 1000 };	/* which a sentence below says, too */

static int
hex_digit(char digit)
{
	return digit <= '9' ? digit - '0' : tolower((unsigned char)digit) - 'a' + 10;
}

/* Takes the escape behind a backslash at *at, and goes behind it. NULL, or a sentence. */
static const char *
escape_take(const char **at, uint8_t *byte)
{
	static const char letters[] = "rnt\\\"", meanings[] = "\r\n\t\\\"";
	const char *letter = **at != '\0' ? strchr(letters, **at) : NULL;
	char escape[] = { '\\', **at, '\0', '\0', '\0' };

	if (letter != NULL) {
		*byte = (uint8_t)meanings[letter - letters];
		*at += 1;
		return NULL;
	}
	if (**at == 'x' && isxdigit((unsigned char)(*at)[1]) && isxdigit((unsigned char)(*at)[2])) {
		*byte = (uint8_t)(hex_digit((*at)[1]) * 16 + hex_digit((*at)[2]));
		*at += 3;
		return NULL;
	}
	/* In C more digits would follow: whoever writes one means something else. */
	if (**at == '0' && !isdigit((unsigned char)(*at)[1])) {
		*byte = 0;
		*at += 1;
		return NULL;
	}
	if (**at == '0')
		escape[2] = (*at)[1];
	return sentence_about(escape, "is not one of \\r \\n \\t \\\\ \\\" \\0 \\xNN%s",
			      **at == '0' ? ": before a digit, write \\x00" : "");
}

/*
 * Reads the quoted text at *at, and goes behind it and the blanks after it. NULL, or a sentence; it
 * does not quote what is full of quotes.
 */
static const char *
quoted_read(const char **at, uint8_t *bytes, size_t *length)
{
	const char *wrong = NULL;

	*length = 0;
	for (*at += 1; **at != '"'; *length += 1) {
		if (**at == '\0')
			return "a quote does not close (a \";\" after a blank begins a comment: "
			       "write \\x3b)";
		if (*length == TEXT_MAX)
			return "a text has more than 1000 bytes";
		if (**at == '\\') {
			*at += 1;
			wrong = escape_take(at, &bytes[*length]);
		} else {
			bytes[*length] = (uint8_t)*(*at)++;
		}
		if (wrong != NULL)
			return wrong;
	}
	*at += 1;
	if (**at != '\0' && **at != ' ' && **at != '\t')
		return "a blank is missing behind a closing quote";
	*at += strspn(*at, " \t");
	return NULL;
}

static uint8_t *
copy(const uint8_t *bytes, size_t length)
{
	uint8_t *copied = malloc(length + 1);

	if (copied != NULL)
		memcpy(copied, bytes, length);
	return copied;
}

static const char *
texts_read(const char *text, struct exchange *exchange)
{
	uint8_t send[TEXT_MAX], expect[TEXT_MAX];
	const char *at = text;
	const char *wrong = quoted_read(&at, send, &exchange->send_length);

	if (wrong != NULL)
		return wrong;
	if (*at != '"')
		return *at == '\0' ? "a second text is missing, which says what to expect"
				   : "the second text is not in quotes";
	wrong = quoted_read(&at, expect, &exchange->expect_length);
	if (wrong != NULL)
		return wrong;
	if (*at != '\0')
		return "something stands behind the second text";
	if (exchange->expect_length == 0)
		return "the second text is empty: something must be expected";
	exchange->kind = EXCHANGE_BYTES;
	exchange->send = copy(send, exchange->send_length);
	exchange->expect = copy(expect, exchange->expect_length);
	return exchange->send == NULL || exchange->expect == NULL ? out_of_memory : NULL;
}

static void
exchange_clear(void *field)
{
	struct exchange *exchange = field;

	free(exchange->send);
	free(exchange->expect);
	*exchange = (struct exchange){ 0 };
}

static const char *
exchange_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct exchange exchange = { 0 };
	const char *wrong = NULL;

	(void)directory;
	if (strcmp(text, "connect") == 0)
		exchange.kind = EXCHANGE_CONNECT;
	else if (*text == '"')
		wrong = texts_read(text, &exchange);
	else
		return sentence_about(
			text,
			"is neither connect nor two texts in quotes such as \"PING\\r\\n\" \"+PONG\"%s",
			words_of(option));
	if (wrong != NULL)
		exchange_clear(&exchange);
	else
		*(struct exchange *)field = exchange;
	return wrong;
}

static bool
bytes_equal(const uint8_t *a, size_t a_length, const uint8_t *b, size_t b_length)
{
	return a_length == b_length && (a_length == 0 || memcmp(a, b, a_length) == 0);
}

static bool
exchange_equal(const void *void_a, const void *void_b)
{
	const struct exchange *a = void_a, *b = void_b;

	return a->kind == b->kind && bytes_equal(a->send, a->send_length, b->send, b->send_length)
	       && bytes_equal(a->expect, a->expect_length, b->expect, b->expect_length);
}

const struct value_type value_exchange = {
	.noun = "connect, or texts in quotes to send and to expect",
	.size = sizeof(struct exchange),
	.set = exchange_set,
	.clear = exchange_clear,
	.equal = exchange_equal,
};

static void
bytes_clear(void *field)
{
	struct byte_text *text = field;

	free(text->bytes);
	*text = (struct byte_text){ 0 };
}

static const char *
bytes_set(const struct option *option, void *field, const char *text, const char *directory)
{
	struct byte_text read = { 0 };
	uint8_t bytes[TEXT_MAX];
	const char *at = text, *wrong;

	(void)directory;
	if (*text != '"')
		return sentence_about(text, "is not a text in quotes such as \"HELLO\\r\\n\"%s",
				      words_of(option));
	wrong = quoted_read(&at, bytes, &read.length);
	if (wrong != NULL)
		return wrong;
	if (*at != '\0')
		return "something stands behind the text";
	read.bytes = copy(bytes, read.length);
	if (read.bytes == NULL)
		return out_of_memory;
	*(struct byte_text *)field = read;
	return NULL;
}

static bool
byte_texts_equal(const void *void_a, const void *void_b)
{
	const struct byte_text *a = void_a, *b = void_b;

	return bytes_equal(a->bytes, a->length, b->bytes, b->length);
}

const struct value_type value_bytes = {
	.noun = "text in quotes",
	.size = sizeof(struct byte_text),
	.set = bytes_set,
	.clear = bytes_clear,
	.equal = byte_texts_equal,
};
