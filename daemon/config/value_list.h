/* value_list.h - values that are comma-separated lists: addresses and address prefixes. */
#ifndef TWINED_CONFIG_VALUE_LIST_H
#define TWINED_CONFIG_VALUE_LIST_H

#include "net/address.h"

/*
 * Calls use for every item, without the blanks around it; an empty one is an error. As value_set.
 */
const char *list_each(const char *text, const char *(*use)(const char *item, void *arg), void *arg);

/* What addresses are for: to be bound, to be dialled, or to be dialled by a connector. */
enum address_use { FOR_LISTEN, FOR_UPSTREAM, FOR_CONNECT };

/* Each makes a new list, empty after an error. As value_set. */
const char *address_list_parse(const char *text, enum address_use use, struct address_list *list);
const char *prefix_list_parse(const char *text, struct prefix_list *list);

#endif
