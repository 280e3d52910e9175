/* datagram_batch.c - receives many datagrams by one call, and sends many. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/datagram_private.h"
#include "net/tally.h"

struct datagram_batch *
datagram_batch_of(struct reactor *reactor)
{
	return reactor_attachment(reactor);
}

int
datagram_batch_make(struct reactor *reactor)
{
	struct datagram_batch *batch;

	if (datagram_batch_of(reactor) != NULL)
		return 0;
	batch = calloc(1, sizeof *batch);
	if (batch == NULL)
		return -1;
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
		batch->in_pieces[i].iov_base = reactor_scratch(reactor) + i * DATAGRAM_SLOT;
		batch->in_pieces[i].iov_len = DATAGRAM_SLOT;
		batch->datagrams[i].slot = i;
		batch->in[i].msg_hdr =
			(struct msghdr){ .msg_iov = &batch->in_pieces[i], .msg_iovlen = 1 };
		batch->replies[i].msg_hdr = batch->in[i].msg_hdr;
		batch->out[i].msg_hdr =
			(struct msghdr){ .msg_iov = &batch->out_pieces[i], .msg_iovlen = 1 };
	}
	reactor_attach(reactor, batch, free);
	return 0;
}

int
datagram_batch_receive(struct datagram_batch *batch, const struct datagram_port *port)
{
	for (unsigned i = 0; i < DATAGRAM_BATCH; i++) {
		struct msghdr *message = &batch->in[i].msg_hdr;

		message->msg_name = &batch->datagrams[i].source.from.u;
		message->msg_namelen = sizeof batch->datagrams[i].source.from.u;
		message->msg_control = port->sends_source ? batch->control[i] : NULL;
		message->msg_controllen = port->sends_source ? DATAGRAM_CONTROL : 0;
	}
	return recvmmsg(port->fd, batch->in, DATAGRAM_BATCH, MSG_DONTWAIT, NULL);
}

void
datagram_batch_answer(struct datagram_batch *batch, struct datagram_port *port)
{
	struct counters *counters = port->endpoint.counters;

	for (unsigned done = 0; done < batch->out_count;) {
		int sent = sendmmsg(port->fd, &batch->out[done], batch->out_count - done,
				    MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0) {
			counters->datagrams_dropped[DROP_SEND]++;
			done++;
			continue;
		}
		for (int i = 0; i < sent; i++)
			counters->bytes_out += batch->out[done + (unsigned)i].msg_len;
		counters->datagrams_out += (unsigned)sent;
		done += (unsigned)sent;
	}
	batch->out_count = 0;
}

size_t
datagram_answer_control(struct msghdr *received)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(received);
	size_t length;

	for (; control != NULL; control = CMSG_NXTHDR(received, control)) {
		void *data = CMSG_DATA(control);

		if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO)
			((struct in_pktinfo *)data)->ipi_ifindex = 0;
		else if (control->cmsg_level != IPPROTO_IPV6 || control->cmsg_type != IPV6_PKTINFO)
			continue;
		else if (IN6_IS_ADDR_MULTICAST(&((struct in6_pktinfo *)data)->ipi6_addr))
			return 0;
		else if (!IN6_IS_ADDR_LINKLOCAL(&((struct in6_pktinfo *)data)->ipi6_addr))
			((struct in6_pktinfo *)data)->ipi6_ifindex = 0;
		length = control->cmsg_len;
		memmove(received->msg_control, control, length);
		memset((char *)received->msg_control + length, 0, CMSG_ALIGN(length) - length);
		return CMSG_ALIGN(length);
	}
	return 0;
}
