/* test_pump.c - a pump between devices and a stream: each cut of each call, orders of endings. */
/* read(2) and recv(2) are defined here: they must not be inline functions of the system's. */
#undef _FORTIFY_SOURCE
#include "net/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "far_ends.h"
#include "net/protocol.h"
#include "net/reactor.h"
#include "net/trail.h"
#include "turns.h"

enum { BOTH = PROTOCOL_READS | PROTOCOL_WRITES, WHOLE = -1, MUCH = 600 * 1024 };

/* What one of the calls that move bytes may still move before it is refused once; WHOLE: all. */
struct cut {
	int left;
	unsigned refused;
};
static struct cut read_cut, write_cut, send_cut, recv_cut, lines_cut;

static int waiting;			/* in a terminal, to be sent */
static bool waits_fail;

static struct device *device;
static struct pump *pump;
static int stream;			/* the transport's end; -1: closed */

/* How much a call may move now; 0 with errno: nothing. */
static size_t
cut_length(struct cut *cut, size_t length)
{
	if (cut->left == WHOLE)
		return length;
	if (cut->left == 0) {
		cut->left = WHOLE;
		cut->refused++;
		errno = EAGAIN;
		return 0;
	}
	if (length > (size_t)cut->left)
		length = (size_t)cut->left;
	cut->left -= (int)length;
	return length;
}

static bool
is_device(int fd)
{
	return device != NULL && fd == device_fd(device);
}

/* The calls of the pump and its device; ours go through whole, by other descriptors or names. */
ssize_t
read(int fd, void *bytes, size_t length)
{
	if (is_device(fd) && (length = cut_length(&read_cut, length)) == 0)
		return -1;
	return syscall(SYS_read, fd, bytes, length);
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
	if (is_device(fd) && (length = cut_length(&write_cut, length)) == 0)
		return -1;
	return syscall(SYS_write, fd, bytes, length);
}

ssize_t
send(int fd, const void *bytes, size_t length, int flags)
{
	if ((length = cut_length(&send_cut, length)) == 0)
		return -1;
	return syscall(SYS_sendto, fd, bytes, length, flags, NULL, 0);
}

ssize_t
recv(int fd, void *bytes, size_t length, int flags)
{
	if (!is_device(fd) && (length = cut_length(&recv_cut, length)) == 0)
		return -1;
	return syscall(SYS_recvfrom, fd, bytes, length, flags, NULL, NULL);
}

/* How much of what was written has not left yet. */
int
ioctl(int fd, unsigned long request, ...)
{
	va_list list;
	int *result;

	va_start(list, request);
	result = va_arg(list, int *);
	va_end(list);
	if (!is_device(fd) || request != TIOCOUTQ)
		return (int)syscall(SYS_ioctl, fd, request, result);
	*result = waiting;
	return 0;
}

/* libevent's: nothing more can be waited for. */
int
epoll_ctl(int set, int what, int fd, struct epoll_event *event)
{
	if (waits_fail && what == EPOLL_CTL_ADD) {
		errno = ENOMEM;
		return -1;
	}
	return (int)syscall(SYS_epoll_ctl, set, what, fd, event);
}

int
sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	if ((count = (unsigned)cut_length(&lines_cut, count)) == 0) {
		errno = ENOBUFS;
		return -1;
	}
	return (int)syscall(SYS_sendmmsg, fd, messages, count, flags);
}

static int
setup(void **state)
{
	read_cut = write_cut = send_cut = recv_cut = lines_cut = (struct cut){ .left = WHOLE };
	waiting = 0;
	waits_fail = false;
	device = NULL;
	stream = -1;
	if (far_ends_setup(state) != 0)
		return -1;
	reactor = reactor_new(0, REACTOR_AUTO);
	return reactor == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	reactor_free(reactor);
	return far_ends_teardown(state);
}

/* A pump for a device that has been opened. */
static void
begin_with(struct device *opened)
{
	assert_non_null(opened);
	device = opened;
	pump = pump_new(reactor, device, &stream);
	assert_non_null(pump);
	assert_null(pump_failure(pump));
}

static void
begin(const char *path, unsigned ways)
{
	static const struct file_place nowhere;
	const char *why = NULL;
	struct device *opened = device_open(path, ways, 0, &nowhere, &why);

	if (opened == NULL)
		fail_msg("%s: %s", path, why);
	begin_with(opened);
}

static void
end(void)
{
	pump_free(pump);
	device = NULL;
	if (stream >= 0)
		close(stream);
	stream = -1;
}

/* Puts bytes into a descriptor that has room for them. */
static void
put_bytes(int fd, const char *bytes, size_t length)
{
	assert_int_equal(write(fd, bytes, length), length);
}

static void
put(int fd, const char *text)
{
	put_bytes(fd, text, strlen(text));
}

/* Turns until the stream has ended, with nothing more in it. */
static void
assert_stream_ends(void)
{
	char byte;
	ssize_t length;

	TURN_UNTIL((length = read(stream, &byte, 1)) >= 0 || errno != EAGAIN);
	assert_int_equal(length, 0);
}

static int
fifo_reader(const char *path)
{
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static int
fifo_writer(const char *path)
{
	return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

/* A byte of a long text that has no period that a buffer could have. */
static char
nth_byte(size_t n)
{
	return (char)('a' + n * n % 251 % 26);
}

/* Writes of the long text, from `at` on, what a descriptor takes. */
static size_t
put_much(int fd, size_t at)
{
	static char text[64 * 1024];
	size_t total = 0;
	ssize_t part;

	do {
		for (size_t i = 0; i < sizeof text; i++)
			text[i] = nth_byte(at + total + i);
		part = write(fd, text, sizeof text);
		total += part > 0 ? (size_t)part : 0;
	} while (part > 0);
	return total;
}

/* Reads what there is now, which must be of the long text from `at` on. */
static size_t
take_much(int fd, size_t at)
{
	static char text[64 * 1024];
	size_t total = 0;
	ssize_t part;

	while ((part = read(fd, text, sizeof text)) > 0) {
		for (ssize_t i = 0; i < part; i++)
			assert_int_equal(text[i], nth_byte(at + total + (size_t)i));
		total += (size_t)part;
	}
	return total;
}

/* Puts in what is taken, until nothing has been for many turns; returns how much that was. */
static size_t
put_until_full(int fd)
{
	size_t total = 0;

	for (int idle = 0; idle < 20; idle++) {
		size_t part = put_much(fd, total);

		total += part;
		if (part > 0)
			idle = 0;
		turn();
		assert_true(total < MUCH);
	}
	return total;
}

static const char message[] = "one\ntwo three\nfour\n";
enum { MESSAGE_LENGTH = sizeof message - 1 };

static void
a_write_may_be_cut_anywhere(void **state)
{
	const char *path = far_fifo("fifo");
	int far = fifo_reader(path);

	(void)state;
	for (int cut = 0; cut <= MESSAGE_LENGTH; cut++) {
		begin(path, PROTOCOL_WRITES);
		write_cut.left = cut;
		put(stream, message);
		assert_comes(far, message);
		put(stream, "more\n");		/* refuses the last cut */
		assert_comes(far, "more\n");
		assert_int_equal(write_cut.refused, cut + 1);
		end();
	}
	close(far);
}

static void
what_comes_from_the_stream_may_be_cut_anywhere(void **state)
{
	const char *path = far_fifo("fifo");
	int far = fifo_reader(path);
	char begun[sizeof message] = "";

	(void)state;
	for (int cut = 1; cut < MESSAGE_LENGTH; cut++) {
		begin(path, PROTOCOL_WRITES);
		memcpy(begun, message, (size_t)cut);
		put(stream, begun);
		assert_comes(far, begun);
		put(stream, message + cut);
		assert_comes(far, message + cut);
		recv_cut.left = cut;
		put(stream, message);
		assert_comes(far, message);
		end();
	}
	close(far);
}

static void
a_read_may_be_cut_anywhere(void **state)
{
	const char *path = far_fifo("fifo");

	(void)state;
	for (int cut = 0; cut <= MESSAGE_LENGTH; cut++) {
		int far;

		begin(path, PROTOCOL_READS);
		far = fifo_writer(path);
		read_cut.left = cut;
		put(far, message);
		assert_comes(stream, message);
		put(far, message);
		assert_comes(stream, message);
		close(far);
		end();
	}
}

static void
what_the_stream_takes_may_be_cut_anywhere(void **state)
{
	const char *path = far_fifo("fifo");

	(void)state;
	for (int cut = 0; cut <= MESSAGE_LENGTH; cut++) {
		int far;

		begin(path, PROTOCOL_READS);
		far = fifo_writer(path);
		send_cut.left = cut;
		put(far, message);
		assert_comes(stream, message);
		put(far, "more\n");
		assert_comes(stream, "more\n");
		assert_int_equal(send_cut.refused, cut + 1);
		close(far);
		end();
	}
}

static void
both_ways_may_be_cut_at_once(void **state)
{
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	for (int cut = 0; cut <= MESSAGE_LENGTH; cut++) {
		begin(path, BOTH);
		write_cut.left = read_cut.left = send_cut.left = recv_cut.left = cut;
		put(far, message);
		put(stream, message);
		assert_comes(stream, message);
		assert_comes(far, message);
		end();
	}
	close(far);
}

static void
a_file_may_be_cut_anywhere(void **state)
{
	const char *path = far_append("log", message);

	(void)state;
	for (int cut = 0; cut <= MESSAGE_LENGTH; cut++) {
		begin(path, PROTOCOL_READS);
		send_cut.left = cut;
		assert_comes(stream, message);
		end();
	}
}

static void
lines_are_datagrams_however_they_come(void **state)
{
	int far;
	char got[64];

	(void)state;
	for (int cut = 1; cut < MESSAGE_LENGTH; cut++) {
		begin_with(far_datagrams(&far));
		put_bytes(stream, message, (size_t)cut);
		turn();
		turn();
		put(stream, message + cut);
		shutdown(stream, SHUT_WR);
		assert_stream_ends();
		assert_int_equal(read(far, got, sizeof got), 4);
		assert_memory_equal(got, "one\n", 4);
		assert_int_equal(read(far, got, sizeof got), 10);
		assert_memory_equal(got, "two three\n", 10);
		assert_int_equal(read(far, got, sizeof got), 5);
		assert_memory_equal(got, "four\n", 5);
		assert_int_equal(read(far, got, sizeof got), -1);
		close(far);
		end();
	}
}

static void
a_line_without_an_end_is_sent_when_the_stream_ends(void **state)
{
	int far;
	char got[64];

	(void)state;
	begin_with(far_datagrams(&far));
	put(stream, "begun");
	for (int i = 0; i < 5; i++)
		turn();
	assert_int_equal(read(far, got, sizeof got), -1);
	shutdown(stream, SHUT_WR);
	assert_stream_ends();
	assert_int_equal(read(far, got, sizeof got), 5);
	close(far);
	end();
}

static void
a_line_that_is_longer_than_any_does_no_harm(void **state)
{
	static const char begun[1000] = "";	/* zeros are no line ends */
	static char got[200 * 1024];
	int far;
	ssize_t length;

	(void)state;
	begin_with(far_datagrams(&far));
	for (int sent = 0; sent < 300; turn())
		sent += write(stream, begun, sizeof begun) == sizeof begun;
	put(stream, "\nshort\n");
	do
		TURN_UNTIL((length = read(far, got, sizeof got)) > 0);
	while (length != 6);			/* before it, the tail of the long one */
	assert_memory_equal(got, "short\n", 6);
	close(far);
	end();
}

/* As a network card may say it: nobody tells when that is over. */
static void
datagrams_that_are_not_taken_are_tried_again_soon(void **state)
{
	int far;
	char byte;

	(void)state;
	begin_with(far_datagrams(&far));
	lines_cut.left = 1;
	put(stream, "one\ntwo\n");
	assert_comes(far, "one\n");
	assert_int_equal(lines_cut.refused, 1);
	for (int i = 0; i < 5; i++)
		turn();			/* the socket is writable, which says nothing */
	assert_int_equal(read(far, &byte, 1), -1);
	pass_ms(100);
	assert_comes(far, "two\n");
	close(far);
	end();
}

static void
a_device_is_not_read_faster_than_the_stream_is(void **state)
{
	const char *path = far_fifo("fifo");
	size_t total, taken = 0;
	int far;

	(void)state;
	begin(path, PROTOCOL_READS);
	far = fifo_writer(path);
	total = put_until_full(far);
	TURN_UNTIL((taken += take_much(stream, taken)) >= total);
	assert_int_equal(taken, total);
	close(far);
	end();
}

static void
the_stream_is_not_read_faster_than_the_device_takes_it(void **state)
{
	const char *path = far_fifo("fifo");
	int far = fifo_reader(path);
	size_t total, taken = 0;

	(void)state;
	begin(path, PROTOCOL_WRITES);
	total = put_until_full(stream);
	shutdown(stream, SHUT_WR);
	TURN_UNTIL((taken += take_much(far, taken)) >= total);
	assert_int_equal(taken, total);
	assert_stream_ends();
	close(far);
	end();
}

static void
little_is_on_its_way_to_a_slow_device(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	size_t terminal = 0, total, taken = 0;

	(void)state;
	begin(path, BOTH);
	terminal = far_fill(device_fd(device));
	total = put_until_full(stream);
	assert_in_range(total, 1, 14 * 1024);
	for (size_t zeros = 0; zeros < terminal;) {
		char part[4096];
		size_t most = terminal - zeros < sizeof part ? terminal - zeros : sizeof part;

		zeros += far_read(far, part, most);
	}
	TURN_UNTIL((taken += take_much(far, taken)) >= total);
	assert_int_equal(taken, total);
	close(far);
	end();
}

static void
what_is_left_is_written_when_the_stream_ends(void **state)
{
	const char *path = far_fifo("fifo");
	int far = fifo_reader(path);

	(void)state;
	for (int cut = 0; cut < MESSAGE_LENGTH; cut++) {
		begin(path, PROTOCOL_WRITES);
		write_cut.left = cut;
		put(stream, message);
		shutdown(stream, SHUT_WR);
		assert_stream_ends();
		assert_string_equal(far_take(far), message);
		assert_null(pump_failure(pump));
		end();
	}
	close(far);
}

/* Also what ends the line that the one before has left begun. */
static void
what_goes_behind_a_begun_line_may_be_cut_anywhere(void **state)
{
	static const char all[] = "\none\ntwo\n";
	struct trail *trail = trail_new();
	const char *path = far_fifo("fifo");
	int far = fifo_reader(path);

	(void)state;
	for (int cut = 0; cut < (int)sizeof all; cut++) {
		begin(path, PROTOCOL_WRITES);
		trail_set_inside(trail, true);
		device_leave_trail(device, trail);
		write_cut.left = cut;
		put(stream, "one\ntwo\n");
		assert_comes(far, all);
		assert_false(trail_is_inside(trail));
		write_cut.left = WHOLE;
		end();
	}
	trail_unref(trail);
	close(far);
}

/* Nobody knows how much of it has left. */
static void
what_a_terminal_has_not_sent_when_it_is_freed_is_cut(void **state)
{
	struct trail *trail = trail_new();
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	for (int left = 0; left < 2; left++) {
		begin(path, BOTH);
		device_leave_trail(device, trail);
		put(stream, message);
		assert_comes(far, message);
		waiting = left;
		end();
		assert_int_equal(trail_is_inside(trail), left);
	}
	trail_unref(trail);
	close(far);
}

/* The transport has gone, with its time-outs: nobody waits any more. */
static void
what_is_left_when_it_is_freed_is_tried_once(void **state)
{
	const char *path = far_fifo("fifo");
	int far = fifo_reader(path);

	(void)state;
	begin(path, PROTOCOL_WRITES);
	write_cut.left = 3;
	put(stream, message);
	TURN_UNTIL(write_cut.refused == 1);
	assert_string_equal(far_take(far), "one");
	end();
	assert_string_equal(far_take(far), message + 3);
	close(far);
}

static void
the_stream_ends_when_a_terminal_has_sent_all(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	char byte;

	(void)state;
	begin(path, BOTH);
	put(stream, message);
	waiting = 1;
	shutdown(stream, SHUT_WR);
	assert_comes(far, message);
	for (int i = 0; i < 5; i++) {
		pass_ms(100);
		turn();
		assert_int_equal(read(stream, &byte, 1), -1);
	}
	waiting = 0;
	pass_ms(100);
	assert_stream_ends();
	end();
	close(far);
}

static void
a_reader_of_a_fifo_that_goes_ends_the_stream(void **state)
{
	const char *path = far_fifo("fifo");
	int far = fifo_reader(path);

	(void)state;
	begin(path, PROTOCOL_WRITES);
	close(far);
	assert_stream_ends();
	assert_string_equal(pump_failure(pump), "Broken pipe");
	end();
}

static void
a_device_that_goes_while_it_is_full_ends_the_stream(void **state)
{
	const char *path = far_fifo("fifo");
	int far = fifo_reader(path);

	(void)state;
	begin(path, PROTOCOL_WRITES);
	put_until_full(stream);
	close(far);
	TURN_UNTIL(pump_failure(pump) != NULL);
	assert_string_equal(pump_failure(pump), "Broken pipe");
	end();
}

static void
what_a_terminal_has_said_before_it_was_hung_up_still_comes(void **state)
{
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	begin(path, BOTH);
	put(far, message);
	assert_comes(stream, message);
	send_cut.left = 3;
	put(far, message);
	TURN_UNTIL(send_cut.left == 0);		/* the rest is held now */
	close(far);
	put(stream, "lost\n");
	assert_comes(stream, message);
	assert_stream_ends();
	assert_non_null(pump_failure(pump));
	end();
}

static void
an_end_of_file_is_called_so(void **state)
{
	(void)state;
	begin("/dev/null", PROTOCOL_READS);
	assert_stream_ends();
	assert_string_equal(pump_failure(pump), "end of file");
	end();
}

static void
a_device_that_is_only_written_goes_on_whatever_it_says(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	char byte;

	(void)state;
	begin(path, PROTOCOL_WRITES);
	put(far, "noise\n");
	put(stream, message);
	assert_comes(far, message);
	assert_int_equal(read(stream, &byte, 1), -1);
	close(far);
	assert_stream_ends();
	end();
}

static void
a_file_is_followed(void **state)
{
	(void)state;
	begin(far_append("log", "one\n"), PROTOCOL_READS);
	assert_comes(stream, "one\n");
	for (int i = 0; i < 3; i++) {
		turn();
		far_append("log", "more\n");
		pass_ms(200);
		assert_comes(stream, "more\n");
	}
	rename(far_path("log"), far_path("log.1"));
	far_append("log.1", "last\n");
	far_append("log", "new\n");
	pass_ms(200);
	assert_comes(stream, "last\nnew\n");
	end();
}

static void
a_long_file_is_read_as_the_stream_takes_it(void **state)
{
	int file = open(far_path("log"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	size_t total = 0, taken = 0;

	(void)state;
	while (total < MUCH) {
		char byte = nth_byte(total);

		total += (size_t)write(file, &byte, 1);
	}
	close(file);
	begin(far_path("log"), PROTOCOL_READS);
	TURN_UNTIL((taken += take_much(stream, taken)) >= total);
	assert_int_equal(taken, total);
	end();
}

static void
a_file_that_is_written_has_all_when_the_stream_ends(void **state)
{
	(void)state;
	begin(far_path("log"), PROTOCOL_WRITES);
	put(stream, message);
	shutdown(stream, SHUT_WR);
	assert_stream_ends();
	assert_file("log", message);
	end();
}

static void
a_pump_that_is_halted_has_come_to_where_the_stream_has(void **state)
{
	(void)state;
	for (int cut = 0; cut < MESSAGE_LENGTH; cut++) {
		char got[sizeof message];

		unlink(far_path("log"));
		begin(far_append("log", message), PROTOCOL_READS);
		send_cut.left = cut;
		TURN_UNTIL(send_cut.left == 0);
		if (cut == 0)
			TURN_UNTIL(send_cut.refused == 1);
		assert_int_equal(pump_halt(pump).offset, cut);
		far_append("log", "more\n");
		for (int i = 0; i < 5; i++) {
			pass_ms(200);
			turn();
		}
		assert_int_equal(read(stream, got, sizeof got), cut == 0 ? -1 : cut);
		end();
	}
}

static void
one_that_is_halted_goes_on_writing(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	char byte;

	(void)state;
	begin(path, BOTH);
	assert_int_equal(pump_halt(pump).offset, 0);
	put(far, "not heard\n");
	put(stream, message);
	assert_comes(far, message);
	for (int i = 0; i < 5; i++)
		turn();
	assert_int_equal(read(stream, &byte, 1), -1);
	shutdown(stream, SHUT_WR);
	assert_stream_ends();
	close(far);
	end();
}

static void
what_cannot_be_waited_for_ends_the_stream(void **state)
{
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	begin(path, BOTH);
	send_cut.left = 3;
	put(far, message);
	waits_fail = true;
	TURN_UNTIL(pump_failure(pump) != NULL);
	assert_string_equal(pump_failure(pump), "Cannot allocate memory");
	assert_comes(stream, "one");
	assert_stream_ends();
	end();
	close(far);
}

static void
without_descriptors_the_device_is_closed(void **state)
{
	static const struct file_place nowhere;
	const char *why;
	struct device *opened = device_open(far_fifo("fifo"), PROTOCOL_READS, 0, &nowhere, &why);

	(void)state;
	assert_non_null(opened);
	far_leave_descriptors(1);
	assert_null(pump_new(reactor, opened, &stream));
	assert_int_equal(errno, EMFILE);
}

/* What has been read of a terminal would not come again. */
static void
one_that_is_halted_hands_on_what_it_has_read(void **state)
{
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	begin(path, BOTH);
	send_cut.left = 3;
	put(far, message);
	TURN_UNTIL(send_cut.left == 0);		/* the rest is held now */
	pump_halt(pump);
	assert_false(pump_push(pump));
	assert_true(pump_push(pump));
	assert_false(pump_push(pump));
	put(far, "not heard\n");
	assert_comes(stream, message);
	close(far);
	end();
}

static void
one_that_is_halted_when_its_device_has_gone_ends_the_stream(void **state)
{
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	begin(path, BOTH);
	send_cut.left = 3;
	put(far, message);
	TURN_UNTIL(send_cut.left == 0);		/* the rest is held now */
	close(far);
	put(stream, "lost\n");
	TURN_UNTIL(pump_failure(pump) != NULL);
	pump_halt(pump);
	assert_comes(stream, message);
	assert_stream_ends();
	end();
}

#define WITH_REACTOR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_REACTOR(a_write_may_be_cut_anywhere),
		WITH_REACTOR(what_comes_from_the_stream_may_be_cut_anywhere),
		WITH_REACTOR(a_read_may_be_cut_anywhere),
		WITH_REACTOR(what_the_stream_takes_may_be_cut_anywhere),
		WITH_REACTOR(both_ways_may_be_cut_at_once),
		WITH_REACTOR(a_file_may_be_cut_anywhere),
		WITH_REACTOR(lines_are_datagrams_however_they_come),
		WITH_REACTOR(a_line_without_an_end_is_sent_when_the_stream_ends),
		WITH_REACTOR(a_line_that_is_longer_than_any_does_no_harm),
		WITH_REACTOR(datagrams_that_are_not_taken_are_tried_again_soon),
		WITH_REACTOR(a_device_is_not_read_faster_than_the_stream_is),
		WITH_REACTOR(the_stream_is_not_read_faster_than_the_device_takes_it),
		WITH_REACTOR(little_is_on_its_way_to_a_slow_device),
		WITH_REACTOR(what_is_left_is_written_when_the_stream_ends),
		WITH_REACTOR(what_goes_behind_a_begun_line_may_be_cut_anywhere),
		WITH_REACTOR(what_a_terminal_has_not_sent_when_it_is_freed_is_cut),
		WITH_REACTOR(what_is_left_when_it_is_freed_is_tried_once),
		WITH_REACTOR(the_stream_ends_when_a_terminal_has_sent_all),
		WITH_REACTOR(a_reader_of_a_fifo_that_goes_ends_the_stream),
		WITH_REACTOR(a_device_that_goes_while_it_is_full_ends_the_stream),
		WITH_REACTOR(what_a_terminal_has_said_before_it_was_hung_up_still_comes),
		WITH_REACTOR(an_end_of_file_is_called_so),
		WITH_REACTOR(a_device_that_is_only_written_goes_on_whatever_it_says),
		WITH_REACTOR(a_file_is_followed),
		WITH_REACTOR(a_long_file_is_read_as_the_stream_takes_it),
		WITH_REACTOR(a_file_that_is_written_has_all_when_the_stream_ends),
		WITH_REACTOR(a_pump_that_is_halted_has_come_to_where_the_stream_has),
		WITH_REACTOR(one_that_is_halted_goes_on_writing),
		WITH_REACTOR(one_that_is_halted_hands_on_what_it_has_read),
		WITH_REACTOR(one_that_is_halted_when_its_device_has_gone_ends_the_stream),
		WITH_REACTOR(what_cannot_be_waited_for_ends_the_stream),
		WITH_REACTOR(without_descriptors_the_device_is_closed),
	};

	signal(SIGPIPE, SIG_IGN);
	hold_time();
	return cmocka_run_group_tests_name("pump", tests, NULL, NULL);
}
