/* far_ends.c - what devices lead to: files and FIFOs in a folder of the test's own, terminals. */
#include "far_ends.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/option.h"
#include "net/address.h"
#include "net/device.h"
#include "net/socket_options.h"
#include "turns.h"

enum { PATHS_MOST = 16 };

static char folder[64];
static char paths[PATHS_MOST][128];
static size_t path_count;
static size_t descriptors_before;
static struct rlimit limit;

void
far_leave_descriptors(int more)
{
	struct rlimit less = limit;

	if (more >= 0) {
		int next = dup(0);

		assert_true(next >= 0);
		close(next);
		less.rlim_cur = (rlim_t)(next + more);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
}

int
far_ends_setup(void **state)
{
	(void)state;
	path_count = 0;
	descriptors_before = descriptor_count();
	snprintf(folder, sizeof folder, "/tmp/twined-unit-XXXXXX");
	return mkdtemp(folder) == NULL || getrlimit(RLIMIT_NOFILE, &limit) < 0 ? -1 : 0;
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(path);
}

int
far_ends_teardown(void **state)
{
	(void)state;
	far_leave_descriptors(-1);
	if (nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS) != 0)
		return -1;
	assert_int_equal(descriptor_count(), descriptors_before);
	return 0;
}

const char *
far_path(const char *name)
{
	char path[sizeof paths[0]];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	for (size_t i = 0; i < path_count; i++)
		if (strcmp(paths[i], path) == 0)
			return paths[i];
	assert_true(path_count < PATHS_MOST);
	return strcpy(paths[path_count++], path);
}

const char *
far_fifo(const char *name)
{
	assert_int_equal(mkfifo(far_path(name), 0600), 0);
	return far_path(name);
}

const char *
far_append(const char *name, const char *text)
{
	FILE *file = fopen(far_path(name), "a");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	return far_path(name);
}

void
assert_file(const char *name, const char *text)
{
	char all[4096];
	FILE *file = fopen(far_path(name), "r");
	size_t length;

	assert_non_null(file);
	length = fread(all, 1, sizeof all - 1, file);
	fclose(file);
	all[length] = '\0';
	assert_string_equal(all, text);
}

int
far_terminal(const char **path)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(grantpt(fd), 0);
	assert_int_equal(unlockpt(fd), 0);
	assert_true(path_count < PATHS_MOST);
	assert_int_equal(ptsname_r(fd, paths[path_count], sizeof paths[0]), 0);
	*path = paths[path_count++];
	return fd;
}

struct device *
far_datagrams(int *receiver)
{
	static const union peer_address any;
	static const struct socket_options options = { .dscp = OPTION_AUTO };
	struct sockaddr_any address = { .length = sizeof address.u.un }, back = address;
	struct device *device;

	address.u.un.sun_family = AF_UNIX;
	strcpy(address.u.un.sun_path, far_path("datagrams"));
	unlink(address.u.un.sun_path);
	*receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*receiver, &address.u.sa, address.length), 0);
	device = device_of_datagrams(&address, 1, &any, &options, "test");
	assert_non_null(device);
	assert_int_equal(getsockname(device_fd(device), &back.u.sa, &back.length), 0);
	assert_int_equal(connect(*receiver, &back.u.sa, back.length), 0);
	return device;
}

size_t
far_read(int fd, char *bytes, size_t size)
{
	ssize_t length = read(fd, bytes, size);

	return length > 0 ? (size_t)length : 0;
}

void
assert_comes(int fd, const char *text)
{
	char got[4096];
	size_t length = 0;

	TURN_UNTIL((length += far_read(fd, got + length, sizeof got - 1 - length)) >= strlen(text));
	got[length] = '\0';
	assert_string_equal(got, text);
}

const char *
far_take(int fd)
{
	static char text[256 * 1024];
	size_t length = 0;
	ssize_t part;

	while ((part = read(fd, text + length, sizeof text - 1 - length)) > 0)
		length += (size_t)part;
	text[length] = '\0';
	return text;
}

size_t
far_fill(int fd)
{
	static const char zeros[4096];
	size_t total = 0;
	ssize_t part;

	/* In the end a byte at a time: a pipe takes short messages whole or not. */
	for (size_t size = sizeof zeros; size > 0; size = size > 1 ? 1 : 0)
		while ((part = write(fd, zeros, size)) > 0)
			total += (size_t)part;
	assert_int_equal(errno, EAGAIN);
	return total;
}
