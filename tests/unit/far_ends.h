/* far_ends.h - what devices lead to: files and FIFOs in a folder of the test's own, terminals. */
#ifndef TWINED_TESTS_FAR_ENDS_H
#define TWINED_TESTS_FAR_ENDS_H

#include <stdbool.h>
#include <stddef.h>

struct device;

/* Before each test: an empty folder. After it: that is gone, and all descriptors of the test. */
int far_ends_setup(void **state);
int far_ends_teardown(void **state);

/* A path in the folder; valid until the test's end. */
const char *far_path(const char *name);

/* Makes a FIFO of that name; returns its path. */
const char *far_fifo(const char *name);

/* Appends text to a file of that name, which is made if it is not there; returns its path. */
const char *far_append(const char *name, const char *text);

/* Fails unless that is all that the file has. */
void assert_file(const char *name, const char *text);

/* Makes a terminal: returns its far end, non-blocking, and the path of the near one. */
int far_terminal(const char **path);

/* A device that sends datagrams to a non-blocking receiver, which answers to it. */
struct device *far_datagrams(int *receiver);

/* Reads what there is, as far as there is room for it; returns how many bytes. */
size_t far_read(int fd, char *bytes, size_t size);

/* Turns until exactly that has come out of a non-blocking descriptor. */
void assert_comes(int fd, const char *text);

/* Reads all that there is now at a non-blocking descriptor; a string. */
const char *far_take(int fd);

/* Writes until a non-blocking descriptor takes no more; returns how many bytes. */
size_t far_fill(int fd);

/* From now on there are only so many descriptors more; -1, and the end of the test: as ever. */
void far_leave_descriptors(int more);

#endif
