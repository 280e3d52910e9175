/* datagram_socket.c - makes a datagram socket that is connected to where it sends. */
#include "net/datagram_socket.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "net/socket_options.h"

static int
bind_source(int fd, int family, const union peer_address *source)
{
	static const struct sockaddr unnamed = { .sa_family = AF_UNIX };

	/* The system makes a name up (unix(7)). */
	if (family == AF_UNIX)
		return bind(fd, &unnamed, sizeof unnamed.sa_family);
	if (source == NULL || source->sa.sa_family == AF_UNSPEC)
		return 0;
	return bind(fd, &source->sa,
		    source->sa.sa_family == AF_INET ? sizeof source->in : sizeof source->in6);
}

int
datagram_socket_connect(const struct sockaddr_any *to, const union peer_address *source,
			const char *interface, const struct socket_options *options)
{
	int family = to->u.sa.sa_family, error;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (family != AF_UNIX && options != NULL)
		socket_options_set_udp(fd, options, family);
	if (family != AF_UNIX && interface != NULL
	    && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface))
		       < 0)
		error = errno;
	else if (bind_source(fd, family, source) == 0 && connect(fd, &to->u.sa, to->length) == 0)
		return fd;
	else
		error = errno;
	close(fd);
	errno = error;
	return -1;
}
