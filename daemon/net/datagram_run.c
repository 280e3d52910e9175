/* datagram_run.c - sends datagrams that all go the same way, by as few messages as that takes. */
#include "net/datagram_run.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>

enum {
	RUN_MAX = 32,
	CONTROL_MAX = 40,
	SEGMENT_CONTROL = CMSG_SPACE(sizeof(uint16_t)),
	SEGMENTS_SIZE = 65507 - 40,	/* of all in one message, whatever options IPv6 has */
};

/* The messages that pieces are put into. */
struct messages {
	struct mmsghdr headers[RUN_MAX];
	unsigned count;
	_Alignas(struct cmsghdr) uint8_t control[RUN_MAX][CONTROL_MAX + SEGMENT_CONTROL];
};

/* How many of the pieces make one message: of one length, but the last may be shorter. */
static unsigned
segments(const struct iovec *pieces, unsigned count, size_t longest)
{
	size_t length = pieces[0].iov_len, all = length;
	unsigned taken = 1;

	if (length == 0 || length > longest)
		return 1;
	while (taken < count && pieces[taken].iov_len > 0 && pieces[taken].iov_len <= length
	       && all + pieces[taken].iov_len <= SEGMENTS_SIZE) {
		all += pieces[taken].iov_len;
		if (pieces[taken++].iov_len < length)
			break;
	}
	return taken;
}

/* Says in a message's control bytes at which length the system is to cut it up. */
static void
add_segment_length(struct msghdr *message, uint8_t *control, size_t used, uint16_t length)
{
	struct cmsghdr *header = (struct cmsghdr *)(control + used);

	memset(header, 0, SEGMENT_CONTROL);
	header->cmsg_level = SOL_UDP;
	header->cmsg_type = UDP_SEGMENT;
	header->cmsg_len = CMSG_LEN(sizeof length);
	memcpy(CMSG_DATA(header), &length, sizeof length);
	message->msg_control = control;
	message->msg_controllen = used + SEGMENT_CONTROL;
}

static void
make_messages(struct messages *messages, const struct datagram_way *way, struct iovec *pieces,
	      unsigned count)
{
	messages->count = 0;
	for (unsigned at = 0; at < count;) {
		unsigned taken = segments(pieces + at, count - at, *way->segment_max);
		uint8_t *control = messages->control[messages->count];
		struct msghdr *message = &messages->headers[messages->count++].msg_hdr;

		*message = (struct msghdr){
			.msg_name = way->name,
			.msg_namelen = way->name_length,
			.msg_iov = pieces + at,
			.msg_iovlen = taken,
			.msg_control = way->control,
			.msg_controllen = way->control_length,
		};
		if (taken > 1) {
			if (way->control_length > 0)
				memcpy(control, way->control, way->control_length);
			add_segment_length(message, control, way->control_length,
					   (uint16_t)pieces[at].iov_len);
		}
		at += taken;
	}
}

/* Whether a message of several datagrams was refused for that: they can go one by one. */
static bool
refuses_segments(const struct datagram_way *way, const struct msghdr *message, int error)
{
	if (message->msg_iovlen == 1)
		return false;
	/* Longer than the path takes in one packet; or the device cannot do it at all. */
	if (error == EINVAL || error == EMSGSIZE)
		*way->segment_max = (uint16_t)(message->msg_iov[0].iov_len - 1);
	else if (error == EIO || error == EOPNOTSUPP)
		*way->segment_max = 0;
	else
		return false;
	return true;
}

unsigned
datagram_run_send(const struct datagram_way *way, struct iovec *pieces, unsigned count)
{
	struct messages messages;
	unsigned done = 0;

	assert(count <= RUN_MAX && way->control_length <= CONTROL_MAX);
	while (done < count) {
		int sent;

		make_messages(&messages, way, pieces + done, count - done);
		sent = sendmmsg(way->fd, messages.headers, messages.count, MSG_NOSIGNAL);
		if (sent <= 0 && !refuses_segments(way, &messages.headers[0].msg_hdr, errno))
			break;
		for (int i = 0; i < sent; i++)
			done += (unsigned)messages.headers[i].msg_hdr.msg_iovlen;
	}
	return done;
}
