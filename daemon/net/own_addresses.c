/* own_addresses.c - every datagram address the daemon is bound to, so that it never answers
 * itself. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/datagram_port.h"
#include "net/port.h"

struct own_addresses {
	atomic_uint refs;
	/* a bit for every UDP port number that is ours: most have none */
	uint8_t ports[65536 / 8];
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

	if (address->u.sa.sa_family == AF_INET6
	    && IN6_IS_ADDR_V4MAPPED(&address->u.in6.sin6_addr)) {
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

struct own_addresses *
own_addresses_new(const struct port *const *ports, size_t count)
{
	struct own_addresses *own = calloc(1, sizeof *own + count * sizeof *own->addresses);

	if (own == NULL)
		return NULL;
	atomic_init(&own->refs, 1);
	for (size_t i = 0; i < count; i++)
		own_add(own, &ports[i]->bound);
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

/* Whether it is bound to every address of the source's family. */
static bool
takes_every_address(const struct sockaddr_any *bound, const struct sockaddr_any *source)
{
	if (bound->u.sa.sa_family == AF_INET)
		return source->u.sa.sa_family == AF_INET
		       && bound->u.in.sin_addr.s_addr == INADDR_ANY;
	return bound->u.sa.sa_family == AF_INET6
	       && IN6_IS_ADDR_UNSPECIFIED(&bound->u.in6.sin6_addr);
}

/*
 * Whether an IP address is this machine's: then, and only then, a socket can be bound to it
 * (ip(7)). A list of the interfaces' addresses would grow old, and cost the sandbox AF_NETLINK.
 */
static bool
is_local(const struct sockaddr_any *address)
{
	struct sockaddr_any any_port = *address;
	int fd = socket(address->u.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool local;

	if (fd < 0)
		return true;	/* to be silent is safe */
	any_port.u.in.sin_port = 0;
	local = bind(fd, &any_port.u.sa, any_port.length) == 0;
	close(fd);
	return local;
}

bool
own_addresses_have(const struct own_addresses *own, const struct sockaddr_any *source)
{
	const struct sockaddr_any plain = unmapped(source), *address = &plain;
	bool is_unix = address->u.sa.sa_family == AF_UNIX;
	in_port_t number = is_unix ? 0 : port_number(address);

	if (is_unix ? !own->any_unix : !(own->ports[number / 8] & 1 << number % 8))
		return false;
	for (size_t i = 0; i < own->count; i++) {
		const struct sockaddr_any *ours = &own->addresses[i];

		if (same_address(ours, address))
			return true;
		if (!is_unix && ours->u.sa.sa_family != AF_UNIX && port_number(ours) == number
		    && takes_every_address(ours, address) && is_local(address))
			return true;
	}
	return false;
}
