/* log.c - one line an event, to stderr or to the journal. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

const char *const log_level_names[] = { "error", "warning", "notice", "info", "debug", NULL };

/* syslog(3)'s numbers, which sd-daemon(3) reads from a line's "<N>" prefix. */
static const int journal_priorities[] = { 3, 4, 5, 6, 7 };

static atomic_int level_now = LEVEL_INFO;
static bool to_journal;
static bool is_socket;
static bool may_block;
static int log_fd = STDERR_FILENO;

void
log_open(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat stderr_stat;
	uintmax_t device, inode;

	if (fstat(STDERR_FILENO, &stderr_stat) < 0)
		return;
	to_journal = stream != NULL && sscanf(stream, "%ju:%ju", &device, &inode) == 2
		     && device == stderr_stat.st_dev && inode == stderr_stat.st_ino;
	is_socket = S_ISSOCK(stderr_stat.st_mode);
	/*
	 * To be non-blocking, a terminal or a pipe needs a description that is not also our
	 * parent's.
	 */
	if (S_ISFIFO(stderr_stat.st_mode) || S_ISCHR(stderr_stat.st_mode)) {
		int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

		if (fd >= 0)
			log_fd = fd;
		may_block = fd < 0;	/* somebody else's: we may not open it */
	}
}

bool
log_is_journal(void)
{
	return to_journal;
}

void
log_set_level(int level)
{
	if (level < LEVEL_ERROR)
		level = LEVEL_ERROR;
	if (level > LEVEL_DEBUG)
		level = LEVEL_DEBUG;
	atomic_store_explicit(&level_now, level, memory_order_relaxed);
}

bool
log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

/* How many bytes the valid UTF-8 sequence of a character above U+009F has, 0 if there is none. */
static size_t
utf8_length(const unsigned char *text)
{
	size_t length = text[0] >= 0xf0 && text[0] <= 0xf4   ? 4
			: text[0] >= 0xe0 && text[0] < 0xf0  ? 3
			: text[0] >= 0xc2 && text[0] <= 0xdf ? 2
							     : 0;

	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((text[0] == 0xc2 && text[1] < 0xa0) || (text[0] == 0xe0 && text[1] < 0xa0)
	    || (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf0 && text[1] < 0x90)
	    || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

/* Copies text with everything escaped that could forge or break a line; returns the length. */
static size_t
escape(const char *text, char *line, size_t size)
{
	static const char hex[] = "0123456789abcdef";
	size_t used = 0;

	for (const unsigned char *at = (const unsigned char *)text;
	     *at != '\0' && used + 5 < size;) {
		size_t length = *at >= 0x20 && *at < 0x7f ? 1 : utf8_length(at);

		if (length == 0) {
			line[used++] = '\\';
			line[used++] = 'x';
			line[used++] = hex[*at >> 4];
			line[used++] = hex[*at++ & 15];
			continue;
		}
		while (length-- > 0)
			line[used++] = (char)*at++;
	}
	return used;
}

/* Writes to a stream that would block us: only what it says it has room for, one line at a time. */
static ssize_t
write_with_care(const char *bytes, size_t length)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	struct pollfd state = { .fd = log_fd, .events = POLLOUT };
	ssize_t written = 0;

	pthread_mutex_lock(&mutex);
	if (poll(&state, 1, 0) > 0)
		written = write(log_fd, bytes, length);
	pthread_mutex_unlock(&mutex);
	return written;
}

/* Writes what goes at once: whether that is all. */
static bool
write_at_once(const char *bytes, size_t length)
{
	ssize_t written;

	do
		written = is_socket ? send(log_fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
			  : may_block ? write_with_care(bytes, length)
				      : write(log_fd, bytes, length);
	while (written < 0 && errno == EINTR);
	return written == (ssize_t)length;
}

/*
 * Writes one line, in one call, so that threads do not mix theirs. Nobody is made to wait for a
 * reader of stderr that does not read: then lines are lost, and the next one that is not says how
 * many.
 */
static void
write_line(const char *line, size_t length)
{
	static atomic_uint lost;
	unsigned missed = atomic_exchange(&lost, 0);
	char note[64];

	if (missed > 0) {
		int size = snprintf(note, sizeof note, "twined: warning: %u log lines were lost\n",
				    missed);

		if (!write_at_once(note, (size_t)size)) {
			atomic_fetch_add(&lost, missed + 1);
			return;
		}
	}
	if (!write_at_once(line, length))
		atomic_fetch_add(&lost, 1);
}

void
log_line(enum log_level level, const char *format, ...)
{
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 64];
	va_list arguments;
	size_t used = 0;

	if (!log_enabled(level))
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (to_journal)
		used = (size_t)snprintf(line, sizeof line, "<%d>", journal_priorities[level]);
	else
		used = (size_t)snprintf(line, sizeof line, "twined: %s: ", log_level_names[level]);
	used += escape(text, line + used, sizeof line - 1 - used);
	line[used++] = '\n';
	write_line(line, used);
}
