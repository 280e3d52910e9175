/* datagram_dial.c - a connected datagram socket of one's own, to ask a server something. */
#include "net/datagram_dial.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/datagram_socket.h"
#include "net/reactor.h"

struct datagram_dial {
	struct event event;
	struct reactor *reactor;
	const struct datagram_dial_calls *calls;
	void *arg;
};

static void
dial_ready(evutil_socket_t fd, short what, void *arg)
{
	struct datagram_dial *dial = arg;
	uint8_t *scratch = reactor_scratch(dial->reactor);
	ssize_t length = recv(fd, scratch, REACTOR_SCRATCH_SIZE, 0);

	(void)what;
	if (length >= 0)
		dial->calls->received(dial->arg, scratch, (size_t)length);
	else if (errno != EAGAIN && errno != EINTR)
		dial->calls->failed(dial->arg, errno);
}

struct datagram_dial *
datagram_dial_new(struct reactor *reactor, const struct sockaddr_any *to,
		  const union peer_address *source, const void *bytes, size_t length,
		  const struct datagram_dial_calls *calls, void *arg)
{
	struct datagram_dial *dial = calloc(1, sizeof *dial);
	int fd = datagram_socket_connect(to, source, NULL, NULL), error;

	if (dial == NULL || fd < 0 || send(fd, bytes, length, MSG_NOSIGNAL) < 0) {
		error = dial == NULL ? ENOMEM : errno;
		goto fail;
	}
	dial->reactor = reactor;
	dial->calls = calls;
	dial->arg = arg;
	if (reactor_watch(reactor, &dial->event, fd, EV_READ | EV_PERSIST, dial_ready, dial) == 0)
		return dial;
	error = ENOMEM;
fail:
	if (fd >= 0)
		close(fd);
	free(dial);
	errno = error;
	return NULL;
}

void
datagram_dial_free(struct datagram_dial *dial)
{
	if (dial == NULL)
		return;
	reactor_unwatch(&dial->event);
	close(event_get_fd(&dial->event));
	free(dial);
}
