/* commons.h - things that factories share by kind and name, and that outlive a reload. */
#ifndef TWINED_NET_COMMONS_H
#define TWINED_NET_COMMONS_H

struct commons;
struct common;
struct protocol;

/* All that is shared within one service. NULL with errno. */
struct commons *commons_new(void);

/* When nothing is shared any more. NULL is fine. */
void commons_free(struct commons *commons);

/*
 * Takes part in what has this kind and name. When nobody does yet, make(arg) makes it, NULL with
 * errno when it cannot, and release ends it when the last share is given back. kind lives for ever.
 * commons NULL: it is made, and shared with nobody. NULL with errno. For the control thread.
 */
struct common *commons_take(struct commons *commons, const char *kind, const char *name,
			    void *(*make)(void *arg), void *arg, void (*release)(void *thing));

/* What is shared, as make has returned it. */
void *common_thing(const struct common *common);

/* Gives a share back; from any thread. NULL is fine. */
void common_release(struct common *common);

/*
 * The name of what a section shares with others: the value of the key that its protocol names with
 * `shares`, or else the name of the section.
 */
const char *shared_name(const struct protocol *protocol, const void *settings, const char *section);

#endif
