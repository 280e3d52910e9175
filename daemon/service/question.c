/* question.c - asks and answers over a datagram socket in the abstract namespace. */
#include "service/question.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/reactor.h"

enum { ASKED_MAX = 64, ANSWER_WAIT_MS = 500, TURN_MAX = 16 };

static const char socket_prefix[] = "twined/", socket_suffix[] = "/probe";

static socklen_t
socket_address(long pid, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1
			   + (size_t)snprintf(address->sun_path + 1, sizeof address->sun_path - 1,
					      "%s%ld%s", socket_prefix, pid, socket_suffix));
}

/* A datagram socket that is told who has sent what it receives; -1 with errno. */
static int
socket_new(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes);
	return fd;
}

/*
 * Receives exactly so many bytes, and notes who has sent them: 0, or -1 for nothing, another
 * length, or a sender that the system does not vouch for.
 */
static int
receive(int fd, void *bytes, size_t length, struct sockaddr_any *from, struct ucred *sender)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof *sender)];
	struct iovec piece = { .iov_base = bytes, .iov_len = length };
	struct msghdr message = {
		.msg_name = &from->u,
		.msg_namelen = sizeof from->u,
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control,
	};
	ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *first;

	from->length = message.msg_namelen;
	if (received != (ssize_t)length || (message.msg_flags & MSG_TRUNC)) {
		errno = received < 0 ? errno : EPROTO;
		return -1;
	}
	first = CMSG_FIRSTHDR(&message);
	if (first == NULL || first->cmsg_level != SOL_SOCKET
	    || first->cmsg_type != SCM_CREDENTIALS) {
		errno = EPROTO;
		return -1;
	}
	memcpy(sender, CMSG_DATA(first), sizeof *sender);
	return 0;
}

/* ---- Who is asked */

struct questions {
	struct reactor *reactor;
	struct event event;
	int fd;
	void (*answer)(void *arg, const struct question *question, pid_t asker,
		       struct answer *answer);
	void *arg;
};

/* Whether a question can be read as one. */
static bool
question_valid(const struct question *question)
{
	return question->version == QUESTION_VERSION && question->kind <= ADDRESS_UNIXGRAM
	       && memchr(question->listener, '\0', sizeof question->listener) != NULL
	       && question->from.length <= sizeof question->from.u
	       && question->to.length <= sizeof question->to.u;
}

static void
questions_ready(evutil_socket_t fd, short what, void *arg)
{
	struct questions *questions = arg;
	struct sockaddr_any from;
	struct question question;
	struct ucred asker;

	(void)what;
	for (int i = 0; i < TURN_MAX; i++) {
		struct answer answer = { .version = QUESTION_VERSION };

		if (receive(fd, &question, sizeof question, &from, &asker) < 0) {
			if (errno != EPROTO)
				return;
			continue;
		}
		if (!question_valid(&question))
			continue;
		/* Others are told nothing, but need not wait for that. */
		if (asker.uid == 0 || asker.uid == geteuid())
			questions->answer(questions->arg, &question, asker.pid, &answer);
		sendto(fd, &answer, sizeof answer, MSG_DONTWAIT | MSG_NOSIGNAL, &from.u.sa,
		       from.length);
	}
}

struct questions *
questions_new(struct reactor *reactor,
	      void (*answer)(void *arg, const struct question *question, pid_t asker,
			     struct answer *answer),
	      void *arg)
{
	struct questions *questions = calloc(1, sizeof *questions);
	struct sockaddr_un address;
	socklen_t length = socket_address(getpid(), &address);
	int error;

	if (questions == NULL)
		return NULL;
	*questions = (struct questions){ .reactor = reactor, .answer = answer, .arg = arg };
	questions->fd = socket_new();
	if (questions->fd >= 0 && bind(questions->fd, (struct sockaddr *)&address, length) == 0
	    && reactor_watch(reactor, &questions->event, questions->fd, EV_READ | EV_PERSIST,
			     questions_ready, questions)
		       == 0)
		return questions;
	error = errno;
	if (questions->fd >= 0)
		close(questions->fd);
	free(questions);
	errno = error;
	return NULL;
}

void
questions_free(struct questions *questions)
{
	if (questions == NULL)
		return;
	reactor_unwatch(&questions->event);
	close(questions->fd);
	free(questions);
}

/* ---- Who asks */

/* A running twined that has been sent a question. */
struct asked {
	long pid;
	int fd;
};

/* The process whose socket a line of /proc/net/unix is about; 0: none of ours. */
static long
line_pid(const char *line)
{
	const char *name = strchr(line, '@');
	char *end;
	long pid;

	if (name == NULL || strncmp(name + 1, socket_prefix, strlen(socket_prefix)) != 0)
		return 0;
	pid = strtol(name + 1 + strlen(socket_prefix), &end, 10);
	return pid > 0 && strncmp(end, socket_suffix, strlen(socket_suffix)) == 0 ? pid : 0;
}

/* Sends the question to one process: its socket, or -1. */
static int
ask_one(long pid, const struct question *question)
{
	struct sockaddr_un address, any_name = { .sun_family = AF_UNIX };
	socklen_t length = socket_address(pid, &address);
	int fd = socket_new();

	/* From whom it is connected to nobody else can send. */
	if (fd >= 0 && bind(fd, (struct sockaddr *)&any_name, sizeof any_name.sun_family) == 0
	    && connect(fd, (struct sockaddr *)&address, length) == 0
	    && send(fd, question, sizeof *question, MSG_NOSIGNAL) == (ssize_t)sizeof *question)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Sends the question to all there are; returns to how many. */
static size_t
ask_all(const struct question *question, struct asked asked[static ASKED_MAX])
{
	FILE *sockets = fopen("/proc/net/unix", "re");
	char *line = NULL;
	size_t size = 0, count = 0;

	while (sockets != NULL && count < ASKED_MAX && getline(&line, &size, sockets) > 0) {
		long pid = line_pid(line);
		int fd = pid == 0 ? -1 : ask_one(pid, question);

		if (fd >= 0)
			asked[count++] = (struct asked){ .pid = pid, .fd = fd };
	}
	free(line);
	if (sockets != NULL)
		fclose(sockets);
	return count;
}

/* Whether an answer has come that says something. */
static bool
take_answer(const struct asked *asked, struct answer *answer)
{
	struct sockaddr_any from;
	struct ucred sender;

	if (receive(asked->fd, answer, sizeof *answer, &from, &sender) < 0
	    || sender.pid != asked->pid)
		return false;
	answer->text[sizeof answer->text - 1] = '\0';
	return answer->version == QUESTION_VERSION && answer->kind > ANSWER_NONE
	       && answer->kind <= ANSWER_NOT_SERVED;
}

/* Waits for answers until one says something, all have come, or it takes too long. */
static bool
wait_for_answer(const struct asked *asked, size_t count, struct answer *answer)
{
	uint64_t until_ms = reactor_now_ms() + ANSWER_WAIT_MS;
	struct pollfd fds[ASKED_MAX];
	size_t left = count;

	for (size_t i = 0; i < count; i++)
		fds[i] = (struct pollfd){ .fd = asked[i].fd, .events = POLLIN };
	while (left > 0) {
		uint64_t now_ms = reactor_now_ms();

		if (now_ms >= until_ms || poll(fds, count, (int)(until_ms - now_ms)) <= 0)
			return false;
		for (size_t i = 0; i < count; i++) {
			if (fds[i].fd < 0 || fds[i].revents == 0)
				continue;
			if (take_answer(&asked[i], answer))
				return true;
			fds[i].fd = -1;
			left--;
		}
	}
	return false;
}

enum answer_kind
question_ask(const struct question *question, struct answer *answer)
{
	struct asked asked[ASKED_MAX];
	size_t count = ask_all(question, asked);
	bool answered = wait_for_answer(asked, count, answer);

	for (size_t i = 0; i < count; i++)
		close(asked[i].fd);
	return answered ? (enum answer_kind)answer->kind : ANSWER_NONE;
}
