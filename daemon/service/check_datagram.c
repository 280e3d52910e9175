/* check_datagram.c - a check of an address that takes datagrams. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "service/bound.h"
#include "service/check_private.h"

static void
datagram_ready(evutil_socket_t fd, short what, void *arg)
{
	struct check *check = arg;
	ssize_t length = recv(fd, check->reply, sizeof check->reply, MSG_DONTWAIT);
	char failure[200];

	(void)what;
	if (length < 0 && errno == EAGAIN)
		return;
	if (length < 0) {
		snprintf(failure, sizeof failure, "receive: %s", strerror(errno));
		check_end(check, failure);
		return;
	}
	check->reply_length = (size_t)length;
	check_judge(check, true);
}

static bool
check_watch_datagram(struct check *check)
{
	check->datagram_watched = reactor_watch(check->reactor, &check->datagram_event,
						check->datagram_fd, EV_READ | EV_PERSIST,
						datagram_ready, check)
				  == 0;
	return check->datagram_watched;
}

/*
 * Has the datagram socket made and connected; a unix client needs a name of its own to be answered.
 */
static bool
check_open_datagram(struct check *check)
{
	int family = check->address.u.sa.sa_family;
	struct sockaddr_un any_name = { .sun_family = AF_UNIX };

	check->datagram_fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return check->datagram_fd >= 0
	       && (family != AF_UNIX
		   || bind(check->datagram_fd, (struct sockaddr *)&any_name, sizeof(sa_family_t))
			      == 0)
	       && connect(check->datagram_fd, &check->address.u.sa, check->address.length) == 0;
}

/* Without sending anything, which would go to somebody's server. */
static void
check_look(struct check *check)
{
	struct check_result *result = check->result;
	char told[ANSWER_TEXT_MAX + 1];

	check->answered_ms = precise_ms();
	check_ask(check);
	if (check->known == ANSWER_NOT_SERVED) {
		check_end(check, "no upstream is up");
	} else if (check->known == ANSWER_NONE && check->endpoint.kind == ADDRESS_UDP
		   && !udp_is_bound(&check->address)) {
		check_end(check, "nobody is bound to it");
	} else {
		snprintf(told, sizeof told, "%.*s", ANSWER_TEXT_MAX, result->remark);
		check_end(check, NULL);
		snprintf(result->remark, sizeof result->remark, "not tried%s%s",
			 told[0] != '\0' ? ": " : "", told);
	}
}

void
check_send_datagram(struct check *check)
{
	char failure[200];
	bool opened = check_open_datagram(check);

	if (opened && check_only_looks(check)) {
		check_look(check);
		return;
	}
	if (!opened || !check_watch_datagram(check)
	    || send(check->datagram_fd, check->request, check->request_length, MSG_NOSIGNAL) < 0) {
		snprintf(failure, sizeof failure, "send: %s", strerror(errno));
		check_end(check, failure);
		return;
	}
	check->answered_ms = precise_ms();
	if (check_may_be_silent(check))
		check_allow(check, SILENCE_MS);
}
