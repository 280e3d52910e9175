/* proxy_probe.h - what a client of a proxy can see of it, and what there is to say of its
 * datagrams. */
#ifndef TWINED_PROTOCOLS_PROXY_PROBE_H
#define TWINED_PROTOCOLS_PROXY_PROBE_H

#include "net/protocol.h"

/* Sends and expects what check says; where that is no text, only looks. */
extern const struct probe proxy_probe;

/* The protocol's datagrams_via: "udp://10.0.0.5:53 up, udp://10.0.0.6:53 down". */
bool proxy_datagrams_via(struct factory *factory, char *text, size_t size);

#endif
