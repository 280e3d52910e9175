/* include.h - the files that the include key of [daemon] means. */
#ifndef TWINED_CONFIG_INCLUDE_H
#define TWINED_CONFIG_INCLUDE_H

#include <stddef.h>

/*
 * Finds what comma-separated glob(3) patterns mean, relative ones from a directory (NULL: the
 * working directory), each pattern's files sorted. Returns NULL and an array of names ended by
 * NULL, which include_free frees; or a sentence, valid until the thread's next call.
 */
const char *include_find(const char *patterns, const char *directory, char ***names);
void include_free(char **names);

#endif
