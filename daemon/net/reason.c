/* reason.c - why a connection ended. */
#include "net/reason.h"

const char *
reason_word(enum reason reason)
{
	static const char *const words[] = {
#define REASON_WORD(id, word) word,
		REASONS(REASON_WORD)
#undef REASON_WORD
	};

	return words[reason];
}
