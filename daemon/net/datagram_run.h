/* datagram_run.h - sends datagrams that all go the same way, by as few messages as that takes. */
#ifndef TWINED_NET_DATAGRAM_RUN_H
#define TWINED_NET_DATAGRAM_RUN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* The way they go. */
struct datagram_way {
	int fd;
	void *name;			/* NULL: to where the socket is connected */
	socklen_t name_length;
	void *control;			/* as msg_control of sendmsg(2); at most 40 bytes */
	size_t control_length;
	/*
	 * The longest datagram of which several of one length make one message that the system cuts
	 * up (UDP_SEGMENT, udp(7)); 0 for a socket that is not UDP's. It is lowered as the system
	 * refuses.
	 */
	uint16_t *segment_max;
};

/*
 * Sends the pieces, at most 32, each a datagram. Returns how many have been sent; if that is not
 * all, errno says what became of the next one.
 */
unsigned datagram_run_send(const struct datagram_way *way, struct iovec *pieces, unsigned count);

#endif
