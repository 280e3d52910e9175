/* test_datagram_run.c - many datagrams by few messages: each arrives whole, as itself, in order. */
#include "net/datagram_run.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { PIECES = 32, ROUNDS = 2000, LARGEST = 1400 };

/* A sender that is connected to a receiver. */
struct pair {
	int sender, receiver;
	uint16_t segment_max;
	struct sockaddr_in to;
};

static int
make_pair(void **state)
{
	static struct pair pair;
	socklen_t length = sizeof pair.to;

	pair = (struct pair){ .segment_max = UINT16_MAX, .to = { .sin_family = AF_INET } };
	pair.to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	pair.receiver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	pair.sender = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	*state = &pair;
	return bind(pair.receiver, (struct sockaddr *)&pair.to, sizeof pair.to) < 0
	       || getsockname(pair.receiver, (struct sockaddr *)&pair.to, &length) < 0
	       || connect(pair.sender, (struct sockaddr *)&pair.to, sizeof pair.to) < 0;
}

static int
close_pair(void **state)
{
	struct pair *pair = *state;

	close(pair->sender);
	close(pair->receiver);
	return 0;
}

/* A reproducible random number below a bound. */
static unsigned
draw(unsigned bound)
{
	static uint32_t seed = 1;

	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % bound;
}

/* Sends pieces of these lengths and sees them arrive. */
static void
send_and_receive(const struct pair *pair, const struct datagram_way *way, const size_t *lengths,
		 unsigned count)
{
	static uint8_t bytes[PIECES][65536], received[65536];
	struct iovec pieces[PIECES];

	for (unsigned i = 0; i < count; i++) {
		for (size_t j = 0; j < lengths[i]; j++)
			bytes[i][j] = (uint8_t)draw(256);
		pieces[i] = (struct iovec){ .iov_base = bytes[i], .iov_len = lengths[i] };
	}
	assert_int_equal(datagram_run_send(way, pieces, count), count);
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(recv(pair->receiver, received, sizeof received, 0), lengths[i]);
		assert_memory_equal(received, bytes[i], lengths[i]);
	}
	assert_int_equal(recv(pair->receiver, received, sizeof received, 0), -1);
}

static void
random_lengths(size_t lengths[static PIECES], unsigned *count)
{
	size_t length = draw(LARGEST);

	*count = 1 + draw(PIECES);
	for (unsigned i = 0; i < *count; i++) {
		/* Mostly runs of one length, some of them empty. */
		if (draw(6) == 0)
			length = draw(4) == 0 ? 0 : draw(LARGEST);
		lengths[i] = length;
	}
}

static void
any_mixture_arrives_as_it_was(void **state)
{
	struct pair *pair = *state;
	const struct datagram_way way = { .fd = pair->sender, .segment_max = &pair->segment_max };
	size_t lengths[PIECES];
	unsigned count;

	for (unsigned i = 0; i < ROUNDS; i++) {
		random_lengths(lengths, &count);
		send_and_receive(pair, &way, lengths, count);
	}
	assert_int_equal(pair->segment_max, UINT16_MAX);
}

static void
it_names_the_receiver_and_the_source(void **state)
{
	struct pair *pair = *state;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo))] = { 0 };
	struct cmsghdr *header = (struct cmsghdr *)control;
	struct in_pktinfo source = { .ipi_spec_dst.s_addr = htonl(INADDR_LOOPBACK + 4) };
	const struct datagram_way way = {
		.fd = fd,
		.name = &pair->to,
		.name_length = sizeof pair->to,
		.control = control,
		.control_length = sizeof control,
		.segment_max = &pair->segment_max,
	};
	static const size_t lengths[] = { 100, 100, 100, 7 };
	struct sockaddr_in from;
	socklen_t length = sizeof from;
	uint8_t byte = 1;
	struct iovec piece = { .iov_base = &byte, .iov_len = 1 };

	header->cmsg_level = IPPROTO_IP;
	header->cmsg_type = IP_PKTINFO;
	header->cmsg_len = CMSG_LEN(sizeof source);
	memcpy(CMSG_DATA(header), &source, sizeof source);
	send_and_receive(pair, &way, lengths, 4);
	assert_int_equal(datagram_run_send(&way, &piece, 1), 1);
	assert_int_equal(recvfrom(pair->receiver, &byte, 1, 0, (void *)&from, &length), 1);
	assert_int_equal(ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK + 4);
	close(fd);
}

static void
where_messages_are_not_cut_up_datagrams_go_one_by_one(void **state)
{
	struct pair *pair = *state;
	const struct datagram_way way = { .fd = pair->sender, .segment_max = &pair->segment_max };
	static const size_t lengths[] = { 900, 900, 900, 20, 20, 900, 900 };
	int yes = 1;

	/* The kernel refuses to cut up what has no checksum. */
	assert_int_equal(setsockopt(pair->sender, SOL_SOCKET, SO_NO_CHECK, &yes, sizeof yes), 0);
	send_and_receive(pair, &way, lengths, 7);
	assert_true(pair->segment_max < 20);
}

static void
the_largest_go_one_by_one(void **state)
{
	struct pair *pair = *state;
	const struct datagram_way way = { .fd = pair->sender, .segment_max = &pair->segment_max };
	static const size_t lengths[] = { 65507, 40000 };
	int room = 1 << 20;

	setsockopt(pair->receiver, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	send_and_receive(pair, &way, lengths, 2);
}

static void
it_stops_at_what_cannot_be_sent(void **state)
{
	struct pair *pair = *state;
	const struct datagram_way way = { .fd = pair->sender, .segment_max = &pair->segment_max };
	static uint8_t bytes[65536];
	struct iovec pieces[] = { { bytes, 10 }, { bytes, 65508 }, { bytes, 10 } };

	assert_int_equal(datagram_run_send(&way, pieces, 3), 1);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(datagram_run_send(&way, pieces + 1, 2), 0);
	assert_int_equal(errno, EMSGSIZE);
	assert_int_equal(datagram_run_send(&way, pieces + 2, 1), 1);
}

static void
unix_sockets_get_each_by_itself(void **state)
{
	int fds[2];
	uint16_t none = 0;
	struct pair pair;
	struct datagram_way way;
	static const size_t lengths[] = { 5, 5, 5, 0, 1 };

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	pair = (struct pair){ .receiver = fds[1] };
	way = (struct datagram_way){ .fd = fds[0], .segment_max = &none };
	send_and_receive(&pair, &way, lengths, 5);
	close(fds[0]);
	close(fds[1]);
}

#define PAIR_TEST(name) cmocka_unit_test_setup_teardown(name, make_pair, close_pair)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		PAIR_TEST(any_mixture_arrives_as_it_was),
		PAIR_TEST(it_names_the_receiver_and_the_source),
		PAIR_TEST(where_messages_are_not_cut_up_datagrams_go_one_by_one),
		PAIR_TEST(the_largest_go_one_by_one),
		PAIR_TEST(it_stops_at_what_cannot_be_sent),
		cmocka_unit_test(unix_sockets_get_each_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
