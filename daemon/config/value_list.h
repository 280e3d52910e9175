/* value_list.h - values that are comma-separated lists: addresses and address prefixes. */
#ifndef TWINED_CONFIG_VALUE_LIST_H
#define TWINED_CONFIG_VALUE_LIST_H

#include <stdbool.h>

#include "net/address.h"

/* Calls use for every item, without the blanks around it; an empty one is an error. As value_set. */
const char *list_each(const char *text, const char *(*use)(const char *item, void *arg), void *arg);

/* Each makes a new list, empty after an error. for_listen: addresses to bind, else to dial. As value_set. */
const char *address_list_parse(const char *text, bool for_listen, struct address_list *list);
const char *prefix_list_parse(const char *text, struct prefix_list *list);

#endif
