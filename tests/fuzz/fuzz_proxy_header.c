/*
 * fuzz_proxy_header.c - feeds PROXY headers in pieces: what is read is what a second, simple reader
 * finds that has all the bytes at once. The first byte of an input says how the rest is cut.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What an input is. */
struct verdict {
	enum proxy_header_state state;
	size_t length;		/* of a header that is done */
	bool carried;
	union peer_address source, destination;
};

static uint32_t
checksum_of(const uint8_t *bytes, size_t length)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/*
 * "1.2.3.4" or "::1", and a port, from the fields of a line; the port must be printed as it stands.
 */
static bool
simple_address(int family, const char *text, const char *port, union peer_address *address)
{
	char again[12];

	void *bytes = family == AF_INET ? (void *)&address->in.sin_addr : &address->in6.sin6_addr;

	memset(address, 0, sizeof *address);
	address->sa.sa_family = (sa_family_t)family;
	address->in.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	snprintf(again, sizeof again, "%u", ntohs(address->in.sin_port));
	return strcmp(again, port) == 0 && inet_pton(family, text, bytes) == 1;
}

static struct verdict
simple_line(const uint8_t *bytes, size_t length)
{
	struct verdict verdict = { .state = PROXY_HEADER_BAD };
	char text[108] = "", again[200];
	char protocol[8], from[108], to[108], from_port[108], to_port[108];
	const uint8_t *end = memmem(bytes, length < 107 ? length : 107, "\r\n", 2);
	bool unknown = length > 13 && memcmp(bytes, "PROXY UNKNOWN", 13) == 0
		       && (bytes[13] == ' ' || bytes[13] == '\r');
	int family;

	if (memcmp(bytes, "PROXY ", length < 6 ? length : 6) != 0)
		return verdict;
	/* But for UNKNOWN, a CR and a LF stand together and nowhere else. */
	length = length < 107 ? length : 107;
	for (size_t i = 0; !unknown && i < length && (end == NULL || bytes + i < end); i++)
		if (bytes[i] == '\n' || (bytes[i] == '\r' && i + 1 < length))
			return verdict;
	if (end == NULL) {
		verdict.state = length < 107 ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
		return verdict;
	}
	verdict.length = (size_t)(end - bytes) + 2;
	if (unknown) {
		verdict.state = PROXY_HEADER_DONE;
		return verdict;
	}
	memcpy(text, bytes, verdict.length - 2);
	if (sscanf(text, "PROXY %7s %107s %107s %107s %107s", protocol, from, to, from_port,
		   to_port)
	    != 5)
		return verdict;
	snprintf(again, sizeof again, "PROXY %s %s %s %s %s", protocol, from, to, from_port,
		 to_port);
	if (strcmp(again, text) != 0 || strlen(text) != verdict.length - 2)
		return verdict;
	family = strcmp(protocol, "TCP4") == 0	 ? AF_INET
		 : strcmp(protocol, "TCP6") == 0 ? AF_INET6
						 : 0;
	if (family == 0 || !simple_address(family, from, from_port, &verdict.source)
	    || !simple_address(family, to, to_port, &verdict.destination))
		return verdict;
	verdict.state = PROXY_HEADER_DONE;
	verdict.carried = true;
	return verdict;
}

/* Walks the TLVs up to the end: false if they are none. *checksum: the place of theirs, 0: none. */
static bool
simple_tlvs(const uint8_t *bytes, size_t at, size_t end, size_t *checksum)
{
	*checksum = 0;
	while (at < end) {
		size_t value;

		if (end - at < 3)
			return false;
		value = (size_t)bytes[at + 1] << 8 | bytes[at + 2];
		if (value > end - at - 3 || (bytes[at] == 3 && (value != 4 || *checksum != 0)))
			return false;
		if (bytes[at] == 3)
			*checksum = at + 3;
		at += 3 + value;
	}
	return true;
}

static bool
simple_checksum_is_right(const uint8_t *bytes, size_t length, size_t place)
{
	uint8_t *copy = malloc(length);
	uint32_t told;
	bool right;

	if (copy == NULL)
		abort();
	memcpy(copy, bytes, length);
	memcpy(&told, copy + place, 4);
	memset(copy + place, 0, 4);
	right = checksum_of(copy, length) == ntohl(told);
	free(copy);
	return right;
}

static void
simple_addresses(const uint8_t *bytes, struct verdict *verdict)
{
	union peer_address *both[2] = { &verdict->source, &verdict->destination };
	bool ipv4 = bytes[13] >> 4 == 1;

	for (unsigned i = 0; i < 2 && bytes[13] >> 4 != 3; i++) {
		both[i]->sa.sa_family = ipv4 ? AF_INET : AF_INET6;
		if (ipv4)
			memcpy(&both[i]->in.sin_addr, bytes + 16 + 4 * i, 4);
		else
			memcpy(&both[i]->in6.sin6_addr, bytes + 16 + 16 * i, 16);
		memcpy(&both[i]->in.sin_port, bytes + (ipv4 ? 24 : 48) + 2 * i, 2);
	}
}

static struct verdict
simple_binary(const uint8_t *bytes, size_t length)
{
	static const size_t sizes[4] = { 0, 12, 36, 216 };
	struct verdict verdict = { .state = PROXY_HEADER_BAD };
	size_t tlvs, checksum;
	bool valid, walks;

	if (memcmp(bytes, "\r\n\r\n\0\r\nQUIT\n", length < 12 ? length : 12) != 0)
		return verdict;
	verdict.state = PROXY_HEADER_MORE;
	if (length < 16)
		return verdict;
	valid = bytes[13] >> 4 < 4 && (bytes[13] & 15) < 3;
	verdict.length = 16 + ((size_t)bytes[14] << 8 | bytes[15]);
	verdict.carried = bytes[12] == 0x21 && bytes[13] >> 4 != 0 && (bytes[13] & 15) != 0;
	tlvs = bytes[13] >> 4 < 4 ? 16 + sizes[bytes[13] >> 4] : SIZE_MAX;
	if ((bytes[12] != 0x20 && bytes[12] != 0x21) || (bytes[12] == 0x21 && !valid)
	    || (verdict.carried && tlvs > verdict.length)) {
		verdict.state = PROXY_HEADER_BAD;
		return verdict;
	}
	if (length < verdict.length)
		return verdict;
	walks = tlvs <= verdict.length && simple_tlvs(bytes, tlvs, verdict.length, &checksum);
	if (walks ? checksum != 0 && !simple_checksum_is_right(bytes, verdict.length, checksum)
		  : verdict.carried) {
		verdict.state = PROXY_HEADER_BAD;
		return verdict;
	}
	if (verdict.carried)
		simple_addresses(bytes, &verdict);
	verdict.state = PROXY_HEADER_DONE;
	return verdict;
}

static bool
same_address(const union peer_address *a, union peer_address *b)
{
	address_unmap(b);
	if (a->sa.sa_family != b->sa.sa_family || a->in.sin_port != b->in.sin_port)
		return false;
	return a->sa.sa_family == AF_INET ? a->in.sin_addr.s_addr == b->in.sin_addr.s_addr
					  : memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
}

/* Reads pieces of so many bytes at most, each in memory of its own. */
static enum proxy_header_state
read_pieces(struct proxy_header *header, const uint8_t *bytes, size_t length, size_t piece,
	    size_t *taken)
{
	enum proxy_header_state state = PROXY_HEADER_MORE;

	for (*taken = 0; state == PROXY_HEADER_MORE && *taken < length;) {
		size_t size = piece < length - *taken ? piece : length - *taken, part;
		uint8_t *copy = malloc(size);

		if (copy == NULL)
			abort();
		memcpy(copy, bytes + *taken, size);
		state = proxy_header_read(header, copy, size, &part);
		free(copy);
		if (part > size || (state == PROXY_HEADER_MORE && part != size))
			abort();
		*taken += part;
	}
	return state;
}

/* What has been read is written, and read again. */
static void
write_again(const struct proxy_header *header)
{
	for (int version = 1; version <= 2; version++) {
		const union peer_address *source = header->carried ? &header->source : NULL;
		uint8_t bytes[PROXY_HEADER_MAX];
		struct proxy_header again = { 0 };
		size_t length = proxy_header_write(version, source, &header->destination, bytes);
		size_t taken;

		if (length > sizeof bytes
		    || proxy_header_read(&again, bytes, length, &taken) != PROXY_HEADER_DONE
		    || taken != length)
			abort();
		if (again.carried
		    && (!same_address(&header->source, &again.source)
			|| !same_address(&header->destination, &again.destination)))
			abort();
	}
}

/* Lets a checksum be right, which chance would not. */
static void
mend_checksum(uint8_t *bytes, size_t length)
{
	struct verdict verdict;
	size_t sizes[4] = { 0, 12, 36, 216 }, checksum;
	uint32_t right;

	if (length < 16 || bytes[0] != '\r' || bytes[13] >> 4 > 3)
		return;
	verdict.length = 16 + ((size_t)bytes[14] << 8 | bytes[15]);
	if (verdict.length > length
	    || !simple_tlvs(bytes, 16 + sizes[bytes[13] >> 4], verdict.length, &checksum)
	    || checksum == 0)
		return;
	memset(bytes + checksum, 0, 4);
	right = htonl(checksum_of(bytes, verdict.length));
	memcpy(bytes + checksum, &right, 4);
}

/* What is bad before its end is bad with any end, zeros for one. */
static bool
is_bad_when_whole(const uint8_t *bytes, size_t length)
{
	enum { LONGEST = 16 + 65535 };
	uint8_t *whole = calloc(1, LONGEST);
	struct verdict verdict;

	if (whole == NULL)
		abort();
	memcpy(whole, bytes, length < LONGEST ? length : LONGEST);
	verdict = simple_binary(whole, LONGEST);
	free(whole);
	return verdict.state == PROXY_HEADER_BAD;
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t length)
{
	struct proxy_header header = { 0 };
	struct verdict wanted;
	enum proxy_header_state state;
	size_t taken, piece;
	uint8_t *bytes;

	if (length < 2)
		return 0;
	piece = (input[0] & 0x7f) == 0 ? length : input[0] & 0x7f;
	length--;
	bytes = malloc(length);
	if (bytes == NULL)
		return 0;
	memcpy(bytes, input + 1, length);
	if (input[0] & 0x80)
		mend_checksum(bytes, length);
	wanted = bytes[0] == '\r' ? simple_binary(bytes, length) : simple_line(bytes, length);
	state = read_pieces(&header, bytes, length, piece, &taken);
	if (wanted.state == PROXY_HEADER_MORE && state == PROXY_HEADER_BAD && bytes[0] == '\r'
	    && is_bad_when_whole(bytes, length))
		wanted.state = PROXY_HEADER_BAD;
	if (state != wanted.state || (state == PROXY_HEADER_BAD) != (header.wrong != NULL))
		abort();
	if (state == PROXY_HEADER_DONE) {
		if (taken != wanted.length || header.carried != wanted.carried
		    || !same_address(&header.source, &wanted.source)
		    || !same_address(&header.destination, &wanted.destination))
			abort();
		write_again(&header);
	}
	free(bytes);
	return 0;
}
