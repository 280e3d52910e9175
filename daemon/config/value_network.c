/* value_network.c - an IP address to send from, and a differentiated services code point. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/number.h"
#include "config/sentence.h"
#include "config/value.h"
#include "net/address.h"

enum { DSCP_MAX = 63 };

/* Takes ADDRESS or ADDRESS%INTERFACE; false: it is neither. */
static bool
ip_parse(const char *text, union peer_address *ip, const char **interface)
{
	char address[INET6_ADDRSTRLEN];
	size_t length = strcspn(text, "%");

	*interface = text[length] == '%' ? text + length + 1 : NULL;
	if (length >= sizeof address)
		return false;
	memcpy(address, text, length);
	address[length] = '\0';
	if (inet_pton(AF_INET6, address, &ip->in6.sin6_addr) == 1)
		ip->sa.sa_family = AF_INET6;
	else if (*interface == NULL && inet_pton(AF_INET, address, &ip->in.sin_addr) == 1)
		ip->sa.sa_family = AF_INET;
	else
		return false;
	return true;
}

/* What is wrong with an address to send from. */
static const char *
ip_check(union peer_address *ip, const char *interface)
{
	if (ip->sa.sa_family == AF_INET) {
		uint32_t address = ntohl(ip->in.sin_addr.s_addr);

		return address == INADDR_ANY || IN_MULTICAST(address) || address == INADDR_BROADCAST
			       ? "is no address that can be sent from"
			       : NULL;
	}
	if (IN6_IS_ADDR_UNSPECIFIED(&ip->in6.sin6_addr)
	    || IN6_IS_ADDR_MULTICAST(&ip->in6.sin6_addr))
		return "is no address that can be sent from";
	if (interface == NULL)
		return IN6_IS_ADDR_LINKLOCAL(&ip->in6.sin6_addr)
			       ? "is a link-local address: its interface must stand behind it, "
				 "as in fe80::1%eth0"
			       : NULL;
	if (!IN6_IS_ADDR_LINKLOCAL(&ip->in6.sin6_addr))
		return "names an interface, which only a link-local address takes";
	ip->in6.sin6_scope_id = if_nametoindex(interface);
	return ip->in6.sin6_scope_id == 0 ? "names an interface that is not there" : NULL;
}

static const char *
ip_set(const struct option *option, void *field, const char *text, const char *directory)
{
	union peer_address ip = { 0 }, plain = { 0 };
	size_t length = strlen(text);
	bool brackets = length >= 2 && text[0] == '[' && text[length - 1] == ']';
	const char *interface;
	char *bare = brackets ? strndup(text + 1, length - 2) : strdup(text);

	(void)directory;
	if (bare == NULL)
		return out_of_memory;
	bool parsed = ip_parse(bare, &ip, &interface) && !(brackets && ip.sa.sa_family == AF_INET);
	address_unmap(&ip);
	const char *wrong = parsed ? ip_check(&ip, interface) : NULL;
	free(bare);
	if (!parsed)
		return sentence_about(text, "is not an IP address such as 192.0.2.1, 2001:db8::1%s",
				      words_of(option));
	if (wrong != NULL)
		return sentence_about(text, "%s", wrong);
	/* Nothing is left behind a short address, so that equal ones are equal in every byte. */
	if (ip.sa.sa_family == AF_INET)
		plain.in = ip.in;
	else
		plain.in6 = ip.in6;
	*(union peer_address *)field = plain;
	return NULL;
}

static void
ip_clear(void *field)
{
	memset(field, 0, sizeof(union peer_address));
}

static bool
ip_equal(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(union peer_address)) == 0;
}

const struct value_type value_ip = {
	.noun = "IP address",
	.size = sizeof(union peer_address),
	.set = ip_set,
	.clear = ip_clear,
	.equal = ip_equal,
};

/* The code point of a name; -1: it is none. csN and afXY are numbers in another way of writing. */
static int64_t
dscp_find(const char *name)
{
	static const struct {
		const char *name;
		int64_t dscp;
	} others[] = {
		{ "default", 0 },	/* RFC 2474 */
		{ "le", 1 },		/* RFC 8622: lower effort */
		{ "va", 44 },		/* RFC 5865: voice admit */
		{ "ef", 46 },		/* RFC 3246: expedited forwarding */
	};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		if (strcmp(name, others[i].name) == 0)
			return others[i].dscp;
	if (strncmp(name, "cs", 2) == 0 && name[2] >= '0' && name[2] <= '7' && name[3] == '\0')
		return (name[2] - '0') * 8;
	if (strncmp(name, "af", 2) == 0 && name[2] >= '1' && name[2] <= '4' && name[3] >= '1'
	    && name[3] <= '3' && name[4] == '\0')
		return (name[2] - '0') * 8 + (name[3] - '0') * 2;
	return -1;
}

static const char *
dscp_set(const struct option *option, void *field, const char *text, const char *directory)
{
	int64_t dscp;

	(void)directory;
	if (number_parse(OPTION_NUMBER, text, &dscp)) {
		if (dscp < 0 || dscp > DSCP_MAX)
			return sentence_about(text, "is out of range: 0 to %d%s", DSCP_MAX,
					      words_of(option));
	} else {
		dscp = dscp_find(text);
		if (dscp < 0)
			return sentence_about(text, "is not a DSCP such as 46, ef, af41, cs5%s",
					      words_of(option));
	}
	*(int64_t *)field = dscp;
	return NULL;
}

static void
dscp_clear(void *field)
{
	*(int64_t *)field = OPTION_AUTO;
}

static bool
dscp_equal(const void *a, const void *b)
{
	return *(const int64_t *)a == *(const int64_t *)b;
}

const struct value_type value_dscp = {
	.noun = "DSCP, 0 to 63 or a name such as ef",
	.size = sizeof(int64_t),
	.set = dscp_set,
	.clear = dscp_clear,
	.equal = dscp_equal,
};
