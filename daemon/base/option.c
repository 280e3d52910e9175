/* option.c - looks rows of option tables up. */
#include "base/option.h"

#include <string.h>

const struct option *
option_find(const struct option *table, const char *name)
{
	for (const struct option *row = table; row != NULL && row->name != NULL; row++)
		if (strcmp(row->name, name) == 0)
			return row;
	return NULL;
}
