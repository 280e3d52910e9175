/* registry.h - the protocols there are, each a const struct in its own file. */
#ifndef TWINED_PROTOCOLS_REGISTRY_H
#define TWINED_PROTOCOLS_REGISTRY_H

#include "net/protocol.h"

extern const struct protocol chargen_protocol;
extern const struct protocol daytime_protocol;
extern const struct protocol discard_protocol;
extern const struct protocol echo_protocol;
extern const struct protocol proxy_protocol;
extern const struct protocol qotd_protocol;
extern const struct protocol relay_protocol;
extern const struct protocol time_protocol;

#endif
