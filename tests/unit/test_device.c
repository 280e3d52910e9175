/* test_device.c - devices as they are: regular files, FIFOs, terminals, sockets for datagrams. */
#include "net/device.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/option.h"
#include "far_ends.h"
#include "net/address.h"
#include "net/protocol.h"
#include "net/socket_options.h"
#include "net/trail.h"
#include "turns.h"

enum { BOTH = PROTOCOL_READS | PROTOCOL_WRITES, LINES = 200, NOBODY = 65534,
       UNUSED_MAJOR = 240 };	/* for experiments, as the kernel's list says */

static const struct file_place nowhere;

/* What somebody else does just before a path is looked at, once; NULL: nothing. */
static void (*meanwhile)(void);

int
stat(const char *restrict path, struct stat *restrict status)
{
	void (*now)(void) = meanwhile;

	meanwhile = NULL;
	if (now != NULL)
		now();
	return fstatat(AT_FDCWD, path, status, 0);
}

static struct device *
opened(const char *path, unsigned ways)
{
	const char *why = NULL;
	struct device *device = device_open(path, ways, 0, &nowhere, &why);

	if (device == NULL)
		fail_msg("%s: %s", path, why);
	return device;
}

/* Why a path is not opened. */
static const char *
refused(const char *path, unsigned ways)
{
	const char *why = NULL;

	assert_null(device_open(path, ways, 0, &nowhere, &why));
	assert_non_null(why);
	return why;
}

/* What one read brings, as a string; "" is none. */
static const char *
read_text(struct device *device)
{
	static char text[256];
	ssize_t length = device_read(device, (uint8_t *)text, sizeof text - 1);

	assert_in_range(length, 0, sizeof text - 1);
	text[length] = '\0';
	return text;
}

static void
assert_read_fails(struct device *device, int error)
{
	uint8_t bytes[64];

	assert_int_equal(device_read(device, bytes, sizeof bytes), -1);
	assert_int_equal(errno, error);
}

static void
write_text(struct device *device, const char *text)
{
	assert_int_equal(device_write(device, (const uint8_t *)text, strlen(text), false),
			 strlen(text));
}

static void
assert_write_fails(struct device *device, int error)
{
	assert_int_equal(device_write(device, (const uint8_t *)"x\n", 2, false), -1);
	assert_int_equal(errno, error);
}

/* Root may do everything; others are who they are. */
static void
be_nobody(bool nobody)
{
	if (getuid() == 0)
		assert_int_equal(seteuid(nobody ? NOBODY : 0), 0);
}

/* ---- Regular files */

static void
a_file_is_read_from_its_beginning_and_on_as_it_grows(void **state)
{
	struct device *device = opened(far_append("log", "one\n"), PROTOCOL_READS);

	(void)state;
	assert_false(device_is_polled(device));
	assert_true(device_tells(device));
	assert_string_equal(read_text(device), "one\n");
	assert_string_equal(read_text(device), "");
	far_append("log", "two\n");
	assert_string_equal(read_text(device), "two\n");
	assert_int_equal(device_place(device).offset, 8);
	device_close(device);
}

static void
a_file_that_is_opened_again_is_read_on_from_its_place(void **state)
{
	const char *path = far_append("log", "one\n"), *why;
	struct device *device = opened(path, PROTOCOL_READS);
	struct file_place place;

	(void)state;
	assert_string_equal(read_text(device), "one\n");
	place = device_place(device);
	device_close(device);
	far_append("log", "two\n");
	device = device_open(path, PROTOCOL_READS, 0, &place, &why);
	assert_non_null(device);
	assert_string_equal(read_text(device), "two\n");
	device_close(device);
}

static void
a_place_in_another_file_or_behind_the_end_is_none(void **state)
{
	const char *path = far_append("log", "one\n"), *why;
	struct device *device = opened(path, PROTOCOL_READS);
	struct file_place place = device_place(device);

	(void)state;
	device_close(device);
	place.offset = 5;
	device = device_open(path, PROTOCOL_READS, 0, &place, &why);
	assert_string_equal(read_text(device), "one\n");
	device_close(device);
	place.offset = 4;
	rename(path, far_path("old"));
	far_append("log", "other\n");
	device = device_open(path, PROTOCOL_READS, 0, &place, &why);
	assert_string_equal(read_text(device), "other\n");
	device_close(device);
}

static void
a_file_that_was_cut_short_is_read_from_its_beginning(void **state)
{
	const char *path = far_append("log", "one\ntwo\n");
	struct device *device = opened(path, PROTOCOL_READS);

	(void)state;
	assert_string_equal(read_text(device), "one\ntwo\n");
	assert_int_equal(truncate(path, 0), 0);
	assert_string_equal(read_text(device), "");
	far_append("log", "new\n");
	assert_string_equal(read_text(device), "new\n");
	device_close(device);
}

static void
the_last_of_a_file_comes_before_the_one_in_its_place(void **state)
{
	const char *path = far_append("log", "one\n");
	struct device *device = opened(path, PROTOCOL_READS);

	(void)state;
	assert_string_equal(read_text(device), "one\n");
	rename(path, far_path("log.1"));
	far_append("log.1", "late\n");
	assert_string_equal(read_text(device), "late\n");	/* there is no other one yet */
	far_append("log.1", "last\n");
	far_append("log", "new\n");
	assert_string_equal(read_text(device), "last\n");
	assert_string_equal(read_text(device), "new\n");
	assert_int_equal(device_place(device).offset, 4);
	device_close(device);
}

static void
a_line_that_the_end_of_a_file_cuts_ends_there(void **state)
{
	const char *path = far_append("log", "one\ntw");
	struct device *device = opened(path, PROTOCOL_READS);

	(void)state;
	assert_string_equal(read_text(device), "one\ntw");
	assert_string_equal(read_text(device), "");
	assert_int_equal(truncate(path, 0), 0);
	assert_string_equal(read_text(device), "\n");
	assert_int_equal(device_place(device).offset, 0);
	assert_string_equal(read_text(device), "");
	far_append("log", "thr");
	assert_string_equal(read_text(device), "thr");
	assert_int_equal(truncate(path, 2), 0);
	assert_string_equal(read_text(device), "\n");
	assert_string_equal(read_text(device), "th");
	rename(path, far_path("log.1"));
	far_append("log.1", "ree");
	far_append("log", "new\n");
	assert_string_equal(read_text(device), "ree");
	assert_string_equal(read_text(device), "\n");
	assert_int_equal(device_place(device).offset, 0);
	assert_string_equal(read_text(device), "new\n");
	assert_int_equal(device_place(device).offset, 4);
	device_close(device);
}

static void
write_and_rotate(void)
{
	far_append("log", "last\n");
	rename(far_path("log"), far_path("log.1"));
	far_append("log", "new\n");
}

static void
what_is_written_while_we_look_for_another_file_comes_first(void **state)
{
	struct device *device = opened(far_append("log", "one\n"), PROTOCOL_READS);

	(void)state;
	assert_string_equal(read_text(device), "one\n");
	meanwhile = write_and_rotate;
	assert_string_equal(read_text(device), "last\n");
	assert_string_equal(read_text(device), "new\n");
	device_close(device);
}

static void
what_is_no_file_any_more_is_not_gone_on_with(void **state)
{
	const char *path = far_append("log", "one\n");
	struct device *device = opened(path, PROTOCOL_READS);

	(void)state;
	assert_string_equal(read_text(device), "one\n");
	rename(path, far_path("log.1"));
	far_fifo("log");
	assert_string_equal(read_text(device), "");
	far_append("log.1", "late\n");
	assert_string_equal(read_text(device), "late\n");
	device_close(device);
}

static void
a_file_is_appended_to(void **state)
{
	struct device *device = opened(far_append("log", "one\n"), PROTOCOL_WRITES);

	(void)state;
	assert_false(device_tells(device));
	write_text(device, "two\n");
	far_append("log", "three\n");
	write_text(device, "four\n");
	assert_file("log", "one\ntwo\nthree\nfour\n");
	device_close(device);
}

static void
a_file_is_made_where_there_is_none(void **state)
{
	mode_t mask = umask(0);
	struct device *device = opened(far_path("log"), PROTOCOL_WRITES);
	struct stat status;

	(void)state;
	umask(mask);
	assert_int_equal(stat(far_path("log"), &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
	write_text(device, "one\n");
	assert_file("log", "one\n");
	device_close(device);
}

static void
one_that_was_moved_away_is_made_anew(void **state)
{
	struct device *device = opened(far_path("log"), PROTOCOL_WRITES);

	(void)state;
	write_text(device, "one\n");
	rename(far_path("log"), far_path("log.1"));
	write_text(device, "two\n");
	far_append("other", "there\n");
	rename(far_path("other"), far_path("log"));
	write_text(device, "three\n");
	assert_file("log.1", "one\n");
	assert_file("log", "there\nthree\n");
	device_close(device);
}

static void
a_line_is_not_divided_between_one_that_was_moved_away_and_the_next(void **state)
{
	struct device *device = opened(far_path("log"), PROTOCOL_WRITES);

	(void)state;
	write_text(device, "one\ntw");
	rename(far_path("log"), far_path("log.1"));
	write_text(device, "o\n");
	write_text(device, "three\n");
	assert_file("log.1", "one\ntwo\n");
	assert_file("log", "three\n");
	device_close(device);
}

static void
one_that_cannot_be_made_anew_is_a_loss(void **state)
{
	struct device *device = opened(far_path("log"), PROTOCOL_WRITES);

	(void)state;
	unlink(far_path("log"));
	assert_int_equal(mkdir(far_path("log"), 0700), 0);
	assert_write_fails(device, EISDIR);
	device_close(device);
}

static void
a_line_that_a_file_ends_inside_of_is_ended_first(void **state)
{
	struct device *device = opened(far_append("log", "begun"), PROTOCOL_WRITES);

	(void)state;
	assert_file("log", "begun");
	write_text(device, "one\n");
	write_text(device, "tw");
	write_text(device, "o\n");
	assert_file("log", "begun\none\ntwo\n");
	far_append("other", "there");
	rename(far_path("other"), far_path("log"));
	write_text(device, "three\n");
	assert_file("log", "there\nthree\n");
	device_close(device);
}

static void
one_that_is_made_anew_begins_with_a_line(void **state)
{
	struct device *device = opened(far_append("log", "begun"), PROTOCOL_WRITES);

	(void)state;
	rename(far_path("log"), far_path("log.1"));
	write_text(device, "one\n");
	assert_file("log.1", "begun");
	assert_file("log", "one\n");
	device_close(device);
}

static void
one_that_is_empty_or_may_not_be_read_is_appended_to(void **state)
{
	struct device *device = opened(far_append("log", ""), PROTOCOL_WRITES);

	(void)state;
	write_text(device, "begun");
	assert_file("log", "begun");
	device_close(device);
	assert_int_equal(chmod(far_path(""), 0755), 0);
	assert_int_equal(chmod(far_path("log"), 0222), 0);
	be_nobody(true);
	device = opened(far_path("log"), PROTOCOL_WRITES);
	write_text(device, " and ended\n");
	be_nobody(false);
	assert_int_equal(chmod(far_path("log"), 0644), 0);
	assert_file("log", "begun and ended\n");
	device_close(device);
}

/* ---- What cannot be opened */

static void
what_cannot_be_opened_is_told(void **state)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	snprintf(name.sun_path, sizeof name.sun_path, "%s", far_path("socket"));
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
	close(fd);
	far_fifo("fifo");
	far_append("log", "");
	mkdir(far_path("folder"), 0700);
	static const struct {
		const char *name;
		unsigned ways;
		const char *why;
	} cases[] = {
		{ "log", BOTH,
		  "is a regular file, which goes one way only: expected role = in or out" },
		{ "fifo", BOTH, "is a FIFO, which goes one way only: expected role = in or out" },
		{ "fifo", PROTOCOL_WRITES, "nobody reads it" },
		{ "folder", BOTH, "is neither a character device nor a FIFO nor a regular file" },
		{ "folder", PROTOCOL_READS,
		  "is neither a character device nor a FIFO nor a regular file" },
		{ "socket", PROTOCOL_WRITES,
		  "is neither a character device nor a FIFO nor a regular file" },
		{ "absent", PROTOCOL_READS, "No such file or directory" },
		{ "absent", BOTH, "No such file or directory" },
		{ "absent/log", PROTOCOL_WRITES, "No such file or directory" },
		{ "log/x", PROTOCOL_READS, "Not a directory" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_string_equal(refused(far_path(cases[i].name), cases[i].ways), cases[i].why);
}

static void
a_folder_in_which_no_file_may_be_made_is_told(void **state)
{
	(void)state;
	assert_int_equal(chmod(far_path(""), 0755), 0);
	assert_int_equal(mkdir(far_path("folder"), 0555), 0);
	be_nobody(true);
	assert_string_equal(refused(far_path("folder/log"), PROTOCOL_WRITES), "Permission denied");
	be_nobody(false);
}

static void
a_device_that_has_no_driver_is_not_told_as_a_fifo(void **state)
{
	(void)state;
	if (mknod(far_path("device"), S_IFCHR | 0600, makedev(UNUSED_MAJOR, 0)) < 0)
		skip();			/* only root can */
	assert_string_equal(refused(far_path("device"), BOTH), "No such device or address");
}

static void
without_descriptors_nothing_is_opened_and_nothing_left(void **state)
{
	const char *path = far_fifo("fifo");
	size_t before = descriptor_count();

	(void)state;
	for (int more = 0; more < 2; more++) {
		far_leave_descriptors(more);
		assert_string_equal(refused(path, PROTOCOL_READS), "Too many open files");
		far_leave_descriptors(-1);
		assert_int_equal(descriptor_count(), before);
	}
}

/* ---- FIFOs */

static void
a_fifo_that_is_read_has_no_end(void **state)
{
	const char *path = far_fifo("fifo");
	struct device *device = opened(path, PROTOCOL_READS);

	(void)state;
	assert_true(device_is_polled(device));
	assert_string_equal(read_text(device), "");
	for (int i = 0; i < 3; i++) {
		int far = open(path, O_WRONLY | O_CLOEXEC);

		assert_int_equal(write(far, "line\n", 5), 5);
		close(far);
		assert_string_equal(read_text(device), "line\n");
		assert_string_equal(read_text(device), "");
	}
	device_close(device);
}

static void
a_full_fifo_takes_what_it_can_and_then_nothing(void **state)
{
	static uint8_t bytes[3 * PIPE_BUF];
	const char *path = far_fifo("fifo");
	int far = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct device *device = opened(path, PROTOCOL_WRITES);

	(void)state;
	assert_in_range(far_fill(device_fd(device)), PIPE_BUF, 1024 * 1024);
	assert_write_fails(device, EAGAIN);
	assert_int_equal(read(far, bytes, PIPE_BUF), PIPE_BUF);
	assert_int_equal(device_write(device, bytes, sizeof bytes, false), PIPE_BUF);
	assert_write_fails(device, EAGAIN);
	assert_true(device_is_drained(device));
	close(far);
	device_close(device);
}

static void
a_fifo_whose_reader_has_gone_is_a_loss_either_way(void **state)
{
	const char *path = far_fifo("fifo");
	int far = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct device *device = opened(path, PROTOCOL_WRITES);

	(void)state;
	assert_true(device_tells(device));
	assert_string_equal(read_text(device), "");
	close(far);
	assert_read_fails(device, EPIPE);
	assert_write_fails(device, EPIPE);
	device_close(device);
}

/* ---- Terminals */

static void
a_terminal_is_raw(void **state)
{
	const char *path, *why;
	int far = far_terminal(&path), near = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct device *device;
	struct termios settings;

	(void)state;
	assert_int_equal(tcgetattr(near, &settings), 0);
	settings.c_iflag |= IXON | IXOFF | IUCLC | ISTRIP;
	assert_int_equal(tcsetattr(near, TCSANOW, &settings), 0);
	device = device_open(path, BOTH, 57600, &nowhere, &why);
	assert_non_null(device);
	assert_int_equal(tcgetattr(near, &settings), 0);
	assert_int_equal(cfgetispeed(&settings), B57600);
	assert_int_equal(cfgetospeed(&settings), B57600);
	assert_int_equal(settings.c_cflag & (CSIZE | PARENB | CSTOPB | CRTSCTS), CS8);
	assert_int_equal(settings.c_cflag & (CLOCAL | CREAD), CLOCAL | CREAD);
	assert_int_equal(settings.c_lflag & (ICANON | ECHO | ISIG | IEXTEN), 0);
	assert_int_equal(settings.c_oflag & OPOST, 0);
	assert_int_equal(settings.c_iflag, 0);
	device_close(device);
	close(near);
	close(far);
}

static void
a_terminal_goes_both_ways_with_every_byte_as_it_is(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	struct device *device = opened(path, BOTH);
	uint8_t all[256], got[256];

	(void)state;
	for (int i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	assert_true(device_is_slow(device));
	assert_int_equal(device_write(device, all, 256, false), 256);
	assert_int_equal(read(far, got, sizeof got), 256);
	assert_memory_equal(got, all, 256);
	assert_int_equal(write(far, all, 256), 256);
	assert_int_equal(device_read(device, got, sizeof got), 256);
	assert_memory_equal(got, all, 256);
	device_close(device);
	close(far);
}

/* Which of the two it is, is a matter of who comes first in the kernel. */
static void
assert_hung_up(struct device *device)
{
	uint8_t bytes[64];

	assert_int_equal(device_read(device, bytes, sizeof bytes), -1);
	assert_true(errno == EIO || errno == ENODATA);
}

static void
what_comes_from_one_that_is_only_written_is_dropped(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	struct device *device = opened(path, PROTOCOL_WRITES);

	(void)state;
	assert_int_equal(write(far, "noise", 5), 5);
	assert_string_equal(read_text(device), "");
	write_text(device, "line\n");
	assert_string_equal(far_take(far), "line\n");
	close(far);
	assert_hung_up(device);
	device_close(device);
}

static void
a_terminal_that_was_hung_up_is_a_loss_either_way(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	struct device *device = opened(path, BOTH);

	(void)state;
	assert_int_equal(write(far, "last\n", 5), 5);
	assert_string_equal(read_text(device), "last\n");
	close(far);
	assert_hung_up(device);
	assert_write_fails(device, EIO);
	device_close(device);
}

static void
a_full_terminal_is_not_waited_for(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	struct device *device = opened(path, BOTH);

	(void)state;
	assert_true(device_is_drained(device));
	assert_in_range(far_fill(device_fd(device)), 1, 1024 * 1024);
	assert_write_fails(device, EAGAIN);
	device_close(device);
	close(far);
}

static void
not_every_number_is_a_speed(void **state)
{
	(void)state;
	assert_true(device_has_speed(50));
	assert_true(device_has_speed(115200));
	assert_true(device_has_speed(4000000));
	assert_false(device_has_speed(0));
	assert_false(device_has_speed(115201));
	assert_false(device_has_speed(INT64_C(0x100000000) + 9600));
}

/* As a greeting is, or a preamble. */
static void
what_is_written_to_a_terminal_that_is_read_is_sent(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	struct device *device = opened(path, PROTOCOL_READS);

	(void)state;
	write_text(device, "begin\n");
	assert_string_equal(far_take(far), "begin\n");
	device_close(device);
	close(far);
}

static void
a_terminal_that_may_be_opened_one_way_only_is(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	struct device *device;

	(void)state;
	if (getuid() == 0)
		assert_int_equal(chown(path, NOBODY, (gid_t)-1), 0);
	assert_int_equal(chmod(path, 0400), 0);
	be_nobody(true);
	assert_string_equal(refused(path, BOTH), "Permission denied");
	device = opened(path, PROTOCOL_READS);
	assert_int_equal(write(far, "line\n", 5), 5);
	assert_string_equal(read_text(device), "line\n");
	assert_write_fails(device, EACCES);
	device_close(device);
	assert_int_equal(chmod(path, 0200), 0);
	device = opened(path, PROTOCOL_WRITES);
	assert_false(device_tells(device));
	write_text(device, "line\n");
	assert_string_equal(far_take(far), "line\n");
	device_close(device);
	be_nobody(false);
	close(far);
}

static void
what_is_written_to_a_file_or_fifo_that_is_read_is_dropped(void **state)
{
	struct device *file = opened(far_append("log", "one\n"), PROTOCOL_READS);
	struct device *fifo = opened(far_fifo("fifo"), PROTOCOL_READS);

	(void)state;
	write_text(file, "begin\n");
	write_text(fifo, "begin\n");
	assert_string_equal(read_text(file), "one\n");
	assert_string_equal(read_text(fifo), "");
	assert_file("log", "one\n");
	device_close(file);
	device_close(fifo);
}

/* ---- Trails, from one device to the next */

static void
a_line_that_the_one_before_has_left_begun_is_ended_first(void **state)
{
	static const struct {
		const char *written, *comes;
	} cases[] = {
		{ "one\ntw", "one\ntw" },
		{ "three\n", "\nthree\n" },
		{ "four\n", "four\n" },
		{ "fi", "fi" },
	};
	struct trail *trail = trail_new();
	const char *path;
	int far = far_terminal(&path);

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct device *device = opened(path, BOTH);

		device_leave_trail(device, trail);
		write_text(device, cases[i].written);
		assert_string_equal(far_take(far), cases[i].comes);
		device_close(device);
	}
	assert_true(trail_is_inside(trail));
	trail_unref(trail);
	close(far);
}

static void
one_that_cannot_end_it_leaves_it_to_the_next(void **state)
{
	struct device *device = opened("/dev/full", PROTOCOL_WRITES);
	struct trail *trail = trail_new();

	(void)state;
	trail_set_inside(trail, true);
	device_leave_trail(device, trail);
	assert_write_fails(device, ENOSPC);
	device_close(device);
	assert_true(trail_is_inside(trail));
	trail_unref(trail);
}

static void
files_and_what_is_only_read_have_no_part_in_it(void **state)
{
	const char *path;
	int far = far_terminal(&path);
	struct device *file = opened(far_path("log"), PROTOCOL_WRITES);
	struct device *port = opened(path, PROTOCOL_READS);
	struct trail *trail = trail_new();

	(void)state;
	trail_set_inside(trail, true);
	device_leave_trail(file, trail);
	device_leave_trail(port, trail);
	write_text(file, "one\n");
	write_text(port, "preamble\n");
	assert_file("log", "one\n");
	assert_string_equal(far_take(far), "preamble\n");
	assert_true(trail_is_inside(trail));
	device_close(file);
	device_close(port);
	trail_unref(trail);
	close(far);
}

/* ---- Other character devices */

static void
a_device_without_an_end_says_so(void **state)
{
	struct device *device = opened("/dev/null", BOTH);

	(void)state;
	assert_false(device_is_polled(device));
	assert_read_fails(device, ENODATA);
	write_text(device, "line\n");
	device_close(device);
	device = opened("/dev/full", PROTOCOL_WRITES);
	assert_write_fails(device, ENOSPC);
	device_close(device);
}

/* ---- Datagrams */

static int receiver;

/* Fails unless that is the next datagram; NULL: there is none. */
static void
assert_datagram(const char *text)
{
	char bytes[256];
	ssize_t length = recv(receiver, bytes, sizeof bytes - 1, 0);

	if (text == NULL) {
		assert_int_equal(length, -1);
		return;
	}
	assert_in_range(length, 0, sizeof bytes - 1);
	bytes[length] = '\0';
	assert_string_equal(bytes, text);
}

static void
each_line_is_a_datagram(void **state)
{
	static const char text[] = "one\n\r\ntwo\r\nbegun";
	struct device *device = far_datagrams(&receiver);

	(void)state;
	assert_true(device_is_polled(device));
	assert_int_equal(device_write(device, (const uint8_t *)text, strlen(text), false),
			 strlen(text) - 5);
	assert_int_equal(device_write(device, (const uint8_t *)"begun", 5, false), 0);
	assert_datagram("one\n");
	assert_datagram("\r\n");
	assert_datagram("two\r\n");
	assert_datagram(NULL);
	assert_int_equal(device_write(device, (const uint8_t *)"begun", 5, true), 5);
	assert_datagram("begun");
	close(receiver);
	device_close(device);
}

static void
more_lines_than_go_at_once_are_done_with_in_parts(void **state)
{
	struct device *device = far_datagrams(&receiver);
	uint8_t lines[2 * LINES];
	unsigned came = 0;

	(void)state;
	for (int i = 0; i < LINES; i++)
		memcpy(lines + 2 * i, "x\n", 2);
	for (size_t done = 0; done < sizeof lines;) {
		ssize_t part = device_write(device, lines + done, sizeof lines - done, false);

		if (part < 0) {
			assert_int_equal(errno, EAGAIN);	/* the receiver's queue is short */
			for (char byte[2]; recv(receiver, byte, 2, 0) == 2; came++)
				assert_memory_equal(byte, "x\n", 2);
			continue;
		}
		assert_true(part > 0 && part % 2 == 0);
		done += (size_t)part;
	}
	for (char byte[2]; recv(receiver, byte, 2, 0) == 2;)
		came++;
	assert_int_equal(came, LINES);
	close(receiver);
	device_close(device);
}

static void
a_line_that_is_too_long_for_a_datagram_is_left_out(void **state)
{
	struct device *device = far_datagrams(&receiver);
	int small = 4096;
	uint8_t lines[32 * 1024 + 6];

	(void)state;
	assert_int_equal(
		setsockopt(device_fd(device), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	memset(lines, 'x', sizeof lines);
	lines[32 * 1024 - 1] = '\n';
	memcpy(lines + 32 * 1024, "short\n", 6);
	assert_int_equal(device_write(device, lines, sizeof lines, false), 32 * 1024);
	assert_int_equal(device_write(device, lines + 32 * 1024, 6, false), 6);
	assert_datagram("short\n");
	close(receiver);
	device_close(device);
}

static void
what_is_answered_to_datagrams_is_dropped(void **state)
{
	struct device *device = far_datagrams(&receiver);
	int waiting;

	(void)state;
	assert_int_equal(send(receiver, "answer", 6, 0), 6);
	assert_int_equal(send(receiver, "", 0, 0), 0);
	assert_string_equal(read_text(device), "");
	waiting = (int)recv(device_fd(device), &waiting, sizeof waiting, MSG_DONTWAIT);
	assert_int_equal(waiting, -1);
	close(receiver);
	device_close(device);
}

static void
a_receiver_that_has_gone_is_a_loss(void **state)
{
	struct device *device = far_datagrams(&receiver);

	(void)state;
	close(receiver);
	assert_write_fails(device, ECONNREFUSED);
	device_close(device);
}

/* The system says it, of a datagram that was sent before. */
static void
a_port_that_refuses_is_told_by_reading(void **state)
{
	static const union peer_address any;
	static const struct socket_options options = { .dscp = OPTION_AUTO };
	struct sockaddr_any address = { .length = sizeof address.u.in };
	int far = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct device *device;

	(void)state;
	address.u.in.sin_family = AF_INET;
	address.u.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(far, &address.u.sa, address.length), 0);
	assert_int_equal(getsockname(far, &address.u.sa, &address.length), 0);
	device = device_of_datagrams(&address, 1, &any, &options, "test");
	assert_non_null(device);
	close(far);
	write_text(device, "lost\n");
	assert_read_fails(device, ECONNREFUSED);
	device_close(device);
}

static void
the_first_address_is_taken_that_can_be_sent_to(void **state)
{
	static const struct socket_options options = { .dscp = OPTION_AUTO };
	union peer_address source = { .in6 = { .sin6_family = AF_INET6,
					       .sin6_addr = IN6ADDR_LOOPBACK_INIT } };
	struct sockaddr_any addresses[3] = { { .length = sizeof addresses[0].u.in },
					     { .length = sizeof addresses[0].u.in6 } };
	struct sockaddr_any found = { .length = sizeof found.u };
	struct device *device;

	(void)state;
	addresses[0].u.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(9),
						  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	addresses[1].u.in6 = source.in6;
	addresses[1].u.in6.sin6_port = htons(9);
	addresses[2] = addresses[1];
	addresses[2].u.in6.sin6_port = htons(10);
	assert_null(device_of_datagrams(addresses, 1, &source, &options, "test"));
	device = device_of_datagrams(addresses, 3, &source, &options, "test");
	assert_non_null(device);
	assert_int_equal(getpeername(device_fd(device), &found.u.sa, &found.length), 0);
	assert_int_equal(found.u.in6.sin6_port, htons(9));
	device_close(device);
}

#define WITH_FAR_ENDS(test) cmocka_unit_test_setup_teardown(test, far_ends_setup, far_ends_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		WITH_FAR_ENDS(a_file_is_read_from_its_beginning_and_on_as_it_grows),
		WITH_FAR_ENDS(a_file_that_is_opened_again_is_read_on_from_its_place),
		WITH_FAR_ENDS(a_place_in_another_file_or_behind_the_end_is_none),
		WITH_FAR_ENDS(a_file_that_was_cut_short_is_read_from_its_beginning),
		WITH_FAR_ENDS(the_last_of_a_file_comes_before_the_one_in_its_place),
		WITH_FAR_ENDS(a_line_that_the_end_of_a_file_cuts_ends_there),
		WITH_FAR_ENDS(what_is_written_while_we_look_for_another_file_comes_first),
		WITH_FAR_ENDS(what_is_no_file_any_more_is_not_gone_on_with),
		WITH_FAR_ENDS(a_file_is_appended_to),
		WITH_FAR_ENDS(a_file_is_made_where_there_is_none),
		WITH_FAR_ENDS(one_that_was_moved_away_is_made_anew),
		WITH_FAR_ENDS(a_line_is_not_divided_between_one_that_was_moved_away_and_the_next),
		WITH_FAR_ENDS(one_that_cannot_be_made_anew_is_a_loss),
		WITH_FAR_ENDS(a_line_that_a_file_ends_inside_of_is_ended_first),
		WITH_FAR_ENDS(one_that_is_made_anew_begins_with_a_line),
		WITH_FAR_ENDS(one_that_is_empty_or_may_not_be_read_is_appended_to),
		WITH_FAR_ENDS(what_cannot_be_opened_is_told),
		WITH_FAR_ENDS(a_folder_in_which_no_file_may_be_made_is_told),
		WITH_FAR_ENDS(a_device_that_has_no_driver_is_not_told_as_a_fifo),
		WITH_FAR_ENDS(without_descriptors_nothing_is_opened_and_nothing_left),
		WITH_FAR_ENDS(a_fifo_that_is_read_has_no_end),
		WITH_FAR_ENDS(a_full_fifo_takes_what_it_can_and_then_nothing),
		WITH_FAR_ENDS(a_fifo_whose_reader_has_gone_is_a_loss_either_way),
		WITH_FAR_ENDS(a_terminal_is_raw),
		WITH_FAR_ENDS(a_terminal_goes_both_ways_with_every_byte_as_it_is),
		WITH_FAR_ENDS(what_comes_from_one_that_is_only_written_is_dropped),
		WITH_FAR_ENDS(a_terminal_that_was_hung_up_is_a_loss_either_way),
		WITH_FAR_ENDS(a_full_terminal_is_not_waited_for),
		WITH_FAR_ENDS(not_every_number_is_a_speed),
		WITH_FAR_ENDS(what_is_written_to_a_terminal_that_is_read_is_sent),
		WITH_FAR_ENDS(a_terminal_that_may_be_opened_one_way_only_is),
		WITH_FAR_ENDS(what_is_written_to_a_file_or_fifo_that_is_read_is_dropped),
		WITH_FAR_ENDS(a_line_that_the_one_before_has_left_begun_is_ended_first),
		WITH_FAR_ENDS(one_that_cannot_end_it_leaves_it_to_the_next),
		WITH_FAR_ENDS(files_and_what_is_only_read_have_no_part_in_it),
		WITH_FAR_ENDS(a_device_without_an_end_says_so),
		WITH_FAR_ENDS(each_line_is_a_datagram),
		WITH_FAR_ENDS(more_lines_than_go_at_once_are_done_with_in_parts),
		WITH_FAR_ENDS(a_line_that_is_too_long_for_a_datagram_is_left_out),
		WITH_FAR_ENDS(what_is_answered_to_datagrams_is_dropped),
		WITH_FAR_ENDS(a_receiver_that_has_gone_is_a_loss),
		WITH_FAR_ENDS(a_port_that_refuses_is_told_by_reading),
		WITH_FAR_ENDS(the_first_address_is_taken_that_can_be_sent_to),
	};

	/* SIGPIPE is as it is in the daemon. */
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LEVEL_ERROR);
	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
