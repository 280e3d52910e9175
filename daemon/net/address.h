/* address.h - where to listen or to connect: tcp://, udp://, unix://, unixgram://, systemd:, file:// */
#ifndef TWINED_NET_ADDRESS_H
#define TWINED_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum address_kind {
	ADDRESS_TCP,
	ADDRESS_UDP,
	ADDRESS_UNIX,		/* stream; a path, or @name for the abstract namespace */
	ADDRESS_UNIXGRAM,
	ADDRESS_SYSTEMD,	/* a passed socket: its kind is known when it is claimed */
	ADDRESS_FILE,		/* what is opened, not connected to: of connectors only */
};

/* One address as it stands in the file. Parsed, not yet looked up. */
struct address {
	enum address_kind kind;
	char *text;		/* as written: tcp://localhost:http */
	/* tcp, udp: without brackets, "*" for any; else path, @name or NAME */
	char *host;
	char *service;		/* tcp, udp: number or name; else NULL */
};

struct address_list {
	struct address *items;
	size_t count;
};

/* One upstream as it stands in the file: "tcp://10.0.0.5:80 weight=3", "tcp://spare:80 backup". */
struct upstream_address {
	struct address address;
	int64_t weight;		/* 0 to 1000; 0 gets no new connections */
	bool backup;		/* serves only while no other one can */
};

struct upstream_list {
	struct upstream_address *items;
	size_t count;
};

/* A socket address of any of our families. length 0: none. */
struct sockaddr_any {
	socklen_t length;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} u;
};

/*
 * The address of an IP peer, small enough to keep with every connection. family 0: unknown or unix.
 */
union peer_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/*
 * Space for an address in text with its scheme, the longest being a unix path with all bytes
 * escaped.
 */
#define ADDRESS_TEXT_MAX (sizeof "unixgram://" + 4 * sizeof ((struct sockaddr_un *)0)->sun_path)

/*
 * Parses one address. Returns NULL, or the tail of a sentence. *address is the caller's to clear.
 */
const char *address_parse(const char *text, struct address *address);
void address_clear(struct address *address);
void address_list_clear(struct address_list *list);

/* Whether its sockets are SOCK_DGRAM; asked of a systemd address, false. */
bool address_is_datagram(enum address_kind kind);

/* Whether it may lead to an IP address of a family; a name may. */
bool address_may_be(const struct address *address, int family);

/*
 * Looks an address up: every socket address it stands for, in getaddrinfo(3)'s order ("*" gives
 * [::]). May block on the network. Returns NULL and an array the caller frees, or the tail of a
 * sentence.
 */
const char *address_resolve(const struct address *address, struct sockaddr_any **found,
			    size_t *count);

/* Writes "tcp://[::1]:80", "unix:///run/x", "unix://@x" or "unix://" (unnamed). Returns text. */
const char *address_format(enum address_kind kind, const struct sockaddr *sa, socklen_t length,
			   char text[static ADDRESS_TEXT_MAX]);

/* The same of a peer, which is a unix peer where its family is 0. */
const char *peer_format(enum address_kind ip_kind, const union peer_address *peer,
			char text[static ADDRESS_TEXT_MAX]);

/* An IPv4-mapped IPv6 address becomes the IPv4 address it is; others stay. */
void address_unmap(union peer_address *peer);

/*
 * A network: every address whose first length bits are these. Everything of family AF_UNIX is
 * "unix".
 */
struct prefix {
	int family;
	uint8_t length;
	uint8_t bytes[16];
};

struct prefix_list {
	struct prefix *items;
	size_t count;
};

/* Parses "10.0.0.0/8", "::1", "fe80::/10" or "unix". Host bits must be 0. As address_parse. */
const char *prefix_parse(const char *text, struct prefix *prefix);

/* Whether the peer lies within one of the prefixes. A peer of family 0 is a unix peer. */
bool prefix_list_has(const struct prefix_list *list, const union peer_address *peer);

bool address_is_loopback(const struct sockaddr *sa);

#endif
