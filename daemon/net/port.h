/* port.h - a bound socket: opened or passed to us, kept over reloads, its unix path removed with
 * it. */
#ifndef TWINED_NET_PORT_H
#define TWINED_NET_PORT_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/types.h>

#include "net/address.h"
#include "net/socket_options.h"

struct listener_settings;
struct port_list;

struct port {
	unsigned refs;			/* of the control thread: whoever binds and unbinds */
	unsigned holds;			/* of any thread: who still sends from it */
	struct port *next_held;
	int fd;
	enum address_kind kind;		/* never ADDRESS_SYSTEMD: of a passed socket, what it is */
	char *key;			/* what was asked for; equal keys are the same port */
	/* what is bound: "tcp://127.0.0.1:7007", with the real port */
	char *text;
	struct sockaddr_any bound;
	bool claimed;			/* by a listener of the set that is being prepared */
	/* nobody was bound to it when that began: it is only held */
	bool past;
	bool shared;			/* its address, with another one: until both are settled */
	const struct port *replaced_by;	/* one of that set is in its way: NULL, none */
	bool owned;			/* socket_user or socket_group has been set on its path */
	bool passed;			/* by systemd: its unix path is not ours to remove */
	bool sends_source;		/* bound to every address: replies must name theirs */
	char interface[IF_NAMESIZE];	/* the bind_device it has; empty: none */
	struct socket_history history;
	dev_t device;			/* of the unix path we made, inode 0: none */
	ino_t inode;
};

/*
 * Binds a socket and (a stream) listens. any: both families, for "*". Returns NULL and a port with
 * one reference, or a sentence such as "bind: Address already in use", valid until the next call. A
 * stale unix socket of ours is replaced; a live or a foreign one, or another file, is not touched.
 * Those of the known that are in its way and that nobody has claimed are replaced: see
 * port_list_share. Then a stream does not listen before port_apply.
 */
const char *port_open(enum address_kind kind, const struct sockaddr_any *address, bool any,
		      const char *key, const struct listener_settings *settings,
		      const struct port_list *known, struct port **port);

/* Takes over a passed socket; as port_open. On an error the descriptor stays the caller's. */
const char *port_adopt(int fd, const char *key, struct port **port);

/* The bind_device that an address of that kind is to have; empty: none. */
const char *port_interface(enum address_kind kind, const struct listener_settings *settings);

/*
 * What would keep port_apply from setting bind_device, as far as that can be known: as port_open.
 */
const char *port_may_apply(const struct port *port, const struct listener_settings *settings);

/*
 * Sets what of the settings belongs to the socket: backlog, mode and owner, bind_device and what
 * else socket_options.h has. What an earlier configuration has set and this one does not is taken
 * back. As port_open.
 */
const char *port_apply(struct port *port, const struct listener_settings *settings);

/* References of the control thread. */
struct port *port_ref(struct port *port);
void port_unref(struct port *port);

/* The same of any thread. The last of all closes the port. */
struct port *port_hold(struct port *port);
void port_release(struct port *port);

/* Adds a port to a list, not a reference: 0, or -1 without memory. */
int port_list_add(struct port_list *list, struct port *port);

/*
 * Adds those that nobody is bound to any more and that are only held, with a reference to each:
 * they can be bound to anew as they are. Likewise.
 */
int port_list_add_past(struct port_list *list);

/*
 * Has a port that is not bound yet share its address with those of a list that are in its way: of
 * its kind, TCP or UDP, claimed by nobody, and not passed. Whether there are any. port_list_unshare
 * follows bind(2); done: with success, and they are replaced. The new one of a stream still has to
 * listen, and after that it is to be settled.
 */
bool port_list_share(const struct port_list *known, struct port *port,
		     const struct sockaddr_any *address, bool any);
void port_list_unshare(const struct port_list *known, struct port *port, bool done);
void port_settle(struct port *port);

/*
 * Gives up the socket of a port, though it may still be held: what is sent from it from now on is
 * dropped. Before that, a stream can be made to take no connection any more: who is about to begin
 * one tries again, and finds what has replaced it.
 */
void port_give_up(struct port *port);
void port_refuse(struct port *port);

/* Gives up those UDP ports of a list that have been replaced. */
void port_list_give_up(const struct port_list *list);

/*
 * Gives those references back, and the memory of the list. What was replaced and not given up
 * stays.
 */
void port_list_clear_known(struct port_list *list);

/* Closes the socket, removes its path, if that is still the one it made, and frees the port. */
void port_close(struct port *port);

#endif
