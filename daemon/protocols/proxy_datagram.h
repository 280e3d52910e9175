/* proxy_datagram.h - the datagrams of a proxy: each client's go to an upstream in a flow. */
#ifndef TWINED_PROTOCOLS_PROXY_DATAGRAM_H
#define TWINED_PROTOCOLS_PROXY_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>

struct datagram;
struct datagram_flows;
struct proxy_settings;

/* The flows of a factory, which the settings outlive; datagram_flows_free. NULL with errno. */
struct datagram_flows *proxy_flows_new(const struct proxy_settings *settings);

/* The protocol's datagram_received. */
void proxy_datagram_received(struct datagram *datagram, const uint8_t *bytes, size_t length);

#endif
