/* prefix.c - networks: which peers an allow or deny list means. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/address.h"

static const char not_a_prefix[] =
	"is not an address prefix such as 10.0.0.0/8, 2001:db8::/32, ::1, unix or all";

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };

/* Clears the bits behind the prefix's length; true when there were any. */
static bool
host_bits_clear(struct prefix *prefix, unsigned size)
{
	bool any = false;

	for (unsigned i = 0; i < size; i++) {
		unsigned kept = prefix->length >= 8 * (i + 1) ? 8
				: prefix->length > 8 * i      ? prefix->length - 8 * i
							      : 0;
		uint8_t mask = (uint8_t)(0xff00 >> kept);
		any = any || (prefix->bytes[i] & ~mask) != 0;
		prefix->bytes[i] &= mask;
	}
	return any;
}

static bool
length_parse(const char *text, unsigned most, uint8_t *length)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > 3 || text[digits] != '\0' || (text[0] == '0' && digits > 1)
	    || (unsigned)atoi(text) > most)
		return false;
	*length = (uint8_t)atoi(text);
	return true;
}

const char *
prefix_parse(const char *text, struct prefix *prefix)
{
	static _Thread_local char sentence[120];
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t host_length = slash != NULL ? (size_t)(slash - text) : strlen(text);

	*prefix = (struct prefix){ 0 };
	if (strcmp(text, "unix") == 0) {
		prefix->family = AF_UNIX;
		return NULL;
	}
	if (host_length >= sizeof host)
		return not_a_prefix;
	memcpy(host, text, host_length);
	host[host_length] = '\0';
	prefix->family = strchr(host, ':') != NULL ? AF_INET6 : AF_INET;
	if (inet_pton(prefix->family, host, prefix->bytes) != 1)
		return not_a_prefix;
	unsigned most = prefix->family == AF_INET ? 32 : 128;
	prefix->length = (uint8_t)most;
	if (slash != NULL && !length_parse(slash + 1, most, &prefix->length))
		return most == 32 ? "has a length that is out of range: /0 to /32"
				  : "has a length that is out of range: /0 to /128";
	/* Peers are compared unmapped, so such a prefix would match nobody. */
	if (prefix->family == AF_INET6 && prefix->length >= 96
	    && memcmp(prefix->bytes, v4_mapped, sizeof v4_mapped) == 0)
		return "is an IPv4-mapped prefix: write the IPv4 prefix it stands for";
	if (host_bits_clear(prefix, most / 8)) {
		inet_ntop(prefix->family, prefix->bytes, host, sizeof host);
		snprintf(sentence, sizeof sentence,
			 "has bits set behind its length, did you mean \"%s/%u\"?", host,
			 prefix->length);
		return sentence;
	}
	return NULL;
}

static bool
prefix_has(const struct prefix *prefix, const uint8_t *bytes)
{
	unsigned whole = prefix->length / 8, rest = prefix->length % 8;

	return memcmp(prefix->bytes, bytes, whole) == 0
	       && (rest == 0 || ((prefix->bytes[whole] ^ bytes[whole]) >> (8 - rest)) == 0);
}

bool
prefix_list_has(const struct prefix_list *list, const union peer_address *peer)
{
	int family = peer->sa.sa_family == AF_UNSPEC ? AF_UNIX : peer->sa.sa_family;
	const uint8_t *bytes = family == AF_INET ? (const uint8_t *)&peer->in.sin_addr
						 : (const uint8_t *)&peer->in6.sin6_addr;

	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].family == family
		    && (family == AF_UNIX || prefix_has(&list->items[i], bytes)))
			return true;
	return false;
}
