/* link_private.h - a link from within: for link*.c only. */
#ifndef TWINED_NET_LINK_PRIVATE_H
#define TWINED_NET_LINK_PRIVATE_H

#include "net/deadline.h"
#include "net/endpoint.h"
#include "net/link.h"
#include "net/protocol.h"

struct link {
	struct endpoint endpoint;	/* first */
	struct protocol protocol;	/* the factory's, with what follows around its callbacks */
	const struct protocol *inner;
	struct link_plan plan;
	struct link **owner;		/* NULL: nobody's */
	struct sockaddr_any *addresses;
	struct dialling *dialling;
	struct transport *transport;
	struct pump *pump;		/* NULL: it is a stream socket itself */
	struct deadline silence;
	uint64_t line_ms;		/* when the last line came, or its time began */
	size_t begun;			/* bytes that have come since then */
	enum reason reason;		/* of its ending */
	bool ending;
	bool deaf;			/* what comes is read again */
	bool skips;			/* what comes is the rest of a line whose begin is lost */
	char name[];
};

/* link.c */

/* From here on it is nobody's, and reads no more: whether it was somebody's. */
bool link_leave_owner(struct link *link);

/* Ends it by itself. */
void link_lose(struct link *link, enum reason reason);

/* Why its device has gone, in words; NULL: it has not, or there is none. */
const char *link_failure(const struct link *link);

/* link_protocol.c */

/* Puts what a connector adds around the callbacks of its protocol. */
void link_wrap_protocol(struct link *link);

#endif
