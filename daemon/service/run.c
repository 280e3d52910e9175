/* run.c - runs a configuration until it is told to stop: signals, reloads, systemd. */
#include "service/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "net/reactor.h"
#include "service/control.h"
#include "service/options.h"
#include "service/question.h"
#include "service/service.h"
#include "service/systemd.h"

enum { STATUS_MS = 5000, STOP_POLL_MS = 20 };

/*
 * The control thread's own. Its reactor serves no peer, so reading files and waiting harm nobody.
 */
struct run {
	const struct options *options;
	struct reactor *reactor;
	struct service *service;
	struct control *control;
	struct questions *questions;
	struct daemon_settings settings;	/* of what runs; include is not kept */
	struct event signals;
	int signal_fd;
	struct deadline tick;			/* status and watchdog */
	int64_t tick_ms;
	int64_t watchdog_ms;
	uint64_t status_ms;			/* when the status was last sent */
	char status[512];
	struct deadline stop;			/* set while stopping */
	uint64_t stop_until_ms;
	bool stopping;
};

static void
set_log_level(const struct run *run)
{
	log_set_level((int)run->settings.log_level + run->options->louder);
}

/* Says what an administrator has changed and will not see. */
static void
warn_at_restart(const struct daemon_settings *old, const struct daemon_settings *new)
{
	if (old->threads != new->threads)
		log_warning("[daemon] threads: the change takes effect at a restart");
	if (old->reactor != new->reactor)
		log_warning("[daemon] reactor: the change takes effect at a restart");
}

static void
log_errors(const struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++)
		log_error("%s", errors->lines[i]);
}

/* Reads the configuration anew and applies it, or leaves all as it is. */
static int
reload_config(struct run *run, struct config_errors *errors)
{
	struct config *config = config_read(run->options->path, run->options->specs,
					    run->options->spec_count, errors);
	int64_t threads = run->settings.threads, backend = run->settings.reactor;

	if (config == NULL)
		return -1;
	if (service_apply(run->service, config, errors) < 0) {
		config_free(config);
		return -1;
	}
	warn_at_restart(&run->settings, &config->daemon);
	run->settings = config->daemon;
	run->settings.threads = threads;
	run->settings.reactor = backend;
	set_log_level(run);
	config_free(config);
	return 0;
}

static int
reload(void *arg, struct config_errors *errors)
{
	static const char stopping[] = "not reloading: the daemon is stopping";
	struct run *run = arg;
	char counts[100];
	int result;

	if (run->stopping) {
		log_warning("%s", stopping);
		config_errors_add(errors, "%s", stopping);
		return -1;
	}
	systemd_reloading();
	log_notice("reloading");
	result = reload_config(run, errors);
	if (result < 0) {
		log_errors(errors);
		log_error("reload failed, the old configuration runs on");
		snprintf(run->status, sizeof run->status, "Reload failed: %s",
			 errors->count > 0 ? errors->lines[0] : strerror(ENOMEM));
	} else {
		service_status(run->service, counts, sizeof counts);
		snprintf(run->status, sizeof run->status, "%s", counts);
		log_notice("reloaded: %s", counts);
	}
	systemd_ready(run->status);
	return result;
}

static void
stop_poll(void *arg)
{
	struct run *run = arg;
	size_t left = service_stop_more(run->service);

	if (left > 0 && reactor_now_ms() < run->stop_until_ms) {
		reactor_set_deadline(run->reactor, &run->stop, reactor_now_ms() + STOP_POLL_MS);
		return;
	}
	if (left > 0)
		log_notice("stopping: %zu connection%s cut after shutdown_timeout", left,
			   left == 1 ? "" : "s");
	reactor_stop(run->reactor);
}

/* A graceful stop; asked for a second time, a stop at once. */
static void
stop(struct run *run)
{
	if (run->stopping) {
		reactor_stop(run->reactor);
		return;
	}
	run->stopping = true;
	systemd_stopping();
	log_notice("stopping");
	run->stop_until_ms =
		run->settings.shutdown_timeout_ms == 0
			? UINT64_MAX
			: reactor_now_ms() + (uint64_t)run->settings.shutdown_timeout_ms;
	service_stop(run->service);
	stop_poll(run);
}

static void
take_signal(struct run *run, uint32_t number)
{
	struct config_errors errors = { 0 };

	switch (number) {
	case SIGHUP:
		reload(run, &errors);
		config_errors_clear(&errors);
		break;
	case SIGUSR1:
		service_log_summary(run->service);
		break;
	default:
		stop(run);
		break;
	}
}

static void
signals_ready(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo info;

	(void)what;
	while (read(fd, &info, sizeof info) == sizeof info)
		take_signal(arg, info.ssi_signo);
}

/* Tells systemd that every reactor turns, and now and then how much there is to do. */
static void
tick(void *arg)
{
	struct run *run = arg;
	uint64_t now_ms = reactor_now_ms();
	char counts[100];

	if (run->watchdog_ms != 0 && service_turns(run->service))
		systemd_watchdog();
	if (now_ms - run->status_ms >= STATUS_MS && !run->stopping) {
		run->status_ms = now_ms;
		service_status(run->service, counts, sizeof counts);
		/* The status of a failed reload stays until a good one. */
		if (strncmp(run->status, "Reload failed", 13) != 0
		    && strcmp(run->status, counts) != 0) {
			snprintf(run->status, sizeof run->status, "%s", counts);
			systemd_status(run->status);
		}
	}
	reactor_set_deadline(run->reactor, &run->tick, now_ms + (uint64_t)run->tick_ms);
}

/*
 * Has the signals read from a descriptor (signalfd(2)). They stay blocked in every thread, from
 * here to the end of the process: none can come between two steps of a start or a stop.
 */
static int
watch_signals(struct run *run)
{
	sigset_t ours;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ours);
	sigaddset(&ours, SIGHUP);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &ours, NULL);
	run->signal_fd = signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
	if (run->signal_fd < 0)
		return -1;
	return reactor_watch(run->reactor, &run->signals, run->signal_fd, EV_READ | EV_PERSIST,
			     signals_ready, run);
}

static void
answer(void *arg, const struct question *question, pid_t asker, struct answer *answer)
{
	struct run *run = arg;

	service_answer(run->service, question, asker, answer);
}

/* Begins to listen and to turn: 0, or -1 when errors or errno says why not. */
static int
start(struct run *run, const struct config *config, struct config_errors *errors)
{
	run->reactor = reactor_new(0, REACTOR_AUTO);
	if (run->reactor == NULL || watch_signals(run) < 0)
		return -1;
	run->service = service_new(&config->daemon);
	if (run->service == NULL)
		return -1;
	/* Before the log says that anything listens: whoever reads that may ask for a reload. */
	run->control = control_new(run->reactor, reload, run);
	if (run->control == NULL)
		log_warning("--reload will not work: %s", strerror(errno));
	run->questions = questions_new(run->reactor, answer, run);
	if (run->questions == NULL)
		log_warning("a probe will not be told of upstreams: %s", strerror(errno));
	if (service_apply(run->service, config, errors) < 0 || service_start(run->service) < 0)
		return -1;
	run->watchdog_ms = systemd_watchdog_ms();
	run->tick.fn = tick;
	run->tick.arg = run;
	run->stop.fn = stop_poll;
	run->stop.arg = run;
	run->tick_ms = run->watchdog_ms != 0 && run->watchdog_ms / 4 < STATUS_MS
			       ? run->watchdog_ms / 4
			       : STATUS_MS;
	if (systemd_is_there())
		tick(run);
	service_status(run->service, run->status, sizeof run->status);
	systemd_ready(run->status);
	return 0;
}

int
run(const struct options *options)
{
	struct config_errors errors = { 0 };
	struct config *config =
		config_read(options->path, options->specs, options->spec_count, &errors);
	struct run run = { .options = options, .signal_fd = -1 };
	int status = 1;

	log_open();
	if (config != NULL) {
		run.settings = config->daemon;
		set_log_level(&run);
		errno = 0;
		if (start(&run, config, &errors) == 0)
			status = 0;
		else if (errors.count == 0)
			log_error("cannot start: %s", strerror(errno));
		config_free(config);
	} else if (errors.count == 0) {
		log_error("cannot start: %s", strerror(ENOMEM));
	}
	if (errors.count > 0 && log_is_journal())
		log_errors(&errors);	/* with their priority */
	else if (errors.count > 0)
		config_errors_print(&errors, options->path, stderr);
	config_errors_clear(&errors);
	if (status == 0)
		reactor_run(run.reactor);
	control_free(run.control);
	questions_free(run.questions);
	if (run.service != NULL)
		service_free(run.service);
	if (run.reactor != NULL)
		reactor_free(run.reactor);
	if (run.signal_fd >= 0)
		close(run.signal_fd);
	if (status == 0)
		log_notice("stopped");
	return status;
}
