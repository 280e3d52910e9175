/* address_identity.c - writes addresses in one way only. */
#include "config/address_identity.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number, or the number of a service, which was known when the address was parsed. */
static unsigned
port_number(const struct address *address)
{
	struct addrinfo hints = { .ai_family = AF_INET,
				  .ai_socktype =
					  address->kind == ADDRESS_UDP ? SOCK_DGRAM : SOCK_STREAM };
	struct addrinfo *found;

	if (isdigit((unsigned char)*address->service)
	    && address->service[strspn(address->service, "0123456789")] == '\0')
		return (unsigned)atoi(address->service);
	if (getaddrinfo(NULL, address->service, &hints, &found) != 0)
		return 0;
	unsigned port = ntohs(((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_port);
	freeaddrinfo(found);
	return port;
}

static const char *
inet_identity(const struct address *address, char *buffer)
{
	const char *scheme = address->kind == ADDRESS_UDP ? "udp" : "tcp";
	unsigned port = port_number(address);
	char host[INET6_ADDRSTRLEN];
	struct in6_addr in6;

	if (port == 0)
		return NULL;
	if (inet_pton(AF_INET6, address->host, &in6) == 1) {
		inet_ntop(AF_INET6, &in6, host, sizeof host);
		snprintf(buffer, ADDRESS_IDENTITY_MAX, "%s %s %u", scheme, host, port);
		return buffer;
	}
	snprintf(buffer, ADDRESS_IDENTITY_MAX, "%s %s %u", scheme, address->host, port);
	for (char *at = buffer; *at != '\0'; at++)
		*at = (char)tolower((unsigned char)*at);
	return buffer;
}

const char *
address_identity(const struct address *address, char buffer[static ADDRESS_IDENTITY_MAX])
{
	switch (address->kind) {
	case ADDRESS_TCP:
	case ADDRESS_UDP:
		return inet_identity(address, buffer);
	case ADDRESS_UNIX:
	case ADDRESS_UNIXGRAM:
		/* Abstract names are apart for each kind of socket; in the file system there is one name. */
		snprintf(buffer, ADDRESS_IDENTITY_MAX, "%s %s",
			 address->host[0] == '@' && address->kind == ADDRESS_UNIXGRAM ? "unixgram"
										      : "unix",
			 address->host);
		return buffer;
	case ADDRESS_SYSTEMD:
		snprintf(buffer, ADDRESS_IDENTITY_MAX, "systemd %s", address->host);
		return buffer;
	}
	return NULL;
}
