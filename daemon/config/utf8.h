/* utf8.h - what may stand in a line of configuration: valid UTF-8 without control characters. */
#ifndef TWINED_CONFIG_UTF8_H
#define TWINED_CONFIG_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Decodes the first character of length > 0 bytes. Returns how many bytes it has, 0 when they are
 * not valid UTF-8 (too long a form, a surrogate, beyond U+10FFFF, cut off).
 */
size_t utf8_decode(const char *bytes, size_t length, uint32_t *character);

/*
 * What is wrong with the bytes, for the sentence "has ...": words that are kept in buffer; NULL:
 * nothing.
 */
const char *utf8_check(const char *bytes, size_t length, char *buffer, size_t size);

#endif
