/* address_kind.c - what an address says of itself, without being looked up. */
#include <arpa/inet.h>
#include <string.h>

#include "net/address.h"

bool
address_is_datagram(enum address_kind kind)
{
	return kind == ADDRESS_UDP || kind == ADDRESS_UNIXGRAM;
}

bool
address_may_be(const struct address *address, int family)
{
	struct in6_addr in6;
	struct in_addr in;

	if (address->kind != ADDRESS_TCP && address->kind != ADDRESS_UDP)
		return false;
	if (inet_pton(AF_INET, address->host, &in) == 1)
		return family == AF_INET;
	/*
	 * With an interface behind it it is no address for inet_pton(3), but only IPv6 has colons.
	 */
	if (inet_pton(AF_INET6, address->host, &in6) == 1)
		return family == (IN6_IS_ADDR_V4MAPPED(&in6) ? AF_INET : AF_INET6);
	return strchr(address->host, ':') == NULL || family == AF_INET6;
}

bool
address_is_loopback(const struct sockaddr *sa)
{
	union peer_address peer;

	if (sa->sa_family == AF_INET6) {
		memcpy(&peer.in6, sa, sizeof peer.in6);
		if (IN6_IS_ADDR_LOOPBACK(&peer.in6.sin6_addr))
			return true;
		address_unmap(&peer);
	} else if (sa->sa_family == AF_INET) {
		memcpy(&peer.in, sa, sizeof peer.in);
	} else {
		return sa->sa_family == AF_UNIX;
	}
	return peer.sa.sa_family == AF_INET && ntohl(peer.in.sin_addr.s_addr) >> 24 == 127;
}
