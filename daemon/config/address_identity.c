/* address_identity.c - writes addresses in one way only. */
#include "config/address_identity.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned
address_port(const struct address *address)
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
	unsigned port = address_port(address);
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

/*
 * A path without doubled slashes and steps to where it is; what leads through ".." or a link stays.
 */
static void
path_copy(const char *path, char *to)
{
	while (*path != '\0') {
		if (path[0] == '/' && (path[1] == '/' || (path[1] == '.' && path[2] == '/')))
			path += path[1] == '/' ? 1 : 2;
		else
			*to++ = *path++;
	}
	*to = '\0';
}

static const char *
unix_identity(const struct address *address, char *buffer)
{
	/*
	 * Abstract names are apart for each kind of socket; in the file system there is one name.
	 */
	bool abstract = address->host[0] == '@';
	int length = snprintf(buffer, ADDRESS_IDENTITY_MAX, "%s ",
			      abstract && address->kind == ADDRESS_UNIXGRAM ? "unixgram" : "unix");

	if (abstract)
		snprintf(buffer + length, ADDRESS_IDENTITY_MAX - (size_t)length, "%s",
			 address->host);
	else
		path_copy(address->host, buffer + length);
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
		return unix_identity(address, buffer);
	case ADDRESS_SYSTEMD:
		snprintf(buffer, ADDRESS_IDENTITY_MAX, "systemd %s", address->host);
		return buffer;
	case ADDRESS_FILE:
		break;
	}
	return NULL;
}
