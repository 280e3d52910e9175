/* inih.c - the choices that inih leaves to who calls it. */
#include "config/inih.h"

#include <stdbool.h>
#include <stddef.h>

enum { LINE_END_BYTES = 3 };

/*
 * Debian's inih has its compile-time choices as variables. A stock build has none of them, and then
 * takes lines of 197 bytes.
 */
extern int ini_max_line __attribute__((weak));
extern int ini_initial_alloc __attribute__((weak));
extern bool ini_use_stack __attribute__((weak));
extern bool ini_allow_multiline __attribute__((weak));

void
inih_prepare(int line_max)
{
	if (&ini_max_line != NULL)
		ini_max_line = line_max + LINE_END_BYTES;
	if (&ini_initial_alloc != NULL)
		ini_initial_alloc = line_max + LINE_END_BYTES;
	if (&ini_use_stack != NULL)
		ini_use_stack = false;
	if (&ini_allow_multiline != NULL)
		ini_allow_multiline = false;
}
