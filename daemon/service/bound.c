/* bound.c - reads the system's lists of UDP sockets, /proc/net/udp and udp6 (proc_net(5)). */
#include "service/bound.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line of a list: its own address and port, each 32 bits of the address printed as a number. */
static bool
line_parse(const char *line, unsigned words, uint32_t address[static 4], unsigned *port,
	   unsigned *peer_port)
{
	int at = 0, length;

	if (sscanf(line, " %*d: %n", &at) != 0 || at == 0)
		return false;
	for (unsigned i = 0; i < words; i++, at += length)
		if (sscanf(line + at, "%8x%n", &address[i], &length) != 1 || length != 8)
			return false;
	if (sscanf(line + at, ":%x %*[0-9A-Fa-f]:%x", port, peer_port) != 2)
		return false;
	return true;
}

/* Whether a socket that is bound so receives what is sent to an address. */
static bool
receives(const uint32_t bound[static 4], unsigned words, const union peer_address *to)
{
	static const uint32_t any[4];
	bool is_any = memcmp(bound, any, words * sizeof any[0]) == 0;

	if (words == 1)
		return to->sa.sa_family == AF_INET
		       && (is_any || to->in.sin_addr.s_addr == bound[0]);
	/* An IPv6 socket that is bound to every address takes IPv4, too, as a rule. */
	return is_any
	       || (to->sa.sa_family == AF_INET6
		   && memcmp(&to->in6.sin6_addr, bound, sizeof to->in6.sin6_addr) == 0);
}

/* Whether a list has the address: 1, 0, or -1 when there is no such list. */
static int
list_has(const char *path, unsigned words, const union peer_address *to)
{
	FILE *list = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int has = 0;

	if (list == NULL)
		return -1;
	while (has == 0 && getline(&line, &size, list) > 0) {
		uint32_t address[4];
		unsigned port, peer_port;

		/* One that is connected receives from its peer only. */
		if (line_parse(line, words, address, &port, &peer_port) && peer_port == 0
		    && port == ntohs(to->in.sin_port) && receives(address, words, to))
			has = 1;
	}
	free(line);
	fclose(list);
	return has;
}

enum { LOOKS = 10 };

bool
udp_is_bound(const struct sockaddr_any *address)
{
	union peer_address to = { 0 };
	int ipv4, ipv6;

	memcpy(&to, &address->u, sizeof to);
	address_unmap(&to);
	/* The lists come in parts: sockets that go in between hide others. So it looks again. */
	for (int i = 0; i < LOOKS; i++) {
		ipv4 = list_has("/proc/net/udp", 1, &to);
		ipv6 = list_has("/proc/net/udp6", 4, &to);
		if (ipv4 > 0 || ipv6 > 0 || (ipv4 < 0 && ipv6 < 0))
			return true;
	}
	return false;
}
