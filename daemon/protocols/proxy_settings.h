/* proxy_settings.h - the keys of a proxy. */
#ifndef TWINED_PROTOCOLS_PROXY_SETTINGS_H
#define TWINED_PROTOCOLS_PROXY_SETTINGS_H

#include <stdint.h>

#include "base/option.h"
#include "net/address.h"
#include "net/protocol.h"

enum balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONN, BALANCE_RANDOM, BALANCE_SOURCE };
enum send_proxy { SEND_PROXY_NO, SEND_PROXY_V1, SEND_PROXY_V2 };

struct proxy_settings {
	struct upstream_list upstream;
	int64_t balance;		/* enum balance */
	int64_t connect_timeout_ms;	/* of each attempt; 0: what the system waits */
	int64_t wait_for_upstream_ms;	/* 0: a client is not held */
	int64_t max_fails;		/* 0: failures take no upstream out */
	int64_t fail_timeout_ms;
	struct exchange check;
	int64_t check_interval_ms;
	int64_t resolve_interval_ms;	/* 0: names are looked up at the start only */
	int64_t half_close_timeout_ms;	/* 0: off */
	int64_t send_proxy;		/* enum send_proxy */
	union peer_address bind;
	int64_t session_timeout_ms, max_sessions;
};

extern const struct option proxy_options[];

/* The proxy's settings_check. */
void proxy_settings_check(const void *settings, const struct address_list *listen,
			  settings_error_fn *error, void *arg);

#endif
