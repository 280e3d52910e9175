/* address_reach.c - compares hosts as the system would find them. */
#include "config/address_reach.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

bool
address_reach_key(const struct address *address, char key[static ADDRESS_IDENTITY_MAX])
{
	unsigned port;

	switch (address->kind) {
	case ADDRESS_UNIX:
	case ADDRESS_UNIXGRAM:
		return address_identity(address, key) != NULL;
	case ADDRESS_TCP:
	case ADDRESS_UDP:
		port = address_port(address);
		snprintf(key, ADDRESS_IDENTITY_MAX, "%s %u",
			 address->kind == ADDRESS_TCP ? "tcp" : "udp", port);
		return port != 0;
	case ADDRESS_SYSTEMD:
	case ADDRESS_FILE:
		break;
	}
	return false;
}

/* What a host says without being looked up. */
struct host {
	union peer_address ip;	/* family 0: a name, or "*" */
	bool any4, any6;	/* every address of a family: "*", 0.0.0.0, [::] */
	bool localhost;	/* that name */
};

static bool
is_localhost(const char *name)
{
	static const char localhost[] = "localhost";
	size_t length = strlen(name), tail = strlen(localhost);

	/* RFC 6761: it, and what is below it, is loopback. */
	if (length > 0 && name[length - 1] == '.')
		length--;
	return length >= tail && strncasecmp(name + length - tail, localhost, tail) == 0
	       && (length == tail || name[length - tail - 1] == '.');
}

static struct host
host_parse(const char *text)
{
	struct host host = { 0 };
	char digits[INET6_ADDRSTRLEN];
	size_t length = strcspn(text, "%");

	if (strcmp(text, "*") == 0)
		return (struct host){ .any4 = true, .any6 = true };
	if (inet_pton(AF_INET, text, &host.ip.in.sin_addr) == 1) {
		host.ip.sa.sa_family = AF_INET;
		host.any4 = host.ip.in.sin_addr.s_addr == htonl(INADDR_ANY);
		return host;
	}
	snprintf(digits, sizeof digits, "%.*s", (int)length, text);
	if (inet_pton(AF_INET6, digits, &host.ip.in6.sin6_addr) == 1) {
		host.ip.sa.sa_family = AF_INET6;
		host.any6 = IN6_IS_ADDR_UNSPECIFIED(&host.ip.in6.sin6_addr);
		address_unmap(&host.ip);
		return host;
	}
	return (struct host){ .localhost = is_localhost(text) };
}

static bool
same_ip(const union peer_address *a, const union peer_address *b)
{
	if (a->sa.sa_family != b->sa.sa_family || a->sa.sa_family == AF_UNSPEC)
		return false;
	return a->sa.sa_family == AF_INET
		       ? a->in.sin_addr.s_addr == b->in.sin_addr.s_addr
		       : IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

/*
 * 127.0.0.1 or ::1: what localhost stands for, and where 0.0.0.0 and [::] lead when they are
 * dialled.
 */
static bool
is_the_loopback(const union peer_address *ip)
{
	return ip->sa.sa_family == AF_INET    ? ip->in.sin_addr.s_addr == htonl(INADDR_LOOPBACK)
	       : ip->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&ip->in6.sin6_addr)
					      : false;
}

/*
 * Whether an address is this machine's: to reach one of its own, the system sends from that itself.
 * A UDP socket that is connected sends nothing.
 */
static bool
is_own(const union peer_address *ip)
{
	union peer_address target = *ip, source = { 0 };
	socklen_t length = sizeof source;
	bool own = false;
	int fd = socket(ip->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	target.in.sin_port = htons(9);	/* at the same place in sockaddr_in6 */
	if (connect(fd, &target.sa,
		    ip->sa.sa_family == AF_INET ? sizeof target.in : sizeof target.in6)
		    == 0
	    && getsockname(fd, &source.sa, &length) == 0)
		own = same_ip(ip, &source);
	close(fd);
	return own;
}

/* Whether dialling a host reaches every address of a family, or of both. */
static bool
reaches_any(const struct host *dialled, const struct host *bound)
{
	if (dialled->localhost)
		return true;
	if (dialled->ip.sa.sa_family == AF_UNSPEC
	    || !(dialled->ip.sa.sa_family == AF_INET ? bound->any4 : bound->any6))
		return false;
	return dialled->any4 || dialled->any6 || address_is_loopback(&dialled->ip.sa)
	       || is_own(&dialled->ip);
}

bool
address_reaches(const struct address *dialled_address, const struct address *bound_address,
		const char *interface)
{
	if (bound_address->kind == ADDRESS_UNIX || bound_address->kind == ADDRESS_UNIXGRAM)
		return dialled_address->kind == bound_address->kind;
	const struct host dialled = host_parse(dialled_address->host);
	const struct host bound = host_parse(bound_address->host);
	bool by_loopback = dialled.localhost || dialled.any4 || dialled.any6;
	bool names = dialled.ip.sa.sa_family == AF_UNSPEC && bound.ip.sa.sa_family == AF_UNSPEC;

	if (same_ip(&dialled.ip, &bound.ip) && !by_loopback)
		return true;
	/* What is dialled here arrives on the loopback interface, unless it is that very address.
	 */
	if (interface != NULL && strcmp(interface, "lo") != 0)
		return false;
	if (bound.any4 || bound.any6)
		return reaches_any(&dialled, &bound);
	if (names && strcasecmp(dialled_address->host, bound_address->host) == 0)
		return true;
	if (bound.localhost)
		return by_loopback || is_the_loopback(&dialled.ip);
	return by_loopback && is_the_loopback(&bound.ip)
	       && (dialled.localhost || dialled.ip.sa.sa_family == bound.ip.sa.sa_family);
}
