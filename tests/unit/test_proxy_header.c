/* test_proxy_header.c - PROXY headers: written to the byte, read in any pieces, refused if
 * wrong. */
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

enum { SIGNATURE_LENGTH = 12, FIXED = 16, LONGEST = FIXED + 65535 };

/* "192.0.2.1" or "2001:db8::1"; "" is a unix peer. */
static union peer_address
ip(const char *text, unsigned port)
{
	union peer_address address = { 0 };

	if (inet_pton(AF_INET, text, &address.in.sin_addr) == 1)
		address.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &address.in6.sin6_addr) == 1)
		address.sa.sa_family = AF_INET6;
	else
		assert_string_equal(text, "");
	address.in.sin_port = htons((uint16_t)port);
	return address;
}

static void
assert_ip(const union peer_address *found, const char *text, unsigned port)
{
	union peer_address wanted = ip(text, port);
	char found_text[ADDRESS_TEXT_MAX], wanted_text[ADDRESS_TEXT_MAX];

	assert_string_equal(peer_format(ADDRESS_TCP, found, found_text),
			    peer_format(ADDRESS_TCP, &wanted, wanted_text));
}

/* Some bytes, and room for more. */
struct bytes {
	size_t length;
	uint8_t at[LONGEST + 16];
};

static void
add(struct bytes *bytes, const void *more, size_t length)
{
	assert_true(bytes->length + length <= sizeof bytes->at);
	memcpy(bytes->at + bytes->length, more, length);
	bytes->length += length;
}

/* The fixed part of version 2. */
static void
begin(struct bytes *bytes, uint8_t command, uint8_t family, size_t length)
{
	const uint8_t rest[4] = { command, family, (uint8_t)(length >> 8), (uint8_t)length };

	bytes->length = 0;
	add(bytes, SIGNATURE, SIGNATURE_LENGTH);
	add(bytes, rest, sizeof rest);
}

static void
add_tlv(struct bytes *bytes, uint8_t type, const void *value, size_t length)
{
	const uint8_t head[3] = { type, (uint8_t)(length >> 8), (uint8_t)length };

	add(bytes, head, sizeof head);
	add(bytes, value, length);
}

/* From 192.0.2.1:1000 to 192.0.2.2:80. */
static const uint8_t tcp4[12] = { 192, 0, 2, 1, 192, 0, 2, 2, 1000 >> 8, 1000 & 255, 0, 80 };

/* The plain algorithm of RFC 9260: one bit at a time, of the whole at once. */
static uint32_t
checksum_of(const struct bytes *bytes)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < bytes->length; i++) {
		crc ^= bytes->at[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	return ~crc;
}

/* Puts the checksum where four bytes for it are 0. */
static void
set_checksum(struct bytes *bytes, size_t offset)
{
	uint32_t checksum = htonl(checksum_of(bytes));

	memcpy(bytes->at + offset, &checksum, sizeof checksum);
}

/* Feeds pieces of a buffer of exactly their size, so that nothing behind can be looked at. */
static enum proxy_header_state
feed(struct proxy_header *header, const uint8_t *bytes, size_t length, size_t *taken)
{
	uint8_t *copy = malloc(length + 1);
	enum proxy_header_state state;

	assert_non_null(copy);
	memcpy(copy + 1, bytes, length);
	state = proxy_header_read(header, copy + 1, length, taken);
	free(copy);
	return state;
}

/*
 * Reads pieces of so many bytes, the first one of another size, up to the end of header or bytes.
 */
static enum proxy_header_state
read_pieces(struct proxy_header *header, const struct bytes *bytes, size_t first, size_t piece,
	    size_t *taken)
{
	enum proxy_header_state state = PROXY_HEADER_MORE;
	size_t at = 0, part;

	*header = (struct proxy_header){ 0 };
	for (size_t next = first; at < bytes->length && state == PROXY_HEADER_MORE; next = piece) {
		if (next > bytes->length - at)
			next = bytes->length - at;
		state = feed(header, bytes->at + at, next, &part);
		assert_true(state != PROXY_HEADER_MORE || part == next);
		at += part;
	}
	*taken = at;
	return state;
}

/*
 * However the bytes are cut, the same comes out: the state, what is named or what is wrong, and how
 * many of them are the header's.
 */
static enum proxy_header_state
read_everyhow(struct proxy_header *header, const struct bytes *bytes, size_t *taken)
{
	enum proxy_header_state state = read_pieces(header, bytes, bytes->length, 1, taken);

	for (size_t first = 0; first <= bytes->length; first++) {
		for (unsigned small = 0; small < 2; small++) {
			struct proxy_header other;
			size_t other_taken;

			if (small && first > 600)
				continue;	/* byte by byte from the start is enough of those */
			assert_int_equal(read_pieces(&other, bytes, first,
						     small ? 1 : bytes->length, &other_taken),
					 state);
			assert_int_equal(other_taken, *taken);
			assert_int_equal(other.carried, header->carried);
			assert_ptr_equal(other.wrong, header->wrong);
			assert_memory_equal(&other.source, &header->source, sizeof other.source);
			assert_memory_equal(&other.destination, &header->destination,
					    sizeof other.destination);
		}
	}
	return state;
}

/* The header is read, and the payload behind it is not. NULL: it names nobody. */
static void
assert_reads(const struct bytes *bytes, const char *source, unsigned source_port,
	     const char *destination, unsigned destination_port)
{
	static const char payload[] = "\r\nPROXY TCP4 payload\r\n";
	static struct bytes all;
	struct proxy_header header;
	size_t taken;

	all = *bytes;
	assert_int_equal(read_everyhow(&header, &all, &taken), PROXY_HEADER_DONE);
	assert_int_equal(taken, bytes->length);
	if (all.length + sizeof payload <= sizeof all.at)
		add(&all, payload, sizeof payload);
	assert_int_equal(read_everyhow(&header, &all, &taken), PROXY_HEADER_DONE);
	assert_int_equal(taken, bytes->length);
	assert_int_equal(header.carried, source != NULL);
	assert_ip(&header.source, source != NULL ? source : "", source_port);
	assert_ip(&header.destination, source != NULL ? destination : "", destination_port);
}

/* Bad, for this reason, and not later than with its last byte. */
static void
assert_bad(const struct bytes *bytes, const char *wrong)
{
	struct proxy_header header;
	size_t taken;

	assert_int_equal(read_everyhow(&header, bytes, &taken), PROXY_HEADER_BAD);
	assert_string_equal(header.wrong, wrong);
}

static void
assert_unfinished(const struct bytes *bytes)
{
	struct proxy_header header;
	size_t taken;

	assert_int_equal(read_everyhow(&header, bytes, &taken), PROXY_HEADER_MORE);
	assert_int_equal(taken, bytes->length);
}

static struct bytes line;

/* Of a line that is a C string. */
static const struct bytes *
of(const char *text)
{
	line.length = 0;
	add(&line, text, strlen(text));
	return &line;
}

#define OF_LITERAL(text) (line.length = 0, add(&line, text, sizeof text - 1), &line)

static void
assert_writes(int version, const union peer_address *source, const union peer_address *destination,
	      const void *wanted, size_t length)
{
	uint8_t bytes[PROXY_HEADER_MAX];

	assert_int_equal(proxy_header_write(version, source, destination, bytes), length);
	assert_memory_equal(bytes, wanted, length);
}

static void
version_1_is_written(void **state)
{
	union peer_address a = ip("192.0.2.1", 1), b = ip("255.255.255.255", 65535);
	union peer_address c = ip("2001:db8::1", 0);
	union peer_address d = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 443);
	union peer_address mapped = ip("::ffff:192.0.2.7", 9), compatible = ip("::192.0.2.7", 9);
	union peer_address unix_peer = { 0 };
	const char *text;

	(void)state;
	text = "PROXY TCP4 192.0.2.1 255.255.255.255 1 65535\r\n";
	assert_writes(1, &a, &b, text, strlen(text));
	text = "PROXY TCP6 2001:db8::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 0 443\r\n";
	assert_writes(1, &c, &d, text, strlen(text));
	/* Of both families, IPv6 it is, in hexadecimal throughout. */
	text = "PROXY TCP6 2001:db8::1 ::ffff:ffff:ffff 0 65535\r\n";
	assert_writes(1, &c, &b, text, strlen(text));
	text = "PROXY TCP6 ::ffff:c000:201 2001:db8::1 1 0\r\n";
	assert_writes(1, &a, &c, text, strlen(text));
	text = "PROXY TCP6 ::ffff:c000:207 ::c000:207 9 9\r\n";
	assert_writes(1, &mapped, &compatible, text, strlen(text));
	text = "PROXY UNKNOWN\r\n";
	assert_writes(1, NULL, NULL, text, strlen(text));
	assert_writes(1, &unix_peer, &a, text, strlen(text));
	assert_writes(1, &a, &unix_peer, text, strlen(text));
}

static void
version_2_is_written(void **state)
{
	union peer_address a = ip("192.0.2.1", 1000), b = ip("192.0.2.2", 80);
	union peer_address c = ip("2001:db8::1", 0x1234), unix_peer = { 0 };
	static const char local[] = SIGNATURE "\x20\0\0";
	static const char mixed[] = SIGNATURE "\x21\x21\0\x24"
					      "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
					      "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x02"
					      "\x12\x34\0\x50";
	struct bytes *wanted = calloc(1, sizeof *wanted);

	(void)state;
	begin(wanted, 0x21, 0x11, sizeof tcp4);
	add(wanted, tcp4, sizeof tcp4);
	assert_writes(2, &a, &b, wanted->at, wanted->length);
	assert_writes(2, &c, &b, mixed, sizeof mixed - 1);
	assert_writes(2, NULL, NULL, local, sizeof local);
	assert_writes(2, &unix_peer, &unix_peer, local, sizeof local);
	assert_writes(2, &a, NULL, local, sizeof local);
	free(wanted);
}

static void
what_is_written_is_read(void **state)
{
	static const char *const texts[] = {
		"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "fe80::1:2:3:4",
		"1111:2222:3333:4444:5555:6666:7777:8888",
	};
	static const unsigned ports[] = { 0, 1, 80, 65535 };
	enum { COUNT = sizeof texts / sizeof texts[0] };

	(void)state;
	for (int version = 1; version <= 2; version++) {
		for (unsigned i = 0; i < COUNT * COUNT; i++) {
			const char *from = texts[i / COUNT], *to = texts[i % COUNT];
			unsigned from_port = ports[i % 4], to_port = ports[i / 4 % 4];
			union peer_address source = ip(from, from_port);
			union peer_address destination = ip(to, to_port);

			line.length = proxy_header_write(version, &source, &destination, line.at);
			assert_reads(&line, from, from_port, to, to_port);
		}
	}
}

static void
lines_are_read(void **state)
{
	(void)state;
	assert_reads(of("PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n"), "192.0.2.1", 1000,
		     "192.0.2.2", 80);
	assert_reads(of("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"), "0.0.0.0", 0,
		     "255.255.255.255", 65535);
	assert_reads(of("PROXY TCP6 2001:DB8::a ::1 1 2\r\n"), "2001:db8::a", 1, "::1", 2);
	assert_reads(of("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535,
		     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);
	/* A mapped address is the IPv4 address it stands for, however it is written. */
	assert_reads(of("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2\r\n"), "192.0.2.1", 1,
		     "192.0.2.2", 2);
}

static void
lines_of_unknown_say_nothing(void **state)
{
	static const char longest[] = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
				      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";

	(void)state;
	assert_int_equal(strlen(longest), PROXY_HEADER_MAX);
	assert_reads(of("PROXY UNKNOWN\r\n"), NULL, 0, NULL, 0);
	assert_reads(of("PROXY UNKNOWN \r\n"), NULL, 0, NULL, 0);
	assert_reads(of("PROXY UNKNOWN 192.0.2.1 192.0.2.2 1000 80\r\n"), NULL, 0, NULL, 0);
	assert_reads(of(longest), NULL, 0, NULL, 0);
	/* Whatever stands before the CR LF. */
	assert_reads(OF_LITERAL("PROXY UNKNOWN \0\n\r\r\xff\r\n"), NULL, 0, NULL, 0);
	assert_reads(of("PROXY UNKNOWN\r\r\n"), NULL, 0, NULL, 0);
}

static void
lines_that_are_wrong_are_bad(void **state)
{
	static const char no_header[] = "it is no PROXY header";
	static const char end[] = "a line that does not end in CR and LF";
	static const char protocol[] = "another protocol than TCP4, TCP6 and UNKNOWN";
	static const char fields[] = "other than four fields behind its protocol";
	static const char v4[] = "an address that is not an IPv4 address";
	static const char v6[] = "an address that is not an IPv6 address";
	static const char port[] = "a port that is not a number of 0 to 65535";
	static const struct {
		const char *text, *wrong;
	} lines[] = {
		{ "GET / HTTP/1.1\r\n", no_header },
		{ "POST / HTTP/1.1\r\n", no_header },
		{ "PROXYING", no_header },
		{ "PROXY\tTCP4 192.0.2.1 192.0.2.2 1 2\r\n", no_header },
		{ "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", no_header },
		{ "PROXY\r\n", no_header },
		{ "\n", no_header },
		{ " PROXY UNKNOWN\r\n", no_header },
		{ "\x16\x03\x01", no_header },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", end },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r ", end },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r", end },
		{ "PROXY UNKNOWN\n", end },
		{ "PROXY UNKNOW\n", end },
		{ "PROXY \r\n", protocol },
		{ "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n", protocol },
		{ "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", protocol },
		{ "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", protocol },
		{ "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n", protocol },
		{ "PROXY UNKNOWNS\r\n", protocol },
		{ "PROXY UNKNOWN\t\r\n", protocol },
		{ "PROXY TCP4\r\n", fields },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", fields },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", fields },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", fields },
		{ "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n", fields },
		{ "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n", fields },
		{ "PROXY TCP4  192.0.2.1 1 2\r\n", v4 },
		{ "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", v4 },
		{ "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", v4 },
		{ "PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n", v4 },
		{ "PROXY TCP4 192.0.2.1.1 192.0.2.2 1 2\r\n", v4 },
		{ "PROXY TCP4 0x7f000001 192.0.2.2 1 2\r\n", v4 },
		{ "PROXY TCP4 ::1 ::2 1 2\r\n", v4 },
		{ "PROXY TCP4 localhost 192.0.2.2 1 2\r\n", v4 },
		{ "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", v6 },
		{ "PROXY TCP6 ::1 192.0.2.2 1 2\r\n", v6 },
		{ "PROXY TCP6 :: :: 1 :2\r\n", port },
		{ "PROXY TCP6 1::2::3 ::2 1 2\r\n", v6 },
		{ "PROXY TCP6 1:2:3:4:5:6:7 ::2 1 2\r\n", v6 },
		{ "PROXY TCP6 12345:: ::2 1 2\r\n", v6 },
		{ "PROXY TCP6 fe80::1%lo ::2 1 2\r\n", v6 },
		{ "PROXY TCP6 [::1] ::2 1 2\r\n", v6 },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", port },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 99999\r\n", port },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", port },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 00\r\n", port },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", port },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", port },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 1 0x2\r\n", port },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2 4294967297 2\r\n", port },
		{ "PROXY TCP4 192.0.2.1 192.0.2.2  \r\n", port },
	};

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		assert_bad(of(lines[i].text), lines[i].wrong);
	assert_bad(OF_LITERAL("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"), "a NUL in its line");
	assert_bad(OF_LITERAL("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\0\r\n"), "a NUL in its line");
}

static void
lines_are_bounded(void **state)
{
	static const char *const begins[] = { "PROXY UNKNOWN ", "PROXY TCP6 " };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct proxy_header header;
		size_t taken;

		of(begins[i]);
		while (line.length < PROXY_HEADER_MAX + 50)
			add(&line, "1", 1);
		assert_bad(&line, "a line of more than 107 bytes");
		assert_int_equal(read_everyhow(&header, &line, &taken), PROXY_HEADER_BAD);
		assert_int_equal(taken, PROXY_HEADER_MAX);
	}
	/* It is known to be bad with the first byte that is. */
	for (unsigned i = 0; i < 6; i++) {
		line.length = 0;
		add(&line, "PROXY ", i);
		assert_unfinished(&line);
		add(&line, "x", 1);
		assert_bad(&line, "it is no PROXY header");
	}
}

static void
binary_addresses_are_read(void **state)
{
	struct bytes *bytes = calloc(1, sizeof *bytes);
	uint8_t addresses[216];

	(void)state;
	for (uint8_t socket_type = 1; socket_type <= 2; socket_type++) { /* stream, datagram */
		begin(bytes, 0x21, 0x10 | socket_type, sizeof tcp4);
		add(bytes, tcp4, sizeof tcp4);
		assert_reads(bytes, "192.0.2.1", 1000, "192.0.2.2", 80);

		memset(addresses, 0, sizeof addresses);
		addresses[0] = 0x20;
		addresses[15] = 1;
		addresses[26] = addresses[27] = 0xff;	/* ::ffff:9.0.0.2 */
		addresses[28] = 9;
		addresses[31] = 2;
		addresses[33] = 3;
		addresses[34] = 4;
		begin(bytes, 0x21, 0x20 | socket_type, 36);
		add(bytes, addresses, 36);
		assert_reads(bytes, "2000::1", 3, "9.0.0.2", 1024);

		memset(addresses, 'x', sizeof addresses);
		begin(bytes, 0x21, 0x30 | socket_type, 216);
		add(bytes, addresses, 216);
		assert_reads(bytes, "", 0, "", 0);
	}
	free(bytes);
}

static void
headers_that_name_nobody_are_skipped(void **state)
{
	static const uint8_t families[] = { 0x00, 0x01, 0x11, 0x12, 0x21,
					    0x31, 0x10, 0x20, 0x4f, 0xff };
	struct bytes *bytes = calloc(1, sizeof *bytes);
	uint8_t block[300];

	(void)state;
	memset(block, 0xee, sizeof block);
	for (size_t i = 0; i < sizeof families; i++) {
		for (size_t length = 0; length <= sizeof block; length += length < 40 ? 1 : 65) {
			begin(bytes, 0x20, families[i], length);
			add(bytes, block, length);
			assert_reads(bytes, NULL, 0, NULL, 0);
		}
	}
	/* PROXY, but of no family or no kind of socket. */
	for (size_t i = 0; i < sizeof families; i++) {
		if ((families[i] & 0xf0) != 0 && (families[i] & 0x0f) != 0)
			continue;
		begin(bytes, 0x21, families[i], 5);
		add(bytes, block, 5);
		assert_reads(bytes, NULL, 0, NULL, 0);
	}
	free(bytes);
}

static void
tlvs_are_skipped(void **state)
{
	static const uint8_t ssl[] = { 1, 0, 0, 0, 0, 0x21, 0, 3, 'T', 'L', 'S' };
	struct bytes *bytes = calloc(1, sizeof *bytes);

	(void)state;
	begin(bytes, 0x21, 0x11, sizeof tcp4 + 3 + 2 + 3 + 3 + 6 + 3 + sizeof ssl + 3);
	add(bytes, tcp4, sizeof tcp4);
	add_tlv(bytes, 0x01, "h2", 2);
	add_tlv(bytes, 0x04, "", 0);
	add_tlv(bytes, 0x04, "\x03\0\x04\xff\xff\xff", 6); /* a NOOP that looks like a checksum */
	add_tlv(bytes, 0x20, ssl, sizeof ssl);
	add_tlv(bytes, 0xff, "", 0);
	assert_reads(bytes, "192.0.2.1", 1000, "192.0.2.2", 80);
	free(bytes);
}

/* Cut at places enough: every one would be 4,000 million bytes. */
static void
the_longest_header_is_read_in_constant_memory(void **state)
{
	struct bytes *bytes = calloc(1, sizeof *bytes);
	struct proxy_header header;
	size_t taken, value = 65535 - sizeof tcp4 - 3;
	uint8_t *fill = calloc(1, value);

	(void)state;
	assert_true(sizeof header < 256);
	begin(bytes, 0x21, 0x11, 65535);
	add(bytes, tcp4, sizeof tcp4);
	add_tlv(bytes, 0xe0, fill, value);
	assert_int_equal(bytes->length, LONGEST);
	add(bytes, "payload", 7);
	for (size_t piece = 1; piece <= bytes->length; piece = piece * 3 + 1) {
		assert_int_equal(read_pieces(&header, bytes, 20, piece, &taken), PROXY_HEADER_DONE);
		assert_int_equal(taken, LONGEST);
		assert_ip(&header.source, "192.0.2.1", 1000);
	}
	bytes->length = LONGEST - 1;
	assert_int_equal(read_pieces(&header, bytes, 20, 7000, &taken), PROXY_HEADER_MORE);
	free(fill);
	free(bytes);
}

static void
binary_headers_that_are_wrong_are_bad(void **state)
{
	struct bytes *bytes = calloc(1, sizeof *bytes);

	(void)state;
	for (unsigned i = 0; i < SIGNATURE_LENGTH; i++) {
		begin(bytes, 0x21, 0x11, sizeof tcp4);
		bytes->at[i] ^= 0x40;
		bytes->length = i + 1;
		assert_bad(bytes, "it is no PROXY header");
	}
	for (unsigned command = 0; command < 256; command++) {
		begin(bytes, (uint8_t)command, 0x11, sizeof tcp4);
		if (command >> 4 != 2)
			assert_bad(bytes, "another version than 1 and 2");
		else if (command > 0x21)
			assert_bad(bytes, "an unknown command");
		else
			assert_unfinished(bytes);
	}
	for (unsigned family = 0; family < 256; family++) {
		begin(bytes, 0x21, (uint8_t)family, 300);
		if (family >> 4 > 3 || (family & 15) > 2)
			assert_bad(bytes, "an unknown address family or socket type");
		else
			assert_unfinished(bytes);
	}
	for (unsigned length = 0; length < 216; length++) {
		begin(bytes, 0x21, 0x31, length);
		assert_bad(bytes, "addresses that are longer than the header");
		begin(bytes, 0x21, 0x22, length);
		if (length < 36)
			assert_bad(bytes, "addresses that are longer than the header");
		begin(bytes, 0x21, 0x11, length);
		if (length < 12)
			assert_bad(bytes, "addresses that are longer than the header");
	}
	free(bytes);
}

static void
tlvs_that_are_wrong_are_bad(void **state)
{
	struct bytes *bytes = calloc(1, sizeof *bytes);

	(void)state;
	for (size_t left = 1; left < 3; left++) {
		begin(bytes, 0x21, 0x11, sizeof tcp4 + left);
		add(bytes, tcp4, sizeof tcp4);
		add(bytes, "\x04\0", left);
		assert_bad(bytes, "a TLV that is cut short");
	}
	for (size_t length = 3; length < 65536; length = length * 2 + 1) {
		const uint8_t longer[5] = { 0x04, (uint8_t)(length >> 8), (uint8_t)length };

		begin(bytes, 0x21, 0x11, sizeof tcp4 + 5);
		add(bytes, tcp4, sizeof tcp4);
		add(bytes, longer, sizeof longer);
		assert_bad(bytes, "a TLV that is longer than the header");
	}
	for (size_t length = 0; length < 8; length++) {
		if (length == 4)
			continue;
		begin(bytes, 0x21, 0x11, sizeof tcp4 + 3 + length);
		add(bytes, tcp4, sizeof tcp4);
		add_tlv(bytes, 0x03, "\0\0\0\0\0\0\0\0", length);
		assert_bad(bytes, "two checksums, or one that is not 4 bytes long");
	}
	begin(bytes, 0x21, 0x11, sizeof tcp4 + 14);
	add(bytes, tcp4, sizeof tcp4);
	add_tlv(bytes, 0x03, "\0\0\0\0", 4);
	add_tlv(bytes, 0x03, "\0\0\0\0", 4);
	assert_bad(bytes, "two checksums, or one that is not 4 bytes long");
	free(bytes);
}

static void
a_checksum_must_be_right(void **state)
{
	/* As HAProxy 2.6 has sent it. */
	static const char sent[] = SIGNATURE "\x21\x11\0\x16"
					     "\x7f\0\0\x01\x7f\0\0\x01\xc6\x62\x44\x05"
					     "\x03\0\x04\xc4\x0e\xdeR\x05\0";
	struct bytes *bytes = calloc(1, sizeof *bytes);

	(void)state;
	add(bytes, sent, sizeof sent);
	assert_reads(bytes, "127.0.0.1", 50786, "127.0.0.1", 17413);
	for (size_t bit = 8 * FIXED; bit < 8 * bytes->length; bit++) {
		size_t at = bit / 8, tlvs = FIXED + sizeof tcp4;

		if ((at >= tlvs && at < tlvs + 3) || at > tlvs + 7)
			continue;	/* the TLVs would be others */
		bytes->at[at] ^= (uint8_t)(1 << bit % 8);
		assert_bad(bytes, "a wrong checksum");
		bytes->at[at] ^= (uint8_t)(1 << bit % 8);
	}
	/* Wherever it stands. */
	for (size_t before = 0; before < 20; before++) {
		begin(bytes, 0x21, 0x11, sizeof tcp4 + 3 + before + 7 + 4);
		add(bytes, tcp4, sizeof tcp4);
		add_tlv(bytes, 0x04, "01234567890123456789", before);
		add_tlv(bytes, 0x03, "\0\0\0\0", 4);
		add_tlv(bytes, 0x05, "x", 1);
		set_checksum(bytes, bytes->length - 8);
		assert_reads(bytes, "192.0.2.1", 1000, "192.0.2.2", 80);
		bytes->at[bytes->length - 1] = 'y';
		assert_bad(bytes, "a wrong checksum");
	}
	/* Behind the names of unix sockets, and in a header that names nobody. */
	begin(bytes, 0x21, 0x31, 216 + 7);
	bytes->length += 216;
	add_tlv(bytes, 0x03, "\0\0\0\0", 4);
	set_checksum(bytes, bytes->length - 4);
	assert_reads(bytes, "", 0, "", 0);
	bytes->at[FIXED]++;
	assert_bad(bytes, "a wrong checksum");
	begin(bytes, 0x20, 0x00, 7);
	add_tlv(bytes, 0x03, "\0\0\0\0", 4);
	set_checksum(bytes, bytes->length - 4);
	assert_reads(bytes, NULL, 0, NULL, 0);
	bytes->at[bytes->length - 1]++;
	assert_bad(bytes, "a wrong checksum");
	/* What is no TLVs throughout has none. */
	for (size_t more = 1; more < 12; more++) {
		begin(bytes, 0x20, 0x00, 7 + more);
		add_tlv(bytes, 0x03, "\0\0\0\0", 4);
		add(bytes, "\x04\x01\x00\0\x03\0\x04wrong", more);
		assert_reads(bytes, NULL, 0, NULL, 0);
	}
	free(bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_1_is_written),
		cmocka_unit_test(version_2_is_written),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(lines_are_read),
		cmocka_unit_test(lines_of_unknown_say_nothing),
		cmocka_unit_test(lines_that_are_wrong_are_bad),
		cmocka_unit_test(lines_are_bounded),
		cmocka_unit_test(binary_addresses_are_read),
		cmocka_unit_test(headers_that_name_nobody_are_skipped),
		cmocka_unit_test(tlvs_are_skipped),
		cmocka_unit_test(the_longest_header_is_read_in_constant_memory),
		cmocka_unit_test(binary_headers_that_are_wrong_are_bad),
		cmocka_unit_test(tlvs_that_are_wrong_are_bad),
		cmocka_unit_test(a_checksum_must_be_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
