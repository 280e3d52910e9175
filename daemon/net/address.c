/* address.c - parses addresses, and prints them. */
#include "net/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_NAME_MAX_BYTES = 253, HOST_LABEL_MAX = 63, FD_NAME_MAX = 255 };

/*
 * What is left of sun_path for a name: the NUL that ends a path, or that begins an abstract name.
 */
enum { UNIX_NAME_MAX = sizeof((struct sockaddr_un *)0)->sun_path - 1 };

static const struct scheme {
	const char *prefix;
	enum address_kind kind;
} schemes[] = {
	{ "tcp://", ADDRESS_TCP },       { "udp://", ADDRESS_UDP },
	{ "unix://", ADDRESS_UNIX },     { "unixgram://", ADDRESS_UNIXGRAM },
	{ "systemd:", ADDRESS_SYSTEMD }, { "file://", ADDRESS_FILE },
};

static const char *
label_check(const char *label, size_t length)
{
	if (length == 0)
		return "has a host name with an empty label";
	if (length > HOST_LABEL_MAX)
		return "has a host name with a label of more than 63 bytes";
	if (label[0] == '-' || label[length - 1] == '-')
		return "has a host name with a label that begins or ends with \"-\"";
	for (size_t i = 0; i < length; i++)
		if (!isascii((unsigned char)label[i])
		    || (!isalnum((unsigned char)label[i]) && label[i] != '-' && label[i] != '_'))
			return "has a host name with other bytes than letters, digits, \"-\", "
			       "\"_\" and \".\"";
	return NULL;
}

/*
 * A name that ends in a number is none: getaddrinfo(3) would take 127.1, 010.0.0.1 or 0x7f000001
 * for addresses that do not look like what they are.
 */
static bool
label_is_number(const char *label, size_t length)
{
	bool hex = length >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X');
	size_t digits =
		strspn(hex ? label + 2 : label, hex ? "0123456789abcdefABCDEF" : "0123456789");
	return digits + (hex ? 2 : 0) >= length;
}

static const char *
name_check(const char *name)
{
	size_t length = strlen(name);
	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length > HOST_NAME_MAX_BYTES)
		return "has a host name of more than 253 bytes";
	for (const char *label = name;;) {
		size_t rest = length - (size_t)(label - name), dot = strcspn(label, ".");
		size_t label_length = dot < rest ? dot : rest;
		const char *wrong = label_check(label, label_length);
		if (wrong != NULL)
			return wrong;
		if (label_length == rest)
			return label_is_number(label, rest)
				       ? "has a host that is neither an IPv4 address nor a name"
				       : NULL;
		label += dot + 1;
	}
}

/* The text between brackets: an IPv6 address, link-local ones perhaps with %interface. */
static const char *
ipv6_check(const char *host)
{
	char digits[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	size_t length = strcspn(host, "%");

	if (length >= sizeof digits)
		return "has no IPv6 address in its brackets";
	memcpy(digits, host, length);
	digits[length] = '\0';
	if (inet_pton(AF_INET6, digits, &in6) != 1)
		return "has no IPv6 address in its brackets";
	if (host[length] == '\0')
		return NULL;
	size_t zone = strlen(host + length + 1);
	if (zone == 0 || zone >= IF_NAMESIZE)
		return "has no interface name of 1 to 15 bytes after its \"%\"";
	return IN6_IS_ADDR_LINKLOCAL(&in6) || IN6_IS_ADDR_MULTICAST(&in6)
		       ? NULL
		       : "names an interface, which only a link-local address takes";
}

static const char *
host_check(const char *host, bool brackets)
{
	struct in_addr in;

	if (brackets)
		return ipv6_check(host);
	if (*host == '\0')
		return "has no host: write * for every address";
	if (strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &in) == 1)
		return NULL;
	return name_check(host);
}

static const char *
service_check(const char *service, enum address_kind kind)
{
	struct addrinfo hints = { .ai_family = AF_INET,
				  .ai_socktype = kind == ADDRESS_UDP ? SOCK_DGRAM : SOCK_STREAM };
	struct addrinfo *found;

	if (*service == '\0')
		return "has no port";
	if (service[strspn(service, "0123456789")] == '\0')
		return strlen(service) <= 5 && atoi(service) <= 65535
			       ? NULL
			       : "has a port that is out of range: 0 to 65535";
	/* strtol(3) within getaddrinfo(3) takes signs and blanks. */
	if (!isalnum((unsigned char)*service) || getaddrinfo(NULL, service, &hints, &found) != 0)
		return "has a port that is neither a number nor a known service";
	freeaddrinfo(found);
	return NULL;
}

/* Splits HOST:PORT into the address's host and service. */
static const char *
inet_parse(const char *rest, struct address *address)
{
	bool brackets = *rest == '[';
	const char *host = brackets ? rest + 1 : rest;
	const char *host_end = strchr(host, brackets ? ']' : ':'), *service;

	if (brackets) {
		if (host_end == NULL)
			return "has a \"[\" without its \"]\"";
		if (host_end[1] != ':')
			return host_end[1] == '\0' ? "has no port" : "has no \":\" after its \"]\"";
		service = host_end + 2;
	} else {
		if (host_end == NULL)
			return "has no port";
		service = host_end + 1;
		if (strchr(service, ':') != NULL)
			return "has too many colons: an IPv6 address stands in brackets, "
			       "tcp://[::1]:80";
	}
	address->host = strndup(host, (size_t)(host_end - host));
	address->service = strdup(service);
	if (address->host == NULL || address->service == NULL)
		return strerror(ENOMEM);
	const char *wrong = host_check(address->host, brackets);
	return wrong != NULL ? wrong : service_check(service, address->kind);
}

static const char *
unix_parse(const char *rest, struct address *address)
{
	size_t length = strlen(rest);

	if (*rest == '@') {
		if (length == 1)
			return "has no name after its \"@\"";
		if (length - 1 > UNIX_NAME_MAX)
			return "is too long: the name of an abstract socket has at most 107 bytes";
	} else {
		if (*rest != '/')
			return "has no absolute path: three slashes, unix:///run/x.sock";
		if (rest[length - 1] == '/')
			return "ends in a directory, not in the name of a socket";
		if (length > UNIX_NAME_MAX)
			return "is too long: the path of a socket has at most 107 bytes";
	}
	address->host = strdup(rest);
	return address->host == NULL ? strerror(ENOMEM) : NULL;
}

static const char *
systemd_parse(const char *rest, struct address *address)
{
	if (*rest == '\0')
		return "has no name after \"systemd:\"";
	if (strchr(rest, '/') != NULL || strchr(rest, ':') != NULL || strlen(rest) > FD_NAME_MAX)
		return "is not systemd: and a FileDescriptorName of at most 255 bytes, without "
		       "\":\" and \"/\"";
	address->host = strdup(rest);
	return address->host == NULL ? strerror(ENOMEM) : NULL;
}

static const char *
file_parse(const char *rest, struct address *address)
{
	if (*rest != '/')
		return "has no absolute path: three slashes, file:///dev/ttyUSB0";
	if (rest[strlen(rest) - 1] == '/')
		return "ends in a directory, not in the name of a file";
	address->host = strdup(rest);
	return address->host == NULL ? strerror(ENOMEM) : NULL;
}

static const char *
rest_parse(const char *rest, struct address *address)
{
	switch (address->kind) {
	case ADDRESS_TCP:
	case ADDRESS_UDP:
		return inet_parse(rest, address);
	case ADDRESS_UNIX:
	case ADDRESS_UNIXGRAM:
		return unix_parse(rest, address);
	case ADDRESS_SYSTEMD:
		return systemd_parse(rest, address);
	case ADDRESS_FILE:
		return file_parse(rest, address);
	}
	return "is of an unknown kind";
}

const char *
address_parse(const char *text, struct address *address)
{
	*address = (struct address){ 0 };
	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
		if (*at <= ' ' || *at == 0x7f)
			return "has a blank in it: addresses are separated by commas";
	for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
		size_t length = strlen(schemes[i].prefix);
		if (strncmp(text, schemes[i].prefix, length) != 0)
			continue;
		address->kind = schemes[i].kind;
		address->text = strdup(text);
		const char *wrong = address->text == NULL ? strerror(ENOMEM)
							  : rest_parse(text + length, address);
		if (wrong != NULL)
			address_clear(address);
		return wrong;
	}
	return "is not an address such as tcp://127.0.0.1:80, udp://[::1]:53, unix:///run/x.sock, "
	       "systemd:NAME";
}

void
address_clear(struct address *address)
{
	free(address->text);
	free(address->host);
	free(address->service);
	*address = (struct address){ 0 };
}

void
address_list_clear(struct address_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		address_clear(&list->items[i]);
	free(list->items);
	*list = (struct address_list){ 0 };
}

/* The rest of text, of size bytes, becomes the path; what could not be printed is escaped. */
static void
path_format(const struct sockaddr_un *un, socklen_t length, char *text, size_t size)
{
	size_t left = length > offsetof(struct sockaddr_un, sun_path)
			      ? length - offsetof(struct sockaddr_un, sun_path)
			      : 0;
	const unsigned char *at = (const unsigned char *)un->sun_path;
	size_t used = 0;

	if (left > sizeof un->sun_path)
		left = sizeof un->sun_path;
	bool abstract = left > 0 && *at == '\0';
	if (abstract)
		text[used++] = '@', at++, left--;
	for (; left > 0 && (abstract || *at != '\0') && used + 5 <= size; at++, left--) {
		if (*at >= 0x20 && *at < 0x7f)
			text[used++] = (char)*at;
		else
			used += (size_t)snprintf(text + used, size - used, "\\x%02x", *at);
	}
	text[used] = '\0';
}

const char *
address_format(enum address_kind kind, const struct sockaddr *sa, socklen_t length,
	       char text[static ADDRESS_TEXT_MAX])
{
	const char *scheme = address_is_datagram(kind) ? "udp" : "tcp";
	char host[INET6_ADDRSTRLEN], zone[IF_NAMESIZE + 1] = "";

	switch (length >= sizeof sa->sa_family ? sa->sa_family : AF_UNSPEC) {
	case AF_INET: {
		const struct sockaddr_in *in = (const void *)sa;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		snprintf(text, ADDRESS_TEXT_MAX, "%s://%s:%u", scheme, host, ntohs(in->sin_port));
		return text;
	}
	case AF_INET6: {
		const struct sockaddr_in6 *in6 = (const void *)sa;
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
		if (in6->sin6_scope_id != 0 && if_indextoname(in6->sin6_scope_id, zone + 1) != NULL)
			zone[0] = '%';
		snprintf(text, ADDRESS_TEXT_MAX, "%s://[%s%s]:%u", scheme, host, zone,
			 ntohs(in6->sin6_port));
		return text;
	}
	default:
		strcpy(text, address_is_datagram(kind) ? "unixgram://" : "unix://");
		if (length > sizeof sa->sa_family)
			path_format((const void *)sa, length, text + strlen(text),
				    ADDRESS_TEXT_MAX - strlen(text));
		return text;
	}
}

const char *
peer_format(enum address_kind ip_kind, const union peer_address *peer,
	    char text[static ADDRESS_TEXT_MAX])
{
	if (peer->sa.sa_family == AF_UNSPEC)
		return address_format(ADDRESS_UNIX, &peer->sa, sizeof(sa_family_t), text);
	return address_format(ip_kind, &peer->sa, sizeof *peer, text);
}

void
address_unmap(union peer_address *peer)
{
	if (peer->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&peer->in6.sin6_addr))
		return;
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = peer->in6.sin6_port };
	memcpy(&in.sin_addr, peer->in6.sin6_addr.s6_addr + 12, sizeof in.sin_addr);
	peer->in = in;
}
