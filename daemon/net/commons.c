/* commons.c - a list of what is shared, and how many share it. */
#include "net/commons.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "net/protocol.h"

struct common {
	struct common *next, **link;	/* link NULL: of no list */
	struct commons *commons;
	unsigned shares;
	const char *kind;
	void *thing;
	void (*release)(void *thing);
	char name[];
};

struct commons {
	pthread_mutex_t mutex;		/* of the list and of the counts: the last share may go anywhere */
	struct common *first;
};

struct commons *
commons_new(void)
{
	struct commons *commons = calloc(1, sizeof *commons);

	if (commons != NULL)
		pthread_mutex_init(&commons->mutex, NULL);
	return commons;
}

void
commons_free(struct commons *commons)
{
	if (commons == NULL)
		return;
	pthread_mutex_destroy(&commons->mutex);
	free(commons);
}

/* One more share of what is there; NULL when it is not. */
static struct common *
commons_find(struct commons *commons, const char *kind, const char *name)
{
	struct common *common;

	pthread_mutex_lock(&commons->mutex);
	common = commons->first;
	while (common != NULL
	       && (strcmp(common->kind, kind) != 0 || strcmp(common->name, name) != 0))
		common = common->next;
	if (common != NULL)
		common->shares++;
	pthread_mutex_unlock(&commons->mutex);
	return common;
}

static void
commons_add(struct commons *commons, struct common *common)
{
	pthread_mutex_lock(&commons->mutex);
	common->next = commons->first;
	common->link = &commons->first;
	if (common->next != NULL)
		common->next->link = &common->next;
	commons->first = common;
	pthread_mutex_unlock(&commons->mutex);
}

struct common *
commons_take(struct commons *commons, const char *kind, const char *name, void *(*make)(void *arg),
	     void *arg, void (*release)(void *thing))
{
	struct common *common = commons != NULL ? commons_find(commons, kind, name) : NULL;

	if (common != NULL)
		return common;
	common = calloc(1, sizeof *common + strlen(name) + 1);
	if (common == NULL)
		return NULL;
	common->commons = commons;
	common->shares = 1;
	common->kind = kind;
	common->release = release;
	strcpy(common->name, name);
	common->thing = make(arg);
	if (common->thing == NULL) {
		free(common);
		errno = ENOMEM;
		return NULL;
	}
	if (commons != NULL)
		commons_add(commons, common);
	return common;
}

void *
common_thing(const struct common *common)
{
	return common->thing;
}

/* Whether that was the last share; then it is in no list any more. */
static bool
common_leave(struct common *common)
{
	bool last;

	if (common->commons == NULL)
		return true;
	pthread_mutex_lock(&common->commons->mutex);
	last = --common->shares == 0;
	if (last) {
		*common->link = common->next;
		if (common->next != NULL)
			common->next->link = common->link;
	}
	pthread_mutex_unlock(&common->commons->mutex);
	return last;
}

void
common_release(struct common *common)
{
	if (common == NULL || !common_leave(common))
		return;
	common->release(common->thing);
	free(common);
}

const char *
shared_name(const struct protocol *protocol, const void *settings, const char *section)
{
	const struct option *row =
		protocol->shares != NULL ? option_find(protocol->options, protocol->shares) : NULL;
	const char *name = NULL;

	if (row != NULL)
		name = *(char *const *)((const char *)settings + row->offset);
	return name != NULL ? name : section;
}
