/* whole_file.h - the bytes of a regular file of bounded size, and who may change them. */
#ifndef TWINED_CONFIG_WHOLE_FILE_H
#define TWINED_CONFIG_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { WHOLE_FILE_MAX = 1024 * 1024 };

struct whole_file {
	char *bytes;		/* NUL-terminated behind length */
	size_t length;
	dev_t device;
	ino_t inode;
};

/*
 * Reads a file into *file, whose bytes the caller frees. trusted: run as root, refuse one that
 * others may write. Never waits for a FIFO or a device. Returns NULL, or the tail of a sentence,
 * valid until the thread's next call.
 */
const char *whole_file_read(const char *path, bool trusted, struct whole_file *file);

#endif
