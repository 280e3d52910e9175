/* socket_options.c - what a listener's keys say about its sockets. */
#include "net/socket_options.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/option.h"
#include "net/address.h"

struct socket_option {
	const char *name;
	int level, id;
	int64_t value;
	bool wanted;
};

static int64_t
seconds(int64_t ms)
{
	return (ms + 999) / 1000;
}

const char *
socket_options_set(int fd, const struct socket_options *options, const struct sockaddr *peer)
{
	static _Thread_local char sentence[80];
	int domain = 0, type = 0;
	socklen_t length = sizeof domain;
	bool tcp, keepalive;

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length);
	length = sizeof type;
	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
	if (domain != AF_INET && domain != AF_INET6)
		return NULL;
	tcp = type == SOCK_STREAM;
	keepalive = options->keepalive && (peer == NULL || !address_is_loopback(peer));
	const struct socket_option list[] = {
		{ "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1, tcp },
		/* A listening socket may have had it before a reload. */
		{ "SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, keepalive, tcp && (keepalive || peer == NULL) },
		{ "TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, seconds(options->keepalive_idle_ms),
		  tcp && options->keepalive_idle_ms != 0 },
		{ "TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, seconds(options->keepalive_interval_ms),
		  tcp && options->keepalive_interval_ms != 0 },
		{ "TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, options->keepalive_count,
		  tcp && options->keepalive_count != 0 },
		{ "TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, options->tcp_user_timeout_ms,
		  tcp && options->tcp_user_timeout_ms != 0 },
		{ "IP_TOS", IPPROTO_IP, IP_TOS, options->dscp << 2, options->dscp != OPTION_AUTO },
		{ "IPV6_TCLASS", IPPROTO_IPV6, IPV6_TCLASS, options->dscp << 2,
		  options->dscp != OPTION_AUTO && domain == AF_INET6 },
	};

	for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
		int value = (int)list[i].value;

		if (!list[i].wanted
		    || setsockopt(fd, list[i].level, list[i].id, &value, sizeof value) == 0)
			continue;
		snprintf(sentence, sizeof sentence, "%s: %s", list[i].name, strerror(errno));
		return sentence;
	}
	return NULL;
}
