/* proxy_header.h - the header of the PROXY protocol, version 1 or 2: whose connection it is. */
#ifndef TWINED_NET_PROXY_HEADER_H
#define TWINED_NET_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/address.h"

/* The longest header of version 1, and the longest that is written. */
enum { PROXY_HEADER_MAX = 107 };

/*
 * Writes a header of that version, 1 or 2; returns its length. destination is where the source has
 * connected to. When the two are of different families, the IPv4 address is written as the IPv6
 * address it is mapped to. Without two IP addresses (NULL, or family 0 for unix) it is a header
 * that names nobody, which every receiver has to accept: LOCAL, in version 1 UNKNOWN.
 */
size_t proxy_header_write(int version, const union peer_address *source,
			  const union peer_address *destination,
			  uint8_t bytes[static PROXY_HEADER_MAX]);

enum proxy_header_state { PROXY_HEADER_MORE, PROXY_HEADER_DONE, PROXY_HEADER_BAD };

/*
 * A header that is being read, in whatever pieces it comes; all zero before the first. Of version
 * 2, which may be 65,551 bytes long, only the addresses are kept.
 */
struct proxy_header {
	/* Once it is done. */
	union peer_address source, destination;	/* IPv4 unmapped; family 0: of unix sockets */
	bool carried;			/* it names the two; else the real ones count */
	/* Once it is bad: what is wrong with it, as "a wrong checksum". */
	const char *wrong;

	/* The reader's own. */
	uint32_t taken;			/* bytes of it so far */
	uint32_t length;		/* version 2: of all of it, once that is known */
	uint32_t tlvs_at;		/* where the TLVs begin */
	uint32_t crc, checksum;		/* CRC-32C of all, and what the checksum's TLV says */
	bool has_checksum;
	bool opaque;			/* what follows is no TLVs, and need not be */
	/* type and length of a TLV; how many of the three are there */
	uint8_t tlv[3], tlv_head;
	uint16_t tlv_left;		/* bytes of its value that are to come */
	uint8_t begin[PROXY_HEADER_MAX + 1];	/* all of version 1; of version 2 up to the TLVs */
};

/*
 * Reads on; *taken is set to how many of the bytes are the header's: all of them until it is done
 * or bad. Not to be called again then. Bytes behind the header are not looked at.
 */
enum proxy_header_state proxy_header_read(struct proxy_header *header, const uint8_t *bytes,
					  size_t length, size_t *taken);

#endif
