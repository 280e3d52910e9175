/* service.h - what runs: the reactors and the listeners, and how a configuration is applied to
 * them. */
#ifndef TWINED_SERVICE_SERVICE_H
#define TWINED_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stddef.h>

#include <sys/types.h>

#include "config/config.h"

struct answer;
struct question;
struct service;

/*
 * Makes the reactors that the configuration asks for, not turning yet, and takes over the passed
 * sockets. NULL with errno. All functions here are for the control thread.
 */
struct service *service_new(const struct daemon_settings *settings);

/*
 * Makes what runs equal to the configuration: every new socket is bound before anything changes,
 * and what is equal is not touched. On 0 the service has taken what it needs of config, which stays
 * the caller's to free. On -1 errors says why, and everything is as before.
 */
int service_apply(struct service *service, const struct config *config,
		  struct config_errors *errors);

/* Starts the reactors' threads: 0, or -1 with errno. */
int service_start(struct service *service);

/* "3 listeners, 17 connections" or "..., 5 flows", in the words of a status line. Returns text. */
const char *service_status(struct service *service, char *text, size_t size);

/* Answers what a probe asks (question.h) of what runs; asker is the process that asks. */
void service_answer(struct service *service, const struct question *question, pid_t asker,
		    struct answer *answer);

/* Logs one line a listener, and one for each of its upstreams. */
void service_log_summary(struct service *service);

/*
 * Whether every reactor has turned since the last call. It asks them to turn again, and must not be
 * called faster than they are expected to.
 */
bool service_turns(struct service *service);

/* Closes the listeners, delivers what is owed; then service_stopped says how far it is. */
void service_stop(struct service *service);

/* Ends what has been delivered; returns how many connections are left. */
size_t service_stop_more(struct service *service);

/* Cuts what is left, ends the threads and frees everything. */
void service_free(struct service *service);

#endif
