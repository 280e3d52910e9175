/* expand.h - ${NAME}, ${NAME:-default} and $$ in a value. */
#ifndef TWINED_CONFIG_EXPAND_H
#define TWINED_CONFIG_EXPAND_H

/*
 * Returns NULL and the value with the environment put in, which the caller frees; or a sentence,
 * valid until the thread's next call. What comes from the environment is not expanded again.
 */
const char *expand(const char *text, char **expanded);

#endif
