/* control.c - how `twined --reload PID` asks a running twined to reload, and hears how it went. */
#include "service/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "net/reactor.h"

/*
 * A connection is a request. The answer is "OK\n", or "FAILED\n" and the errors a line each, and
 * then the end of the stream.
 */
static const char answer_ok[] = "OK\n", answer_failed[] = "FAILED\n";

enum { ANSWER_MAX = 64 * 1024, RETRY_MS = 100 };

struct control {
	struct reactor *reactor;
	struct event event;
	struct deadline retry;
	int fd;
	int reserve;			/* a descriptor to give up for a request; -1: none */
	int (*reload)(void *arg, struct config_errors *errors);
	void *arg;
};

static socklen_t
control_address(pid_t pid, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1
			   + (size_t)snprintf(address->sun_path + 1, sizeof address->sun_path - 1,
					      "twined/%ld", (long)pid));
}

/* Reloads and tells the client, whose socket takes all of an answer at once or loses its end. */
static void
control_answer(struct control *control, int fd)
{
	struct config_errors errors = { 0 };
	char *answer = malloc(ANSWER_MAX);
	size_t used = 0;
	int result = control->reload(control->arg, &errors);

	if (answer != NULL) {
		used = (size_t)snprintf(answer, ANSWER_MAX, "%s",
					result == 0 ? answer_ok : answer_failed);
		for (size_t i = 0; i < errors.count && used < ANSWER_MAX; i++)
			used += (size_t)snprintf(answer + used, ANSWER_MAX - used, "%s\n",
						 errors.lines[i]);
		if (used > ANSWER_MAX - 1)
			used = ANSWER_MAX - 1;
		if (send(fd, answer, used, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			log_debug("reload: nobody waits for the outcome");
	}
	free(answer);
	config_errors_clear(&errors);
}

static void
control_keep_reserve(struct control *control)
{
	if (control->reserve < 0)
		control->reserve = fcntl(control->fd, F_DUPFD_CLOEXEC, 0);
}

static void
control_give_reserve(struct control *control)
{
	if (control->reserve >= 0)
		close(control->reserve);
	control->reserve = -1;
}

/*
 * Accepts a request: its descriptor, or -1 with errno. Without a free descriptor it takes the place
 * of the reserve, for whoever asks is to hear that there is none.
 */
static int
control_accept(struct control *control)
{
	int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0 || errno != EMFILE || control->reserve < 0)
		return fd;
	control_give_reserve(control);
	fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0) {
		int error = errno;

		control_keep_reserve(control);
		errno = error;
	}
	return fd;
}

/* Ends a request. If it has the reserve's place, the reserve takes that back, before others can. */
static void
control_close(struct control *control, int fd)
{
	if (control->reserve < 0)
		control->reserve = dup3(control->fd, fd, O_CLOEXEC);
	if (control->reserve != fd)
		close(fd);
}

/* Out of descriptors: does not ask again at once. */
static void
control_pause(struct control *control)
{
	reactor_unwatch(&control->event);
	reactor_set_deadline(control->reactor, &control->retry, reactor_now_ms() + RETRY_MS);
}

static void
control_ready(evutil_socket_t listening, short what, void *arg)
{
	struct control *control = arg;
	struct ucred peer = { 0 };
	socklen_t length = sizeof peer;
	int fd = control_accept(control);

	(void)listening;
	(void)what;
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			control_pause(control);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0
	    && (peer.uid == 0 || peer.uid == geteuid()))
		control_answer(control, fd);
	else
		log_debug("reload: user %ld may not ask for it", (long)peer.uid);
	control_close(control, fd);
}

static void
control_retry(void *arg)
{
	struct control *control = arg;

	control_keep_reserve(control);
	if (reactor_watch(control->reactor, &control->event, control->fd, EV_READ | EV_PERSIST,
			  control_ready, control)
	    != 0)
		reactor_set_deadline(control->reactor, &control->retry,
				     reactor_now_ms() + RETRY_MS);
}

struct control *
control_new(struct reactor *reactor, int (*reload)(void *arg, struct config_errors *errors),
	    void *arg)
{
	struct control *control = calloc(1, sizeof *control);
	struct sockaddr_un address;
	socklen_t length = control_address(getpid(), &address);
	int error;

	if (control == NULL)
		return NULL;
	control->reactor = reactor;
	control->reserve = -1;
	control->reload = reload;
	control->arg = arg;
	control->retry.fn = control_retry;
	control->retry.arg = control;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (control->fd >= 0 && bind(control->fd, (struct sockaddr *)&address, length) == 0
	    && listen(control->fd, 16) == 0
	    && reactor_watch(reactor, &control->event, control->fd, EV_READ | EV_PERSIST,
			     control_ready, control)
		       == 0) {
		control_keep_reserve(control);
		return control;
	}
	error = errno;
	if (control->fd >= 0)
		close(control->fd);
	free(control);
	errno = error;
	return NULL;
}

void
control_free(struct control *control)
{
	if (control == NULL)
		return;
	reactor_unset_deadline(control->reactor, &control->retry);
	reactor_unwatch(&control->event);
	control_give_reserve(control);
	close(control->fd);
	free(control);
}

/* Connects to a running twined; -1 and a line on stderr when that cannot be. */
static int
control_connect(pid_t pid)
{
	struct sockaddr_un address;
	socklen_t length = control_address(pid, &address), size = sizeof(struct ucred);
	struct ucred peer = { 0 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) < 0) {
		fprintf(stderr,
			"twined: --reload: no twined that can be asked runs as process %ld: %s\n",
			(long)pid, strerror(errno));
	} else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.pid != pid) {
		fprintf(stderr, "twined: --reload: process %ld is not who answers for it\n",
			(long)pid);
	} else {
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

int
control_reload(pid_t pid)
{
	char *answer = malloc(ANSWER_MAX + 1);
	int fd = answer == NULL ? -1 : control_connect(pid);
	size_t used = 0;
	bool ok;

	while (fd >= 0 && used < ANSWER_MAX) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		ssize_t length;

		if (poll(&poll_fd, 1, CONTROL_RELOAD_MS) <= 0)
			break;
		length = recv(fd, answer + used, ANSWER_MAX - used, 0);
		if (length <= 0)
			break;
		used += (size_t)length;
	}
	if (fd < 0) {
		free(answer);
		return 1;
	}
	close(fd);
	answer[used] = '\0';
	ok = strcmp(answer, answer_ok) == 0;
	if (!ok && strncmp(answer, answer_failed, strlen(answer_failed)) == 0)
		fputs(answer + strlen(answer_failed), stderr);
	else if (!ok)
		fprintf(stderr, "twined: --reload: process %ld gave no answer\n", (long)pid);
	free(answer);
	return ok ? 0 : 1;
}
