/* port.c - a bound socket: opened or passed to us, kept over reloads, its unix path removed with
 * it. */
#include "net/port.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/listener.h"

static char sentence[256];

/* "what: why", for the caller of the public function. */
static const char *
failure(const char *what, int error)
{
	snprintf(sentence, sizeof sentence, "%s: %s", what, strerror(error));
	return sentence;
}

/* The path of a unix socket in the file system, NULL for any other address. */
static const char *
unix_path(const struct sockaddr_any *address)
{
	if (address->u.sa.sa_family != AF_UNIX || address->u.un.sun_path[0] == '\0')
		return NULL;
	return address->u.un.sun_path;
}

/*
 * Whether somebody answers at a unix socket: a sentence if so (or if that cannot be known), else
 * NULL.
 */
static const char *
unix_live(const struct sockaddr_any *address, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int result, error;

	if (fd < 0)
		return failure("socket", errno);
	result = connect(fd, &address->u.sa, address->length);
	error = errno;
	close(fd);
	if (result < 0 && error == ECONNREFUSED)
		return NULL;
	if (result < 0 && error != EAGAIN && error != EPROTOTYPE)
		return failure("the socket that is there cannot be tried", error);
	return "another process is listening there";
}

/* Removes the socket file that a dead process of ours has left; anything else stays: a sentence. */
static const char *
unix_remove_stale(const struct sockaddr_any *address, int type,
		  const struct listener_settings *settings)
{
	const char *path = unix_path(address), *live;
	struct stat status;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? NULL : failure("lstat", errno);
	if (!S_ISSOCK(status.st_mode))
		return "something that is not a socket is there, and is left as it is";
	if (status.st_uid != geteuid() && (int64_t)status.st_uid != settings->socket_user)
		return "a socket of another user is there, and is left as it is";
	live = unix_live(address, type);
	if (live != NULL)
		return live;
	if (unlink(path) < 0 && errno != ENOENT)
		return failure("removing a stale socket", errno);
	return NULL;
}

/* Binds a unix socket, over a stale one where need be. */
static const char *
unix_bind(struct port *port, const struct sockaddr_any *address, int type,
	  const struct listener_settings *settings)
{
	const char *stale;
	struct stat status;
	mode_t mask;
	int result;

	for (int tries = 0;; tries++) {
		/* Nobody may connect before mode and owner are set. */
		mask = umask(0177);
		result = bind(port->fd, &address->u.sa, address->length);
		umask(mask);
		if (result == 0)
			break;
		if (errno != EADDRINUSE || unix_path(address) == NULL || tries > 0)
			return failure("bind", errno);
		stale = unix_remove_stale(address, type, settings);
		if (stale != NULL)
			return stale;
	}
	if (unix_path(address) != NULL && lstat(unix_path(address), &status) == 0
	    && S_ISSOCK(status.st_mode)) {
		port->device = status.st_dev;
		port->inode = status.st_ino;
	}
	return NULL;
}

static int
set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value);
}

/* Notes what is bound: the address with the port that the system has picked. */
static const char *
port_note_bound(struct port *port)
{
	char text[ADDRESS_TEXT_MAX];
	const struct sockaddr_any *bound = &port->bound;

	port->bound.length = sizeof port->bound.u;
	if (getsockname(port->fd, &port->bound.u.sa, &port->bound.length) < 0)
		return failure("getsockname", errno);
	port->sends_source = port->kind == ADDRESS_UDP
			     && ((bound->u.sa.sa_family == AF_INET
				  && bound->u.in.sin_addr.s_addr == htonl(INADDR_ANY))
				 || (bound->u.sa.sa_family == AF_INET6
				     && IN6_IS_ADDR_UNSPECIFIED(&bound->u.in6.sin6_addr)));
	if (port->sends_source) {
		set_option(port->fd, IPPROTO_IP, IP_PKTINFO, 1);
		if (bound->u.sa.sa_family == AF_INET6)
			set_option(port->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	}
	address_format(port->kind, &bound->u.sa, bound->length, text);
	port->text = strdup(text);
	return port->text == NULL ? failure("memory", ENOMEM) : NULL;
}

/* Opens the path itself, if it is still the one that this port has made; -1: not (any more). */
static int
path_open(const struct port *port)
{
	struct stat status;
	int fd;

	if (port->inode == 0)
		return -1;
	fd = open(unix_path(&port->bound), O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &status) == 0 && status.st_dev == port->device
	    && status.st_ino == port->inode)
		return fd;
	close(fd);
	return -1;
}

/* Sets mode and owner of the path, and of nothing that may have come into its place. */
static const char *
path_apply(struct port *port, const struct listener_settings *settings)
{
	uid_t uid = settings->socket_user == OPTION_AUTO ? (uid_t)-1 : (uid_t)settings->socket_user;
	gid_t gid =
		settings->socket_group == OPTION_AUTO ? (gid_t)-1 : (gid_t)settings->socket_group;
	const char *error = NULL;
	char itself[40];
	int fd = path_open(port);

	if (fd < 0)
		return "the path is not the socket that was made there";
	/* What an earlier configuration has set is taken back. */
	if (port->owned && uid == (uid_t)-1)
		uid = geteuid();
	if (port->owned && gid == (gid_t)-1)
		gid = getegid();
	snprintf(itself, sizeof itself, "/proc/self/fd/%d", fd);
	if ((uid != (uid_t)-1 || gid != (gid_t)-1) && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		error = failure("socket_user, socket_group", errno);
	else if (chmod(itself, (mode_t)settings->socket_mode) < 0)
		error = failure("socket_mode", errno);
	else
		port->owned = uid != (uid_t)-1 || gid != (gid_t)-1;
	close(fd);
	return error;
}

const char *
port_interface(enum address_kind kind, const struct listener_settings *settings)
{
	const char *interface = settings->socket.bind_device;

	return interface == NULL || kind == ADDRESS_UNIX || kind == ADDRESS_UNIXGRAM ? ""
										     : interface;
}

/* A passed socket is on the interface that its unit says. */
static const char *
interface_apply(struct port *port, const struct listener_settings *settings)
{
	const char *interface = port_interface(port->kind, settings);
	socklen_t length = (socklen_t)strlen(interface);

	if (port->passed || strcmp(interface, port->interface) == 0)
		return NULL;
	if (setsockopt(port->fd, SOL_SOCKET, SO_BINDTODEVICE, interface, length) < 0)
		return failure("bind_device", errno);
	snprintf(port->interface, sizeof port->interface, "%s", interface);
	return NULL;
}

const char *
port_may_apply(const struct port *port, const struct listener_settings *settings)
{
	const char *interface = port_interface(port->kind, settings);
	socklen_t length = (socklen_t)strlen(port->interface);

	if (port->passed || strcmp(interface, port->interface) == 0)
		return NULL;
	if (*interface != '\0' && if_nametoindex(interface) == 0)
		return failure("bind_device", errno);
	/* To set it again takes the privilege that to set another one takes. */
	if (length > 0
	    && setsockopt(port->fd, SOL_SOCKET, SO_BINDTODEVICE, port->interface, length) < 0)
		return "bind_device: a bound socket leaves its interface only with CAP_NET_RAW: "
		       "restart, or use "
		       "another address";
	return NULL;
}

/* All of port_apply but the backlog. */
static const char *
options_apply(struct port *port, const struct listener_settings *settings)
{
	const char *error = interface_apply(port, settings);

	if (error == NULL)
		error = socket_options_apply(port->fd, port->kind, port->bound.u.sa.sa_family,
					     &settings->socket, &port->history);
	if (error == NULL && port->inode != 0)
		error = path_apply(port, settings);
	return error;
}

const char *
port_apply(struct port *port, const struct listener_settings *settings)
{
	const char *error = options_apply(port, settings);

	if (error == NULL && !address_is_datagram(port->kind)
	    && listen(port->fd, (int)settings->backlog) < 0)
		error = failure("listen", errno);
	return error;
}

static struct port *
port_new(enum address_kind kind, const char *key)
{
	struct port *port = calloc(1, sizeof *port);

	if (port == NULL)
		return NULL;
	port->refs = 1;
	port->fd = -1;
	port->kind = kind;
	port->key = strdup(key);
	if (port->key == NULL) {
		free(port);
		return NULL;
	}
	return port;
}

/* Makes and binds the socket; what port_list_share does is for the caller to undo. */
static const char *
port_bind(struct port *port, const struct sockaddr_any *address, bool any,
	  const struct listener_settings *settings, const struct port_list *known)
{
	int type = address_is_datagram(port->kind) ? SOCK_DGRAM : SOCK_STREAM;
	int family = address->u.sa.sa_family;
	const char *error;

	port->fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (port->fd < 0)
		return failure("socket", errno);
	if (family == AF_UNIX)
		return unix_bind(port, address, type, settings);
	if (type == SOCK_STREAM && set_option(port->fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0)
		return failure("setsockopt", errno);
	if (family == AF_INET6 && set_option(port->fd, IPPROTO_IPV6, IPV6_V6ONLY, !any) < 0)
		return failure("setsockopt", errno);
	/* Before it is bound: the same port may be in use on another interface. */
	error = interface_apply(port, settings);
	if (error != NULL)
		return error;
	if (bind(port->fd, &address->u.sa, address->length) == 0)
		return NULL;
	if (errno != EADDRINUSE)
		return failure("bind", errno);
	if (!port_list_share(known, port, address, any))
		return failure("bind", EADDRINUSE);
	return bind(port->fd, &address->u.sa, address->length) == 0 ? NULL : failure("bind", errno);
}

const char *
port_open(enum address_kind kind, const struct sockaddr_any *address, bool any, const char *key,
	  const struct listener_settings *settings, const struct port_list *known,
	  struct port **result)
{
	struct port *port = port_new(kind, key);
	const char *error;

	if (port == NULL)
		return failure("memory", ENOMEM);
	error = port_bind(port, address, any, settings, known);
	if (error == NULL)
		error = port_note_bound(port);
	if (error == NULL)
		error = port->shared ? options_apply(port, settings) : port_apply(port, settings);
	port_list_unshare(known, port, error == NULL);
	if (error != NULL) {
		port_unref(port);
		return error;
	}
	*result = port;
	return NULL;
}

const char *
port_adopt(int fd, const char *key, struct port **result)
{
	int domain = 0, type = 0, listening = 0;
	socklen_t length = sizeof(int);
	struct port *port;
	const char *error;
	enum address_kind kind;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0
	    || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0
	    || getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0)
		return failure("the passed descriptor is not a socket", errno);
	if (type == SOCK_STREAM && !listening)
		return "the passed socket does not listen (Accept=yes is not supported)";
	if ((type != SOCK_STREAM && type != SOCK_DGRAM)
	    || (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX))
		return "the passed socket is neither a TCP, a UDP nor a unix socket";
	kind = domain == AF_UNIX ? (type == SOCK_STREAM ? ADDRESS_UNIX : ADDRESS_UNIXGRAM)
				 : (type == SOCK_STREAM ? ADDRESS_TCP : ADDRESS_UDP);
	/*
	 * systemd passes the socket of a unit that was started before as it was then: set both
	 * again.
	 */
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0
	    || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return failure("fcntl", errno);
	port = port_new(kind, key);
	if (port == NULL)
		return failure("memory", ENOMEM);
	port->fd = fd;
	port->passed = true;
	error = port_note_bound(port);
	if (error != NULL) {
		port->fd = -1;
		port_unref(port);
		return error;
	}
	*result = port;
	return NULL;
}

void
port_close(struct port *port)
{
	struct stat status;

	if (port->inode != 0 && lstat(unix_path(&port->bound), &status) == 0
	    && status.st_dev == port->device && status.st_ino == port->inode)
		unlink(unix_path(&port->bound));
	if (port->fd >= 0)
		close(port->fd);
	free(port->text);
	free(port->key);
	free(port);
}
