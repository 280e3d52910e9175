/* proxy_header.c - the PROXY protocol's header, versions 1 and 2: for whom a connection was made. */
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

/*
 * Version 2:   12 bytes      1             1          2        length bytes
 *              signature | version:4 | family:4 | length | source, destination, their ports, TLVs
 *                        | command:4 | socket:4 |
 */
static const uint8_t signature[12] = { '\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };

enum { FIXED = 16, ADDRESSES_V4 = 12, ADDRESSES_V6 = 36 };

enum {
	LOCAL = 0x20,		/* version and command */
	PROXY = 0x21,
	UNSPECIFIED = 0x00,	/* family and socket */
	TCP4 = 0x11,
	TCP6 = 0x21,
};

static bool
is_ip(const union peer_address *address)
{
	return address != NULL
	       && (address->sa.sa_family == AF_INET || address->sa.sa_family == AF_INET6);
}

/* An IPv4 address becomes the IPv6 address it is mapped to. */
static struct in6_addr
ipv6_of(const union peer_address *address)
{
	struct in6_addr mapped = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	if (address->sa.sa_family == AF_INET6)
		return address->in6.sin6_addr;
	memcpy(mapped.s6_addr + 12, &address->in.sin_addr, sizeof address->in.sin_addr);
	return mapped;
}

/* The port, in the byte order of the network; it stands in the same place in both families. */
static in_port_t
port_of(const union peer_address *address)
{
	return address->in.sin_port;
}

/* The text of an address; version 1 knows IPv6 addresses in hexadecimal only. */
static const char *
ip_text(const union peer_address *address, bool ipv4, char text[static INET6_ADDRSTRLEN])
{
	struct in6_addr in6;
	char *tail;

	if (ipv4)
		return inet_ntop(AF_INET, &address->in.sin_addr, text, INET6_ADDRSTRLEN);
	in6 = ipv6_of(address);
	inet_ntop(AF_INET6, &in6, text, INET6_ADDRSTRLEN);
	if (strchr(text, '.') != NULL) {
		tail = strrchr(text, ':') + 1;
		snprintf(tail, sizeof "ffff:ffff", "%x:%x",
			 (unsigned)in6.s6_addr[12] << 8 | in6.s6_addr[13],
			 (unsigned)in6.s6_addr[14] << 8 | in6.s6_addr[15]);
	}
	return text;
}

static size_t
write_v1(const union peer_address *source, const union peer_address *destination, bool ipv4,
	 uint8_t bytes[static PROXY_HEADER_MAX])
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN], line[PROXY_HEADER_MAX + 1];
	int length = snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n", ipv4 ? "TCP4" : "TCP6",
			      ip_text(source, ipv4, from), ip_text(destination, ipv4, to),
			      ntohs(port_of(source)), ntohs(port_of(destination)));

	memcpy(bytes, line, (size_t)length);
	return (size_t)length;
}

static size_t
write_v2(const union peer_address *source, const union peer_address *destination, bool ipv4,
	 uint8_t bytes[static PROXY_HEADER_MAX])
{
	in_port_t ports[2] = { port_of(source), port_of(destination) };
	size_t length = ipv4 ? ADDRESSES_V4 : ADDRESSES_V6;
	uint8_t *at = bytes + FIXED;

	memcpy(bytes, signature, sizeof signature);
	bytes[12] = PROXY;
	bytes[13] = ipv4 ? TCP4 : TCP6;
	bytes[14] = 0;
	bytes[15] = (uint8_t)length;
	if (ipv4) {
		memcpy(at, &source->in.sin_addr, 4);
		memcpy(at + 4, &destination->in.sin_addr, 4);
	} else {
		const struct in6_addr addresses[2] = { ipv6_of(source), ipv6_of(destination) };

		memcpy(at, addresses, sizeof addresses);
	}
	memcpy(at + length - sizeof ports, ports, sizeof ports);
	return FIXED + length;
}

/* A header that names nobody. */
static size_t
write_local(int version, uint8_t bytes[static PROXY_HEADER_MAX])
{
	static const char unknown[] = "PROXY UNKNOWN\r\n";

	if (version == 1) {
		memcpy(bytes, unknown, sizeof unknown - 1);
		return sizeof unknown - 1;
	}
	memcpy(bytes, signature, sizeof signature);
	bytes[12] = LOCAL;
	bytes[13] = UNSPECIFIED;
	bytes[14] = bytes[15] = 0;
	return FIXED;
}

size_t
proxy_header_write(int version, const union peer_address *source, const union peer_address *destination,
		   uint8_t bytes[static PROXY_HEADER_MAX])
{
	bool ipv4;

	assert(version == 1 || version == 2);
	if (!is_ip(source) || !is_ip(destination))
		return write_local(version, bytes);
	ipv4 = source->sa.sa_family == AF_INET && destination->sa.sa_family == AF_INET;
	return version == 1 ? write_v1(source, destination, ipv4, bytes)
			    : write_v2(source, destination, ipv4, bytes);
}
