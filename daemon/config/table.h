/* table.h - an option table as a whole: its rows, their texts, what sets of values are the same. */
#ifndef TWINED_CONFIG_TABLE_H
#define TWINED_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/option.h"

/* How many rows a table (which may be NULL) has. */
size_t table_size(const struct option *table);

/* An array of a text for each row, all NULL; NULL when there is no memory. */
char **table_texts_new(const struct option *table);
void table_texts_free(const struct option *table, char **texts);

/* Whether two settings structs are the same in every row. */
bool table_equal(const struct option *table, const void *a, const void *b);

#endif
