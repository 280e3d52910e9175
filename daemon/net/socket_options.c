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

enum {
	NO_DELAY,
	KEEPALIVE,
	KEEPALIVE_IDLE,
	KEEPALIVE_INTERVAL,
	KEEPALIVE_COUNT,
	USER_TIMEOUT,
	NOTSENT_LOWAT,
	DSCP_IPV4,			/* of an IPv6 socket: for IPv4 peers on it */
	DSCP_IPV6,
};

_Static_assert((int)DSCP_IPV6 + 1 == (int)SOCKET_OPTION_COUNT, "a place for each option");

/* The bits of options, for sets of them. */
enum {
	OF_UDP4 = 1 << DSCP_IPV4,
	OF_UDP6 = OF_UDP4 | 1 << DSCP_IPV6,
	OF_TCP = (1 << DSCP_IPV4) - 1,
	OF_KEEPALIVE = 1 << KEEPALIVE | 1 << KEEPALIVE_IDLE | 1 << KEEPALIVE_INTERVAL
		       | 1 << KEEPALIVE_COUNT,
};

static const struct {
	const char *name;		/* the key's, where there is one */
	int level, id;
} rows[SOCKET_OPTION_COUNT] = {
	[NO_DELAY] = { "TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY },
	[KEEPALIVE] = { "keepalive", SOL_SOCKET, SO_KEEPALIVE },
	[KEEPALIVE_IDLE] = { "keepalive_idle", IPPROTO_TCP, TCP_KEEPIDLE },
	[KEEPALIVE_INTERVAL] = { "keepalive_interval", IPPROTO_TCP, TCP_KEEPINTVL },
	[KEEPALIVE_COUNT] = { "keepalive_count", IPPROTO_TCP, TCP_KEEPCNT },
	[USER_TIMEOUT] = { "tcp_user_timeout", IPPROTO_TCP, TCP_USER_TIMEOUT },
	[NOTSENT_LOWAT] = { "notsent_lowat", IPPROTO_TCP, TCP_NOTSENT_LOWAT },
	[DSCP_IPV4] = { "dscp", IPPROTO_IP, IP_TOS },
	[DSCP_IPV6] = { "dscp", IPPROTO_IPV6, IPV6_TCLASS },
};

static int
seconds(int64_t ms)
{
	return (int)((ms + 999) / 1000);
}

/* Writes the values of all options; returns the bits of those that the keys say something about. */
static unsigned
values_of(const struct socket_options *options, int values[static SOCKET_OPTION_COUNT])
{
	unsigned said = 1 << NO_DELAY | 1 << KEEPALIVE;

	values[NO_DELAY] = 1;
	values[KEEPALIVE] = options->keepalive != 0;
	values[KEEPALIVE_IDLE] = seconds(options->keepalive_idle_ms);
	values[KEEPALIVE_INTERVAL] = seconds(options->keepalive_interval_ms);
	values[KEEPALIVE_COUNT] = (int)options->keepalive_count;
	values[USER_TIMEOUT] = (int)options->tcp_user_timeout_ms;
	values[NOTSENT_LOWAT] = (int)options->notsent_lowat;
	/* The two bits below are for congestion notices and not ours. */
	values[DSCP_IPV4] = values[DSCP_IPV6] = (int)options->dscp * 4;
	for (int i = KEEPALIVE_IDLE; i <= NOTSENT_LOWAT; i++)
		if (values[i] != 0)
			said |= 1U << i;
	return options->dscp == OPTION_AUTO ? said : said | OF_UDP6;
}

static const char *
failure(int option)
{
	static _Thread_local char sentence[80];

	snprintf(sentence, sizeof sentence, "%s: %s", rows[option].name, strerror(errno));
	return sentence;
}

/* Sets those of the options whose bits are given. */
static const char *
values_set(int fd, unsigned bits, const int values[static SOCKET_OPTION_COUNT])
{
	const char *wrong = NULL;

	for (; bits != 0; bits &= bits - 1) {
		int i = __builtin_ctz(bits);

		if (setsockopt(fd, rows[i].level, rows[i].id, &values[i], sizeof values[i]) < 0)
			wrong = failure(i);
	}
	return wrong;
}

static unsigned
bits_of(int family, bool stream)
{
	return (family == AF_INET6 ? OF_UDP6 : family == AF_INET ? OF_UDP4 : 0)
	       | (stream && family != AF_UNIX ? OF_TCP : 0);
}

const char *
socket_options_set(int fd, const struct socket_options *options, const struct sockaddr *peer)
{
	int values[SOCKET_OPTION_COUNT];
	unsigned bits = values_of(options, values) & bits_of(peer->sa_family, true);

	/* A new socket sends none unless told to. */
	if (!options->keepalive || address_is_loopback(peer))
		bits &= ~(unsigned)OF_KEEPALIVE;
	return values_set(fd, bits, values);
}

const char *
socket_options_set_udp(int fd, const struct socket_options *options, int family)
{
	int values[SOCKET_OPTION_COUNT];

	return values_set(fd, values_of(options, values) & bits_of(family, false), values);
}

const char *
socket_options_apply(int fd, enum address_kind kind, int family,
		     const struct socket_options *options, struct socket_history *history)
{
	int values[SOCKET_OPTION_COUNT];
	unsigned bits = values_of(options, values) & bits_of(family, !address_is_datagram(kind));
	unsigned first = bits & ~history->told, no_more = history->told & ~bits;
	const char *wrong = NULL, *wrong_before;

	for (; first != 0; first &= first - 1) {
		int i = __builtin_ctz(first);
		socklen_t length = sizeof history->before[i];

		if (getsockopt(fd, rows[i].level, rows[i].id, &history->before[i], &length) < 0) {
			wrong = failure(i);
			bits &= ~(1U << i);
		}
	}
	history->told = bits;
	wrong_before = values_set(fd, no_more, history->before);
	if (wrong_before != NULL)
		wrong = wrong_before;
	wrong_before = values_set(fd, bits, values);
	return wrong_before != NULL ? wrong_before : wrong;
}
