/* address_resolve.c - looks addresses up. */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"

static const char *
unix_resolve(const char *name, struct sockaddr_any **found, size_t *count)
{
	struct sockaddr_any *any = calloc(1, sizeof *any);
	size_t length = strlen(name);

	if (any == NULL)
		return strerror(ENOMEM);
	any->u.un.sun_family = AF_UNIX;
	memcpy(any->u.un.sun_path, name, length);
	if (*name == '@')
		any->u.un.sun_path[0] = '\0';
	else
		length++;
	any->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	*found = any;
	*count = 1;
	return NULL;
}

static bool
any_has(const struct sockaddr_any *items, size_t count, const struct addrinfo *info)
{
	for (size_t i = 0; i < count; i++)
		if (items[i].length == info->ai_addrlen
		    && memcmp(&items[i].u, info->ai_addr, info->ai_addrlen) == 0)
			return true;
	return false;
}

/* hosts(5) may well give an address twice, which one cannot bind twice. */
static const char *
info_copy(const struct addrinfo *list, struct sockaddr_any **found, size_t *count)
{
	size_t length = 0;
	for (const struct addrinfo *info = list; info != NULL; info = info->ai_next)
		length++;
	struct sockaddr_any *items = calloc(length + 1, sizeof *items);
	if (items == NULL)
		return strerror(ENOMEM);
	*count = 0;
	for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
		if (info->ai_addrlen > sizeof items->u || any_has(items, *count, info))
			continue;
		items[*count].length = info->ai_addrlen;
		memcpy(&items[(*count)++].u, info->ai_addr, info->ai_addrlen);
	}
	*found = items;
	return NULL;
}

const char *
address_resolve(const struct address *address, struct sockaddr_any **found, size_t *count)
{
	bool any = address->kind <= ADDRESS_UDP && strcmp(address->host, "*") == 0;
	struct addrinfo hints = {
		.ai_family = any ? AF_INET6 : AF_UNSPEC,
		.ai_socktype = address->kind == ADDRESS_UDP ? SOCK_DGRAM : SOCK_STREAM,
		.ai_flags = AI_PASSIVE,
	};
	struct addrinfo *list;

	*found = NULL;
	*count = 0;
	if (address->kind == ADDRESS_SYSTEMD)
		return "is a passed socket, which has no address to look up";
	if (address->kind == ADDRESS_FILE)
		return "is a file, which has no address to look up";
	if (address->kind == ADDRESS_UNIX || address->kind == ADDRESS_UNIXGRAM)
		return unix_resolve(address->host, found, count);
	int failure = getaddrinfo(any ? "::" : address->host, address->service, &hints, &list);
	if (failure != 0)
		return failure == EAI_SYSTEM ? strerror(errno) : gai_strerror(failure);
	const char *wrong = info_copy(list, found, count);
	freeaddrinfo(list);
	return wrong;
}
