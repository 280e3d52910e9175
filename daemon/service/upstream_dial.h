/* upstream_dial.h - dials the upstreams of a configuration, to say why each does not answer. */
#ifndef TWINED_SERVICE_UPSTREAM_DIAL_H
#define TWINED_SERVICE_UPSTREAM_DIAL_H

#include <stddef.h>

struct section_config;

/*
 * Looks up and dials every stream upstream of a listener, from its bind address, all at once and
 * for 3 s at most. Writes "tcp://127.0.0.1:80: Connection refused; tcp://spare:80: answers", or
 * nothing if there is none.
 */
void upstreams_dial(const struct section_config *listener, char *text, size_t size);

#endif
