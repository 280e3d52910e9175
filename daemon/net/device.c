/* device.c - opens what a path leads to; reads and writes terminals, FIFOs and their like. */
#include "net/device.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "net/device_private.h"
#include "net/protocol.h"
#include "net/trail.h"

static const struct {
	int64_t baud;
	speed_t speed;
} speeds[] = {
	{ 50, B50 },           { 75, B75 },           { 110, B110 },         { 134, B134 },
	{ 150, B150 },         { 200, B200 },         { 300, B300 },         { 600, B600 },
	{ 1200, B1200 },       { 1800, B1800 },       { 2400, B2400 },       { 4800, B4800 },
	{ 9600, B9600 },       { 19200, B19200 },     { 38400, B38400 },     { 57600, B57600 },
	{ 115200, B115200 },   { 230400, B230400 },   { 460800, B460800 },   { 500000, B500000 },
	{ 576000, B576000 },   { 921600, B921600 },   { 1000000, B1000000 }, { 1152000, B1152000 },
	{ 1500000, B1500000 }, { 2000000, B2000000 }, { 2500000, B2500000 }, { 3000000, B3000000 },
	{ 3500000, B3500000 }, { 4000000, B4000000 },
};

/* B0, which hangs up, for one that there is not. */
static speed_t
speed_of(int64_t baud)
{
	for (size_t i = 0; i < sizeof speeds / sizeof speeds[0]; i++)
		if (speeds[i].baud == baud)
			return speeds[i].speed;
	return B0;
}

bool
device_has_speed(int64_t baud)
{
	return speed_of(baud) != B0;
}

/* The other end of a FIFO or terminal may have gone without a byte. */
static bool
has_hung_up(int fd)
{
	struct pollfd look = { .fd = fd };

	return poll(&look, 1, 0) > 0 && (look.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
}

static ssize_t
stream_read(struct device *device, uint8_t *bytes, size_t size)
{
	ssize_t length = read(device->fd, bytes, size);

	if (length > 0)
		return length;
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* One that is open for writing only. */
	if (length < 0 && errno == EBADF && !has_hung_up(device->fd))
		return 0;
	if (length < 0 && errno == EBADF)
		errno = EPIPE;
	if (length == 0)
		errno = ENODATA;
	return -1;
}

int
device_end_cut(struct device *device)
{
	if (device->cut && write(device->fd, "\n", 1) < 0)
		return -1;
	if (device->cut && device->trail != NULL)
		trail_set_inside(device->trail, false);
	device->cut = false;
	return 0;
}

static ssize_t
stream_write(struct device *device, const uint8_t *bytes, size_t length, bool last)
{
	ssize_t written = device_end_cut(device) < 0 ? -1 : write(device->fd, bytes, length);

	(void)last;
	if (written > 0 && device->trail != NULL)
		trail_set_inside(device->trail, bytes[written - 1] != '\n');
	if (written < 0 && errno == EINTR)
		errno = EAGAIN;
	/* One that may only be read. */
	if (written < 0 && errno == EBADF)
		errno = EACCES;
	return written;
}

static const struct device_kind device_stream = { stream_read, stream_write };

/* 8N1 without flow control or modem lines: bytes as they are. 0, or -1 with errno. */
static int
terminal_set(int fd, int64_t baud)
{
	struct termios settings;

	if (tcgetattr(fd, &settings) < 0)
		return -1;
	cfmakeraw(&settings);
	settings.c_iflag = 0;		/* it leaves IXOFF and IUCLC */
	settings.c_cflag &= ~(tcflag_t)(CSTOPB | CRTSCTS);
	settings.c_cflag |= CLOCAL | CREAD;
	settings.c_cc[VMIN] = 1;
	settings.c_cc[VTIME] = 0;
	if (baud != 0 && cfsetspeed(&settings, speed_of(baud)) < 0)
		return -1;
	return tcsetattr(fd, TCSANOW, &settings);
}

/* Whether the system tells when it is ready. 0, or -1 with errno when that cannot be known. */
static int
find_polled(int fd, bool *polled)
{
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(EPOLL_CLOEXEC);

	if (set < 0)
		return -1;
	*polled = epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0 || errno != EPERM;
	close(set);
	return 0;
}

/* With what flags a kind of file is opened; -1: not at all, and *why says it. */
static int
flags_for(mode_t mode, unsigned ways, const char **why)
{
	bool both = ways == (PROTOCOL_READS | PROTOCOL_WRITES);

	if (S_ISREG(mode)) {
		*why = "is a regular file, which goes one way only: expected role = in or out";
		return both ? -1 : ways == PROTOCOL_READS ? O_RDONLY : O_WRONLY | O_APPEND;
	}
	if (S_ISFIFO(mode)) {
		*why = "is a FIFO, which goes one way only: expected role = in or out";
		/* While we could write, too, there is no end of file between two writers. */
		return both ? -1 : ways == PROTOCOL_READS ? O_RDWR : O_WRONLY;
	}
	*why = "is neither a character device nor a FIFO nor a regular file";
	/* One that is read may be greeted, and one that is written says so when it has gone. */
	return S_ISCHR(mode) ? O_RDWR : -1;
}

/* The descriptor, or -1 and *why. */
static int
path_open(const char *path, unsigned ways, const char **why)
{
	static const int always = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat status = { 0 };
	int flags = O_WRONLY | O_APPEND | O_CREAT, fd;

	if (stat(path, &status) == 0)
		flags = flags_for(status.st_mode, ways, why);
	else if (errno != ENOENT || ways != PROTOCOL_WRITES) {
		*why = strerror(errno);
		return -1;
	}
	if (flags == -1)
		return -1;
	fd = open(path, flags | always, FILE_MODE);
	if (fd < 0 && (errno == EACCES || errno == EPERM) && S_ISCHR(status.st_mode))
		switch (ways) {
		case PROTOCOL_READS:
			fd = open(path, O_RDONLY | always);
			break;
		case PROTOCOL_WRITES:
			fd = open(path, O_WRONLY | always);
			break;
		}
	if (fd < 0)
		*why = errno == ENXIO && S_ISFIFO(status.st_mode) ? "nobody reads it"
								  : strerror(errno);
	return fd;
}

/* Finds out what it is; a file is read from where reading has come to, if it is the same. */
static int
device_identify(struct device *device, const struct file_place *place)
{
	struct stat status;

	if (fstat(device->fd, &status) < 0 || find_polled(device->fd, &device->polled) < 0)
		return -1;
	device->deaf = device->ways == PROTOCOL_READS && !S_ISCHR(status.st_mode);
	if (!S_ISREG(status.st_mode))
		return 0;
	device->kind = &device_file;
	device->place = (struct file_place){ .device = status.st_dev, .inode = status.st_ino };
	if (place->device == status.st_dev && place->inode == status.st_ino
	    && place->offset <= (uint64_t)status.st_size)
		device->place.offset = place->offset;
	device->cut = device->ways == PROTOCOL_WRITES && device_file_is_cut(device);
	return 0;
}

struct device *
device_open(const char *path, unsigned ways, int64_t baud, const struct file_place *place,
	    const char **why)
{
	struct device *device = calloc(1, sizeof *device);

	if (device == NULL || (device->path = strdup(path)) == NULL) {
		free(device);
		*why = strerror(ENOMEM);
		return NULL;
	}
	device->kind = &device_stream;
	device->ways = ways;
	device->fd = path_open(path, ways, why);
	if (device->fd < 0) {
		device_close(device);
		return NULL;
	}
	device->terminal = isatty(device->fd);
	if (device_identify(device, place) < 0
	    || (device->terminal && terminal_set(device->fd, baud) < 0)) {
		*why = strerror(errno);
		device_close(device);
		return NULL;
	}
	return device;
}

void
device_leave_trail(struct device *device, struct trail *trail)
{
	if (!(device->ways & PROTOCOL_WRITES))
		return;
	device->trail = trail_ref(trail);
	trail_enter(trail);
	if (device->kind != &device_file)
		device->cut = trail_is_inside(trail);
}

/* Else close(2) would wait for a terminal that is stopped. */
static void
device_flush(struct device *device)
{
	tcflush(device->fd, TCOFLUSH);
	if (device->trail != NULL)
		trail_set_inside(device->trail, true);	/* wherever that has cut it */
}

void
device_close(struct device *device)
{
	if (device == NULL)
		return;
	if (device->terminal && !device_is_drained(device))
		device_flush(device);
	if (device->fd >= 0)
		close(device->fd);
	if (device->trail != NULL)
		trail_leave(device->trail);
	trail_unref(device->trail);
	free(device->path);
	free(device);
}

int
device_fd(const struct device *device)
{
	return device->fd;
}

bool
device_is_polled(const struct device *device)
{
	return device->polled;
}

bool
device_tells(const struct device *device)
{
	if (!device->polled)
		return (device->ways & PROTOCOL_READS) != 0;
	/* A terminal that we may not read is said to be readable for ever. */
	return !device->terminal || (fcntl(device->fd, F_GETFL) & O_ACCMODE) != O_WRONLY;
}

bool
device_is_slow(const struct device *device)
{
	return device->terminal;
}

ssize_t
device_read(struct device *device, uint8_t *bytes, size_t size)
{
	ssize_t length = device->kind->read(device, bytes, size);

	return length > 0 && !(device->ways & PROTOCOL_READS) ? 0 : length;
}

ssize_t
device_write(struct device *device, const uint8_t *bytes, size_t length, bool last)
{
	return device->deaf ? (ssize_t)length : device->kind->write(device, bytes, length, last);
}

bool
device_is_drained(const struct device *device)
{
	int waiting = 0;

	return !device->terminal || ioctl(device->fd, TIOCOUTQ, &waiting) < 0 || waiting <= 0;
}

struct file_place
device_place(const struct device *device)
{
	return device->place;
}
