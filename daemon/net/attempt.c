/* attempt.c - one attempt at an address that is dialled: a stream socket on its way to one address. */
#include "net/attempt.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "net/socket_options.h"

/* The ports that the system gives to sockets that connect. */
static struct {
	unsigned low, high;
} ephemeral = { 1024, 65535 };

/* Where /proc/sys is hidden, they may be any that need no privilege. */
static void
ephemeral_read(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	unsigned low, high;

	if (file == NULL)
		return;
	if (fscanf(file, "%u %u", &low, &high) == 2) {
		ephemeral.low = low;
		ephemeral.high = high;
	}
	fclose(file);
}

/*
 * Whether a socket has connected to itself: nobody listens at a port of this machine, and the
 * system has given that very port to the socket, whose SYN then meets one that is connecting (RFC
 * 9293, 3.5).
 */
static bool
is_its_own_peer(const struct sockaddr_any *address, int fd)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sockaddr_any own = { 0 }, peer = { 0 };
	unsigned port = ntohs(address->u.in.sin_port);	/* in the same place of both families */

	if (address->u.sa.sa_family == AF_UNIX)
		return false;
	pthread_once(&once, ephemeral_read);
	if (port < ephemeral.low || port > ephemeral.high)
		return false;
	own.length = peer.length = sizeof own.u;
	return getsockname(fd, &own.u.sa, &own.length) == 0 && ntohs(own.u.in.sin_port) == port
	       && getpeername(fd, &peer.u.sa, &peer.length) == 0 && own.length == peer.length
	       && memcmp(&own.u, &peer.u, own.length) == 0;
}

static enum attempt
attempt_connected(const struct sockaddr_any *address, int fd)
{
	static const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	if (!is_its_own_peer(address, fd))
		return ATTEMPT_CONNECTED;
	/* The port is to be free for its server at once. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	errno = ECONNREFUSED;
	return ATTEMPT_FAILED;
}

enum attempt
attempt_again(const struct sockaddr_any *address, int fd)
{
	int result = connect(fd, &address->u.sa, address->length);

	/* This machine has answered itself by now, a second call says what: that saves a turn. */
	if (result < 0 && errno == EINPROGRESS)
		result = connect(fd, &address->u.sa, address->length);
	if (result == 0 || errno == EISCONN)
		return attempt_connected(address, fd);
	if (errno == EALREADY)
		return ATTEMPT_WAITS;
	if (errno == EAGAIN && address->u.sa.sa_family == AF_UNIX)
		return ATTEMPT_KNOCKS;
	return ATTEMPT_FAILED;
}

enum attempt
attempt_finish(const struct sockaddr_any *address, int fd)
{
	int error = 0;
	socklen_t length = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
		error = errno;
	if (error == 0)
		return attempt_connected(address, fd);
	errno = error;
	return ATTEMPT_FAILED;
}

static int
source_bind(int fd, const union peer_address *source)
{
	static const int on = 1;

	/* The port is picked when the peer is known: connections to two peers may have the same. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
	return bind(fd, &source->sa,
		    source->sa.sa_family == AF_INET ? sizeof source->in : sizeof source->in6);
}

enum attempt
attempt_begin(const struct sockaddr_any *address, const union peer_address *source,
	      const char *interface, const struct socket_options *options, int *fd,
	      const char **step)
{
	int family = address->u.sa.sa_family;
	enum attempt attempt;
	const char *wrong = NULL;
	int error;

	*step = "";
	*fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return ATTEMPT_FAILED;
	if (family != AF_UNIX && options != NULL)
		wrong = socket_options_set(*fd, options, &address->u.sa);
	if (wrong != NULL)
		log_debug("a connection begins without %s", wrong);
	if (family != AF_UNIX && interface != NULL
	    && setsockopt(*fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface))
		       < 0) {
		*step = "bind_device: ";
		attempt = ATTEMPT_FAILED;
	} else if (family != AF_UNIX && source != NULL && source->sa.sa_family != AF_UNSPEC
		   && source_bind(*fd, source) < 0) {
		*step = "bind: ";
		attempt = ATTEMPT_FAILED;
	} else {
		attempt = attempt_again(address, *fd);
	}
	if (attempt == ATTEMPT_FAILED) {
		error = errno;
		close(*fd);
		errno = error;
	}
	return attempt;
}

unsigned
attempt_error_weight(int error)
{
	switch (error) {
	case 0:
		return 0;
	case ENETUNREACH:
	case EADDRNOTAVAIL:
	case EAFNOSUPPORT:
	case EACCES:
	case EPERM:
	case EINVAL:
		return 1;
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case EHOSTDOWN:
		return 2;
	default:
		return 3;
	}
}

bool
attempt_is_short(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}
