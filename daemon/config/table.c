/* table.c - loops over the rows of option tables. */
#include "config/table.h"

#include <stdlib.h>

#include "config/value.h"

size_t
table_size(const struct option *table)
{
	size_t size = 0;

	while (table != NULL && table[size].name != NULL)
		size++;
	return size;
}

char **
table_texts_new(const struct option *table)
{
	return calloc(table_size(table) + 1, sizeof(char *));
}

void
table_texts_free(const struct option *table, char **texts)
{
	size_t size = table_size(table);

	for (size_t i = 0; texts != NULL && i < size; i++)
		free(texts[i]);
	free(texts);
}

bool
table_equal(const struct option *table, const void *a, const void *b)
{
	for (const struct option *row = table; row != NULL && row->name != NULL; row++)
		if (!value_equal(row, a, b))
			return false;
	return true;
}
