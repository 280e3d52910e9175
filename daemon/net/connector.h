/* connector.h - what runs for a [connector:NAME]: dials its addresses, again and again. */
#ifndef TWINED_NET_CONNECTOR_H
#define TWINED_NET_CONNECTOR_H

#include <stdint.h>

#include "base/option.h"
#include "net/address.h"
#include "net/socket_options.h"

struct protocol;

/* The keys of twined.ini(5) that every connector has. */
struct connector_settings {
	struct address_list connect;
	const struct protocol *protocol;
	int64_t enabled;
	union peer_address bind;		/* family 0: any */
	int64_t connect_timeout_ms;		/* time-outs: 0 is off */
	int64_t reconnect_min_ms, reconnect_max_ms;
	struct byte_text preamble;
	int64_t silence_timeout_ms;
	int64_t idle_timeout_ms;
	int64_t write_timeout_ms;
	int64_t linger_timeout_ms;
	struct socket_options socket;
};

/* Their option table; fills a struct connector_settings. */
extern const struct option connector_options[];

#endif
