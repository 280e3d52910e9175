/* proxy_header.c - the header of the PROXY protocol, version 1 or 2: whose connection it is. */
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Version 2:   12 bytes      1             1          2        length bytes
 *              signature | version:4 | family:4 | length | source, destination, their ports, TLVs
 *                        | command:4 | socket:4 |
 */
static const uint8_t signature[12] = { '\r', '\n', '\r', '\n', 0,   '\r',
				       '\n', 'Q',  'U',  'I',  'T', '\n' };

enum { FIXED = 16, ADDRESSES_V4 = 12, ADDRESSES_V6 = 36, ADDRESSES_UNIX = 216 };

enum {
	LOCAL = 0x20,		/* version and command */
	PROXY = 0x21,
	UNSPECIFIED = 0x00,	/* family and socket */
	TCP4 = 0x11,
	TCP6 = 0x21,
};

enum { FAMILY_UNSPECIFIED, FAMILY_V4, FAMILY_V6, FAMILY_UNIX, FAMILY_COUNT };
enum { SOCKET_UNSPECIFIED, SOCKET_STREAM, SOCKET_DATAGRAM, SOCKET_COUNT };

/* The type of the TLV with the CRC-32C of the header, in which those four bytes count as zero. */
enum { TLV_CHECKSUM = 0x03, CHECKSUM_LENGTH = 4 };

static const char preface[] = "PROXY ";		/* of version 1 */

static const char no_header[] = "it is no PROXY header";

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
	int length = snprintf(line, sizeof line, "%s%s %s %s %u %u\r\n", preface,
			      ipv4 ? "TCP4" : "TCP6", ip_text(source, ipv4, from),
			      ip_text(destination, ipv4, to), ntohs(port_of(source)),
			      ntohs(port_of(destination)));

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
proxy_header_write(int version, const union peer_address *source,
		   const union peer_address *destination, uint8_t bytes[static PROXY_HEADER_MAX])
{
	bool ipv4;

	assert(version == 1 || version == 2);
	if (!is_ip(source) || !is_ip(destination))
		return write_local(version, bytes);
	ipv4 = source->sa.sa_family == AF_INET && destination->sa.sa_family == AF_INET;
	return version == 1 ? write_v1(source, destination, ipv4, bytes)
			    : write_v2(source, destination, ipv4, bytes);
}

/* A port as version 1 has it: a decimal number of 0 to 65535, without leading zeros. */
static bool
port_parse(const char *text, in_port_t *port)
{
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 5 || text[digits] != '\0' || (text[0] == '0' && digits > 1)
	    || atoi(text) > 65535)
		return false;
	*port = htons((uint16_t)atoi(text));
	return true;
}

static bool
ip_parse(int family, const char *text, union peer_address *address)
{
	void *bytes = family == AF_INET ? (void *)&address->in.sin_addr : &address->in6.sin6_addr;

	address->sa.sa_family = (sa_family_t)family;
	return inet_pton(family, text, bytes) == 1;
}

/* Whether a line, of which there may be a part, is of a protocol that its sender cannot name. */
static bool
line_is_unknown(const struct proxy_header *header)
{
	static const char unknown[] = "UNKNOWN";
	const uint8_t *protocol = header->begin + sizeof preface - 1;
	const uint8_t *behind = protocol + sizeof unknown - 1;

	return memcmp(protocol, unknown, sizeof unknown - 1) == 0
	       && (*behind == ' ' || *behind == '\r');
}

/* Reads the whole line of version 1: NULL, or what is wrong. */
static const char *
line_parse(struct proxy_header *header)
{
	char *rest = (char *)header->begin + sizeof preface - 1;
	const char *fields[5];
	int family;

	if (line_is_unknown(header))
		return NULL;
	header->begin[header->taken - 2] = '\0';
	if (strlen((char *)header->begin) != header->taken - 2)
		return "a NUL in its line";
	for (size_t i = 0; i < 5; i++)
		fields[i] = strsep(&rest, " ");
	family = strcmp(fields[0], "TCP4") == 0	  ? AF_INET
		 : strcmp(fields[0], "TCP6") == 0 ? AF_INET6
						  : 0;
	if (family == 0)
		return "another protocol than TCP4, TCP6 and UNKNOWN";
	if (fields[4] == NULL || rest != NULL)
		return "other than four fields behind its protocol";
	if (!ip_parse(family, fields[1], &header->source)
	    || !ip_parse(family, fields[2], &header->destination))
		return family == AF_INET ? "an address that is not an IPv4 address"
					 : "an address that is not an IPv6 address";
	/* The port stands in the same place in both families. */
	if (!port_parse(fields[3], &header->source.in.sin_port)
	    || !port_parse(fields[4], &header->destination.in.sin_port))
		return "a port that is not a number of 0 to 65535";
	header->carried = true;
	return NULL;
}

/* One more byte of a line, which is stored already. */
static enum proxy_header_state
line_take(struct proxy_header *header, uint8_t byte)
{
	bool behind_cr = header->taken > 1 && header->begin[header->taken - 2] == '\r';

	if (header->taken < sizeof preface)
		header->wrong = byte == (uint8_t)preface[header->taken - 1] ? NULL : no_header;
	else if (behind_cr && byte == '\n')
		header->wrong = line_parse(header);
	else if ((behind_cr || byte == '\n') && !line_is_unknown(header))
		header->wrong = "a line that does not end in CR and LF";
	else if (header->taken == PROXY_HEADER_MAX)
		header->wrong = "a line of more than 107 bytes";
	if (header->wrong != NULL)
		return PROXY_HEADER_BAD;
	return behind_cr && byte == '\n' ? PROXY_HEADER_DONE : PROXY_HEADER_MORE;
}

/* CRC-32C (RFC 9260, appendix A) of one more byte: four bits at a time. */
static uint32_t
crc32c(uint32_t crc, uint8_t byte)
{
	static const uint32_t table[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
		0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
		0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	crc ^= byte;
	crc = crc >> 4 ^ table[crc & 15];
	return crc >> 4 ^ table[crc & 15];
}

/* The fixed part is there: NULL, or what is wrong with it. */
static const char *
fixed_check(struct proxy_header *header)
{
	static const uint32_t lengths[FAMILY_COUNT] = {
		[FAMILY_V4] = ADDRESSES_V4,
		[FAMILY_V6] = ADDRESSES_V6,
		[FAMILY_UNIX] = ADDRESSES_UNIX,
	};
	unsigned command = header->begin[12], family = header->begin[13] >> 4;
	unsigned socket_type = header->begin[13] & 15;

	if (command >> 4 != PROXY >> 4)
		return "another version than 1 and 2";
	if (command != LOCAL && command != PROXY)
		return "an unknown command";
	if (command == PROXY && (family >= FAMILY_COUNT || socket_type >= SOCKET_COUNT))
		return "an unknown address family or socket type";
	header->carried = command == PROXY && family != FAMILY_UNSPECIFIED
			  && socket_type != SOCKET_UNSPECIFIED;
	header->length = FIXED + ((uint32_t)header->begin[14] << 8 | header->begin[15]);
	header->tlvs_at = FIXED + (family < FAMILY_COUNT ? lengths[family] : UINT16_MAX);
	if (header->tlvs_at > header->length && header->carried)
		return "addresses that are longer than the header";
	return NULL;
}

/* The addresses are there. */
static void
addresses_take(struct proxy_header *header)
{
	const uint8_t *at = header->begin + FIXED;
	union peer_address *source = &header->source, *destination = &header->destination;

	switch (header->begin[13] >> 4) {
	case FAMILY_V4:
		source->sa.sa_family = destination->sa.sa_family = AF_INET;
		memcpy(&source->in.sin_addr, at, 4);
		memcpy(&destination->in.sin_addr, at + 4, 4);
		memcpy(&source->in.sin_port, at + 8, 2);
		memcpy(&destination->in.sin_port, at + 10, 2);
		break;
	case FAMILY_V6:
		source->sa.sa_family = destination->sa.sa_family = AF_INET6;
		memcpy(&source->in6.sin6_addr, at, 16);
		memcpy(&destination->in6.sin6_addr, at + 16, 16);
		memcpy(&source->in6.sin6_port, at + 32, 2);
		memcpy(&destination->in6.sin6_port, at + 34, 2);
		break;
	default:
		break;		/* unix sockets: their names are of no use here */
	}
}

/* One more byte of the TLVs, the last one taken; *byte is set to what the CRC is to be of. */
static const char *
tlvs_take(struct proxy_header *header, uint8_t *byte)
{
	bool is_checksum = header->tlv[0] == TLV_CHECKSUM;

	if (header->tlv_head < sizeof header->tlv) {
		header->tlv[header->tlv_head++] = *byte;
		if (header->tlv_head < sizeof header->tlv)
			return header->taken == header->length ? "a TLV that is cut short" : NULL;
		header->tlv_left = (uint16_t)(header->tlv[1] << 8 | header->tlv[2]);
		if (header->tlv_left > header->length - header->taken)
			return "a TLV that is longer than the header";
		if (is_checksum && (header->has_checksum || header->tlv_left != CHECKSUM_LENGTH))
			return "two checksums, or one that is not 4 bytes long";
		header->has_checksum = header->has_checksum || is_checksum;
	} else {
		if (is_checksum) {
			header->checksum = header->checksum << 8 | *byte;
			*byte = 0;
		}
		header->tlv_left--;
	}
	if (header->tlv_left == 0)
		header->tlv_head = 0;
	return NULL;
}

/* One more byte of version 2, which is stored already as far as it is kept. */
static enum proxy_header_state
binary_take(struct proxy_header *header, uint8_t byte)
{
	if (header->taken <= sizeof signature)
		header->wrong = byte == signature[header->taken - 1] ? NULL : no_header;
	else if (header->taken == FIXED)
		header->wrong = fixed_check(header);
	else if (header->taken > FIXED && header->taken > header->tlvs_at && !header->opaque) {
		header->wrong = tlvs_take(header, &byte);
		/* The block of a header that names nobody is not bound to be of any form. */
		if (!header->carried) {
			header->opaque = header->wrong != NULL;
			header->wrong = NULL;
		}
	}
	if (header->wrong != NULL)
		return PROXY_HEADER_BAD;
	header->crc = crc32c(header->taken == 1 ? UINT32_MAX : header->crc, byte);
	if (header->taken < FIXED || header->taken < header->length)
		return PROXY_HEADER_MORE;
	if (header->has_checksum && !header->opaque && header->checksum != ~header->crc) {
		header->wrong = "a wrong checksum";
		return PROXY_HEADER_BAD;
	}
	if (header->carried)
		addresses_take(header);
	return PROXY_HEADER_DONE;
}

enum proxy_header_state
proxy_header_read(struct proxy_header *header, const uint8_t *bytes, size_t length, size_t *taken)
{
	enum proxy_header_state state = PROXY_HEADER_MORE;

	for (*taken = 0; *taken < length && state == PROXY_HEADER_MORE; (*taken)++) {
		uint8_t byte = bytes[*taken];

		if (header->taken < sizeof header->begin)
			header->begin[header->taken] = byte;
		header->taken++;
		state = header->begin[0] == signature[0] ? binary_take(header, byte)
							 : line_take(header, byte);
	}
	if (state == PROXY_HEADER_DONE) {
		address_unmap(&header->source);
		address_unmap(&header->destination);
	}
	return state;
}
