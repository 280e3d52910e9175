/* own_addresses.c - every datagram address the daemon is bound to, so that it never answers itself. */
#include <errno.h>
#include <ifaddrs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "net/datagram_port.h"
#include "net/port.h"

struct own_addresses {
	atomic_uint refs;
	uint8_t ports[65536 / 8];	/* a bit for every UDP port number that is ours: most have none */
	bool any_unix;
	size_t count;
	struct sockaddr_any addresses[];
};

static in_port_t
port_number(const struct sockaddr_any *address)
{
	return ntohs(address->u.sa.sa_family == AF_INET ? address->u.in.sin_port
							: address->u.in6.sin6_port);
}

/* The same IP address and port, or the same unix name. */
static bool
same_address(const struct sockaddr_any *a, const struct sockaddr_any *b)
{
	if (a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	switch (a->u.sa.sa_family) {
	case AF_INET:
		return a->u.in.sin_port == b->u.in.sin_port
		       && a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
	case AF_INET6:
		return a->u.in6.sin6_port == b->u.in6.sin6_port
		       && IN6_ARE_ADDR_EQUAL(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr);
	default:
		return a->length == b->length && memcmp(&a->u, &b->u, a->length) == 0;
	}
}

/* An IPv4-mapped address as the IPv4 address it is. */
static struct sockaddr_any
unmapped(const struct sockaddr_any *address)
{
	struct sockaddr_any plain = *address;

	if (address->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address->u.in6.sin6_addr)) {
		union peer_address peer = { .in6 = address->u.in6 };

		address_unmap(&peer);
		plain = (struct sockaddr_any){ .length = sizeof plain.u.in };
		plain.u.in = peer.in;
	}
	return plain;
}

static void
own_add(struct own_addresses *own, const struct sockaddr_any *bound)
{
	const struct sockaddr_any plain = unmapped(bound), *address = &plain;

	own->addresses[own->count++] = plain;
	if (address->u.sa.sa_family == AF_UNIX) {
		own->any_unix = true;
	} else {
		in_port_t number = port_number(address);

		own->ports[number / 8] |= (uint8_t)(1 << number % 8);
	}
}

/* Adds every address of this machine with the port number of one that is bound to all of them. */
static void
own_add_interfaces(struct own_addresses *own, const struct sockaddr_any *bound,
		   const struct ifaddrs *interfaces)
{
	for (const struct ifaddrs *at = interfaces; at != NULL; at = at->ifa_next) {
		struct sockaddr_any address = { 0 };

		if (at->ifa_addr == NULL)
			continue;
		if (at->ifa_addr->sa_family == AF_INET) {
			memcpy(&address.u.in, at->ifa_addr, sizeof address.u.in);
			address.u.in.sin_port = htons(port_number(bound));
		} else if (at->ifa_addr->sa_family == AF_INET6) {
			memcpy(&address.u.in6, at->ifa_addr, sizeof address.u.in6);
			address.u.in6.sin6_port = htons(port_number(bound));
		} else {
			continue;
		}
		own_add(own, &address);
	}
}

static bool
has_every_address(const struct port *port)
{
	return port->sends_source;
}

struct own_addresses *
own_addresses_new(const struct port *const *ports, size_t count)
{
	struct ifaddrs *interfaces = NULL;
	size_t interface_count = 0, most = 0;
	struct own_addresses *own;

	if (getifaddrs(&interfaces) < 0)
		interfaces = NULL;	/* a sandbox without AF_NETLINK: loopback is known all the same */
	for (const struct ifaddrs *at = interfaces; at != NULL; at = at->ifa_next)
		interface_count++;
	for (size_t i = 0; i < count; i++)
		most += 1 + (has_every_address(ports[i]) ? interface_count : 0);
	own = calloc(1, sizeof *own + most * sizeof *own->addresses);
	if (own != NULL) {
		atomic_init(&own->refs, 1);
		for (size_t i = 0; i < count; i++) {
			own_add(own, &ports[i]->bound);
			if (has_every_address(ports[i]))
				own_add_interfaces(own, &ports[i]->bound, interfaces);
		}
	}
	freeifaddrs(interfaces);
	return own;
}

struct own_addresses *
own_addresses_ref(struct own_addresses *own)
{
	atomic_fetch_add_explicit(&own->refs, 1, memory_order_relaxed);
	return own;
}

void
own_addresses_unref(struct own_addresses *own)
{
	if (own != NULL && atomic_fetch_sub_explicit(&own->refs, 1, memory_order_acq_rel) == 1)
		free(own);
}

bool
own_addresses_have(const struct own_addresses *own, const struct sockaddr_any *source)
{
	const struct sockaddr_any plain = unmapped(source), *address = &plain;
	bool loopback;

	if (address->u.sa.sa_family == AF_UNIX) {
		if (!own->any_unix)
			return false;
		loopback = false;
	} else {
		in_port_t number = port_number(address);

		if (!(own->ports[number / 8] & 1 << number % 8))
			return false;
		loopback = address_is_loopback(&address->u.sa);
	}
	for (size_t i = 0; i < own->count; i++) {
		const struct sockaddr_any *ours = &own->addresses[i];

		if (same_address(ours, address))
			return true;
		/* All of 127.0.0.0/8 is this machine, and [::] takes IPv4 too. */
		if (loopback && ours->u.sa.sa_family != AF_UNIX
		    && port_number(ours) == port_number(address)
		    && ((ours->u.sa.sa_family == AF_INET && ours->u.in.sin_addr.s_addr == INADDR_ANY)
			|| (ours->u.sa.sa_family == AF_INET6
			    && IN6_IS_ADDR_UNSPECIFIED(&ours->u.in6.sin6_addr))))
			return true;
	}
	return false;
}
