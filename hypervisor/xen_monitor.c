/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-monitor: stay with one domain and do what its configuration says when it stops. Unlike
 * xl's monitor it stays through a suspend, so a checkpoint or a move that was called off leaves the
 * domain as well looked after as before.
 *
 * It starts a second process and ends itself when that one watches: its exit status is the answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "hypervisor/xen_config.h"
#include "hypervisor/xen_domain.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_hotplug.h"
#include "hypervisor/xen_keeper.h"
#include "hypervisor/xen_log.h"
#include "hypervisor/xen_shutdown.h"

struct monitor {
	libxl_ctx *ctx;
	struct domain dom;
	libxl_domain_config cfg;
	libxl_evgen_domain_death *watch;
	int lock;
};

enum outcome { GO_ON = 1, LEAVE, FAILED };

/* The log is a plain file below /run, so each line needs its time. */
static const char *now(void)
{
	static char text[32];
	time_t t = time(NULL);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(text, sizeof(text), "%F %T", &tm);
	return text;
}

/* Exactly one monitor a domain: the lock goes with the process, however that ends. */
static int take_lock(struct monitor *m, bool *taken, struct error *err)
{
	char path[PATH_MAX], uuid[2 * DOMAIN_UUID_LEN + 1];
	int rc;

	for (size_t i = 0; i < DOMAIN_UUID_LEN; i++)
		snprintf(uuid + 2 * i, 3, "%02x", m->dom.uuid[i]);
	snprintf(path, sizeof(path), "%.3900s/" XEN_KEEPER_DIR, xen_host_run_dir());
	rc = io_mkdir_p(path, 0755);
	if (rc)
		return error_sys(err, rc, NULL, "cannot make %.300s", path);
	snprintf(
		path, sizeof(path), "%.3900s/" XEN_KEEPER_DIR "/%s.lock", xen_host_run_dir(), uuid);
	m->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (m->lock < 0)
		return error_sys(err, -errno, NULL, "cannot open %.300s", path);
	*taken = flock(m->lock, LOCK_EX | LOCK_NB) != 0;
	if (*taken && errno != EWOULDBLOCK)
		return error_sys(err, -errno, NULL, "cannot lock %.300s", path);
	return 0;
}

/* Whoever started us may have a terminal or a pipe that we must not hold open. */
static int move_output(const struct monitor *m, struct error *err)
{
	char path[PATH_MAX];
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int log, rc = 0;

	snprintf(path, sizeof(path), "%.3900s/" XEN_KEEPER_DIR "/%s.log", xen_host_run_dir(),
		m->dom.name);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
	if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		rc = error_sys(err, -errno, NULL, "cannot log to %.300s", path);
	fd_close(&null);
	fd_close(&log);
	return rc;
}

static int watch(struct monitor *m, struct error *err)
{
	libxl_evgen_domain_death *fresh;
	int rc = libxl_evenable_domain_death(m->ctx, m->dom.domid, 0, &fresh);

	if (rc)
		return xen_host_error(err, rc, NULL, "cannot watch %s", m->dom.name);
	/*
	 * A watch tells of a shutdown once, so a new one is needed after each. The new one first:
	 * if none were left, libxl would begin anew and report at once what still stands suspended.
	 */
	if (m->watch)
		libxl_evdisable_domain_death(m->ctx, m->watch);
	m->watch = fresh;
	return 0;
}

/* After the domain was made anew: nothing that is still queued is about the new one. */
static int watch_anew(struct monitor *m, struct error *err)
{
	libxl_event *event;

	libxl_evdisable_domain_death(m->ctx, m->watch);
	m->watch = NULL;
	while (libxl_event_check(m->ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL) == 0)
		libxl_event_free(m->ctx, event);
	return watch(m, err);
}

static enum outcome on_shutdown(struct monitor *m, libxl_shutdown_reason reason, struct error *err)
{
	libxl_action_on_shutdown action = xen_shutdown_action(&m->cfg, reason);
	const char *reason_text = libxl_shutdown_reason_to_string(reason);
	bool again = false;

	if (reason == LIBXL_SHUTDOWN_REASON_SUSPEND) {
		log_info("%s %s (domain %u) suspended", now(), m->dom.name, m->dom.domid);
		return watch(m, err) ? FAILED : GO_ON;
	}
	log_info("%s %s (domain %u) stopped: %s; doing: %s", now(), m->dom.name, m->dom.domid,
		reason_text ? reason_text : "unknown", libxl_action_on_shutdown_to_string(action));
	xen_log_clear();
	if (xen_shutdown_do(m->ctx, &m->cfg, action, &m->dom.domid, &again, err))
		return FAILED;
	if (!again)
		return LEAVE;
	log_info("%s %s runs again as domain %u", now(), m->dom.name, m->dom.domid);
	return watch_anew(m, err) ? FAILED : GO_ON;
}

static enum outcome one_event(struct monitor *m, struct error *err)
{
	enum outcome outcome = GO_ON;
	libxl_event *event;
	int rc = libxl_event_wait(m->ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL);

	if (rc) {
		xen_host_error(err, rc, NULL, "cannot wait for %s", m->dom.name);
		return FAILED;
	}
	if (event->domid != m->dom.domid) {
		libxl_event_free(m->ctx, event);
		return GO_ON;
	}
	if (event->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN) {
		outcome = on_shutdown(m, event->u.domain_shutdown.shutdown_reason, err);
	} else if (event->type == LIBXL_EVENT_TYPE_DOMAIN_DEATH) {
		log_info("%s %s (domain %u) is gone", now(), m->dom.name, m->dom.domid);
		outcome = LEAVE;
	}
	libxl_event_free(m->ctx, event);
	return outcome;
}

/* `*taken`: another monitor watches already. */
static int begin(struct monitor *m, uint32_t domid, bool *taken, struct error *err)
{
	struct error why = ERROR_INIT;
	struct config cfg;
	int rc = config_load(&cfg, err);

	if (!rc)
		rc = xen_host_probe(&cfg, err);
	if (!rc)
		rc = xen_host_open(&m->ctx, err);
	if (!rc)
		rc = xen_domain_by_domid(domid, &m->dom, err);
	if (!rc)
		rc = take_lock(m, taken, err);
	if (rc || *taken)
		return rc;
	/* It runs all the same, as long as lifeboat is installed. */
	if (xen_hotplug_settle(domid, &why))
		log_warn("%s", why.what);
	rc = xen_config_retrieve(m->ctx, domid, &m->cfg, err);
	return rc ? rc : watch(m, err);
}

static int report(int *ready, int status)
{
	uint8_t byte = (uint8_t)status;
	int rc = *ready < 0 ? 0 : io_write_all(*ready, &byte, 1, DEADLINE_NEVER);

	fd_close(ready);
	return rc;
}

/* `ready` takes one byte, our exit status so far; -1 to stay in the foreground. */
static int monitor(uint32_t domid, int ready)
{
	struct monitor m = {.lock = -1};
	struct error err = ERROR_INIT;
	enum outcome outcome = GO_ON;
	bool taken = false;
	int rc;

	libxl_domain_config_init(&m.cfg);
	rc = begin(&m, domid, &taken, &err);
	if (!rc && !taken && ready >= 0)
		rc = move_output(&m, &err);
	if (rc) {
		error_print("lifeboat-monitor", &err);
		report(&ready, 1);
		return 1;
	}
	if (report(&ready, XEN_KEEPER_READY))
		log_debug("nobody waits for the monitor of %s", m.dom.name);
	if (taken) {
		log_debug("%s has a monitor already", m.dom.name);
		return 0;
	}
	xen_log_show(LOG_LEVEL_INFO);
	log_info("%s watching %s (domain %u), pid %d", now(), m.dom.name, domid, (int)getpid());
	while (outcome == GO_ON)
		outcome = one_event(&m, &err);
	if (outcome == FAILED)
		log_error("%s %s; %s", now(), err.what, err.fix);
	libxl_domain_config_dispose(&m.cfg);
	return outcome == FAILED;
}

/* Run in the background; the exit status tells whether it watches. */
static int detach(uint32_t domid)
{
	uint8_t status = 1;
	int ready[2];
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		fd_close(&ready[0]);
		setsid();
		_exit(monitor(domid, ready[1]));
	}
	fd_close(&ready[1]);
	if (pid < 0 || io_read_exact(ready[0], &status, 1, DEADLINE_NEVER))
		status = 1;
	fd_close(&ready[0]);
	return status;
}

int main(int argc, char **argv)
{
	bool foreground = argc == 3 && strcmp(argv[1], "-f") == 0;
	char *end = NULL;
	unsigned long domid;

	log_init("lifeboat-monitor");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (argc != 2 && !foreground) {
		fprintf(stderr, "usage: lifeboat-monitor [-f] DOMID\n");
		return 2;
	}
	errno = 0;
	domid = strtoul(argv[argc - 1], &end, 10);
	if (errno || !end || end == argv[argc - 1] || *end || domid == 0 || domid >= 0x7ff0) {
		fprintf(stderr, "lifeboat-monitor: %s is not the number of a domain.\n",
			argv[argc - 1]);
		return 2;
	}
	return foreground ? monitor((uint32_t)domid, -1) : detach((uint32_t)domid);
}
