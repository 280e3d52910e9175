/* utf8.c - decodes UTF-8, and says what in a text is not fit to be configuration. */
#include "config/utf8.h"

#include <stdio.h>

size_t
utf8_decode(const char *bytes, size_t length, uint32_t *character)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *at = (const unsigned char *)bytes;
	size_t size = at[0] < 0x80   ? 1
		      : at[0] < 0xc0 ? 0
		      : at[0] < 0xe0 ? 2
		      : at[0] < 0xf0 ? 3
		      : at[0] < 0xf8 ? 4
				     : 0;

	if (size == 0 || size > length)
		return 0;
	*character = size == 1 ? at[0] : at[0] & (0x7fu >> size);
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (at[i] & 0x3f);
	}
	if (*character < least[size] || *character > 0x10ffff
	    || (*character >= 0xd800 && *character <= 0xdfff))
		return 0;
	return size;
}

const char *
utf8_check(const char *bytes, size_t length, char *buffer, size_t size)
{
	for (size_t i = 0; i < length;) {
		uint32_t character;
		size_t used = utf8_decode(bytes + i, length - i, &character);

		if (used == 0) {
			snprintf(buffer, size, "the byte 0x%02x, which is not UTF-8",
				 (unsigned char)bytes[i]);
			return buffer;
		}
		if (character == 0)
			return "a NUL byte";
		if (character == '\r')
			return "a carriage return without a line feed behind it";
		if ((character < 0x20 && character != '\t')
		    || (character >= 0x7f && character < 0xa0)) {
			snprintf(buffer, size, "the control character U+%04X", (unsigned)character);
			return buffer;
		}
		if (character == 0xfeff)
			return "a byte order mark (U+FEFF) elsewhere than at the start of line 1";
		i += used;
	}
	return NULL;
}
