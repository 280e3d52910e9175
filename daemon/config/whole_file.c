/* whole_file.c - opens first and looks then, so that what was looked at is what is read. */
#include "config/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char too_large[] = "is larger than 1 MiB";

static const char *
type_check(mode_t mode)
{
	if (S_ISREG(mode))
		return NULL;
	return S_ISDIR(mode)    ? "is a directory, not a file"
	       : S_ISFIFO(mode) ? "is a FIFO, not a file"
	       : S_ISSOCK(mode) ? "is a socket, not a file"
				: "is a device, not a file";
}

/* Who can write what root runs by is root. */
static const char *
trust_check(const struct stat *stat)
{
	if (geteuid() != 0)
		return NULL;
	if (stat->st_mode & S_IWOTH)
		return "may be written by everyone, so root does not read it: chmod o-w";
	if ((stat->st_mode & S_IWGRP) && stat->st_gid != 0)
		return "may be written by its group, so root does not read it: chmod g-w";
	if (stat->st_uid != 0)
		return "belongs to another user, so root does not read it: chown root";
	return NULL;
}

/* Reads to the end of the file, which may have grown or shrunk since it was looked at. */
static const char *
bytes_read(int fd, struct whole_file *file)
{
	file->bytes = malloc(WHOLE_FILE_MAX + 1);
	if (file->bytes == NULL)
		return strerror(ENOMEM);
	for (;;) {
		ssize_t count =
			read(fd, file->bytes + file->length, WHOLE_FILE_MAX + 1 - file->length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return strerror(errno);
		if (count == 0)
			break;
		file->length += (size_t)count;
		if (file->length > WHOLE_FILE_MAX)
			return too_large;
	}
	char *fitting = realloc(file->bytes, file->length + 1);
	if (fitting != NULL)
		file->bytes = fitting;
	file->bytes[file->length] = '\0';
	return NULL;
}

static const char *
open_file_read(int fd, bool trusted, struct whole_file *file)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return strerror(errno);
	const char *wrong = type_check(stat.st_mode);
	if (wrong == NULL && trusted)
		wrong = trust_check(&stat);
	if (wrong == NULL && stat.st_size > WHOLE_FILE_MAX)
		wrong = too_large;
	file->device = stat.st_dev;
	file->inode = stat.st_ino;
	return wrong != NULL ? wrong : bytes_read(fd, file);
}

const char *
whole_file_read(const char *path, bool trusted, struct whole_file *file)
{
	static _Thread_local char sentence[160];
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	*file = (struct whole_file){ 0 };
	if (fd < 0) {
		/* A socket in the file system cannot be opened at all. */
		snprintf(sentence, sizeof sentence, "cannot be read: %s",
			 errno == ENXIO ? "it is a socket or a device" : strerror(errno));
		return sentence;
	}
	const char *wrong = open_file_read(fd, trusted, file);
	close(fd);
	if (wrong != NULL) {
		free(file->bytes);
		file->bytes = NULL;
	}
	return wrong;
}
