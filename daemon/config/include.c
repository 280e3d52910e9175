/* include.c - expands the patterns of include. */
#include "config/include.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/sentence.h"
#include "config/value_list.h"

struct found {
	const char *directory;
	char **names;
	size_t count;
};

/* A directory that is not there matches nothing; one that cannot be read is an error. */
static int
directory_failed(const char *path, int error)
{
	(void)path;
	errno = error;
	return error != ENOENT && error != ENOTDIR;
}

/*
 * The pattern as seen from the working directory; what is special in the directory's name is
 * quoted.
 */
static char *
pattern_join(const char *directory, const char *pattern)
{
	if (directory == NULL || *pattern == '/')
		return strdup(pattern);
	char *joined = malloc(2 * strlen(directory) + strlen(pattern) + 2), *to = joined;
	if (joined == NULL)
		return NULL;
	for (const char *at = directory; *at != '\0'; at++) {
		if (strchr("*?[]\\", *at) != NULL)
			*to++ = '\\';
		*to++ = *at;
	}
	if (strcmp(directory, "/") != 0)
		*to++ = '/';
	strcpy(to, pattern);
	return joined;
}

static int
name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static const char *
names_add(struct found *found, char *const *names, size_t count)
{
	char **grown = reallocarray(found->names, found->count + count + 1, sizeof *grown);

	if (grown == NULL)
		return out_of_memory;
	found->names = grown;
	for (size_t i = 0; i < count; i++) {
		grown[found->count] = strdup(names[i]);
		if (grown[found->count] == NULL)
			return out_of_memory;
		grown[++found->count] = NULL;
	}
	/* In the order of bytes, in every locale. */
	qsort(grown + found->count - count, count, sizeof *grown, name_compare);
	return NULL;
}

static const char *
pattern_find(const char *pattern, void *arg)
{
	struct found *found = arg;
	char *joined = pattern_join(found->directory, pattern);
	glob_t matches = { 0 };
	const char *wrong = NULL;

	if (joined == NULL)
		return out_of_memory;
	errno = 0;
	switch (glob(joined, GLOB_NOSORT, directory_failed, &matches)) {
	case 0:
		wrong = names_add(found, matches.gl_pathv, matches.gl_pathc);
		break;
	case GLOB_NOMATCH:
		/* A pattern may match nothing; a name says that the file is there. */
		if (strpbrk(pattern, "*?[") == NULL)
			wrong = sentence_about(pattern, "does not exist");
		break;
	case GLOB_ABORTED:
		wrong = sentence_about(pattern, "cannot be looked for: %s", strerror(errno));
		break;
	default:
		wrong = out_of_memory;
	}
	globfree(&matches);
	free(joined);
	return wrong;
}

const char *
include_find(const char *patterns, const char *directory, char ***names)
{
	struct found found = { .directory = directory, .names = calloc(1, sizeof(char *)) };
	const char *wrong =
		found.names == NULL ? out_of_memory : list_each(patterns, pattern_find, &found);

	if (wrong != NULL) {
		include_free(found.names);
		found.names = NULL;
	}
	*names = found.names;
	return wrong;
}

void
include_free(char **names)
{
	for (char **name = names; name != NULL && *name != NULL; name++)
		free(*name);
	free(names);
}
