/* reason.h - why a connection ended: one word, the same in the log, the counters and the status. */
#ifndef TWINED_NET_REASON_H
#define TWINED_NET_REASON_H

#define REASONS(X)                                                                        \
	X(DONE, "done")				/* our protocol had said all, and the peer too */ \
	X(PEER_CLOSED, "peer_closed")		/* the peer ended first, and all was delivered */ \
	X(PEER_RESET, "peer_reset")		/* the peer reset, or went while owed data */     \
	X(IDLE_TIMEOUT, "idle_timeout")         \
	X(SILENCE_TIMEOUT, "silence_timeout")	/* a connector's: no line came */             \
	X(SESSION_TIMEOUT, "session_timeout")	/* a flow of datagrams */                         \
	X(WRITE_TIMEOUT, "write_timeout")       \
	X(LINGER_TIMEOUT, "linger_timeout")     \
	X(HALF_CLOSE_TIMEOUT, "half_close_timeout") \
	X(CONNECT_TIMEOUT, "connect_timeout")   \
	X(UPSTREAM_REFUSED, "upstream_refused") \
	X(UPSTREAM_RESET, "upstream_reset")     \
	X(LINE_TOO_LONG, "line_too_long")       \
	X(TOO_SLOW, "too_slow")                 \
	X(BAD_PROXY_HEADER, "bad_proxy_header")	/* accept_proxy */                                \
	X(PROXY_HEADER_TIMEOUT, "proxy_header_timeout")                                   \
	X(DENIED, "denied")                     \
	X(FULL, "full")				/* max_connections */                             \
	X(FULL_FOR_IP, "full_for_ip")		/* max_connections_per_ip */                      \
	X(EVICTED, "evicted")			/* a flow, for another one */                     \
	X(NO_RESOURCES, "no_resources")		/* out of memory or descriptors */                \
	X(SHUTDOWN, "shutdown")			/* we stop */                                     \
	X(ERROR, "error")			/* anything else the system said */

enum reason {
#define REASON_ENUM(id, word) REASON_##id,
	REASONS(REASON_ENUM)
#undef REASON_ENUM
	REASON_COUNT
};

/* The word of a reason: "idle_timeout". */
const char *reason_word(enum reason reason);

#endif
