/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_keeper.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"

#define START_MS    15000
#define XL_LEAVE_MS 1000
#define LATER_MS    4000
#define XL_LOGS	    "/var/log/xen/xl-"
#define XL_LOG_MAX  (4u << 20)

static pid_t spawn(uint32_t domid)
{
	char path[PATH_MAX], arg[16];
	char *argv[] = {path, arg, NULL};
	int rc = proc_our_program("lifeboat-monitor", path, sizeof(path));

	if (rc)
		return rc;
	snprintf(arg, sizeof(arg), "%u", domid);
	return proc_spawn(path, argv, NULL, 0, PROC_DETACH);
}

static void failed(uint32_t domid, int rc)
{
	log_error("domain %u has no monitor, nobody will restart it (%s); "
		  "start one by hand: lifeboat-monitor %u",
		domid, strerror(-rc), domid);
}

/* The monitor forks and its first process ends when the second one watches: no zombie is left. */
void xen_keeper_start(uint32_t domid)
{
	pid_t pid = spawn(domid);
	int status = pid > 0 ? proc_reap(pid, deadline_in(START_MS)) : -1;

	if (pid < 0)
		failed(domid, pid);
	else if (!WIFEXITED(status) || WEXITSTATUS(status) != XEN_KEEPER_READY)
		failed(domid, -EIO);
}

/*
 * The guest that has just come reconnects its devices: each answer of xenstored that it waits for
 * would stand behind those that the monitor's start asks for. The child has nothing of ours open,
 * the journal's lock first of all.
 */
void xen_keeper_begin(uint32_t domid)
{
	pid_t pid = fork();

	if (pid < 0)
		failed(domid, -errno);
	if (pid != 0)
		return;
	setsid();
	close_range(3, ~0u, 0);
	clock_pause(LATER_MS);
	xen_keeper_start(domid);
	_exit(0);
}

int xen_keeper_log_domid(const char *text, pid_t pid, uint32_t *domid)
{
	static const char start[] = "Waiting for domain ";
	int rc = -ENOENT;

	for (const char *p = strstr(text, start); p; p = strstr(p + 1, start)) {
		const char *at = strstr(p, "(domid ");
		const char *eol = strchr(p, '\n');
		unsigned found;
		long who;

		/* "Waiting for domain NAME (domid N) to die [pid P]" */
		if (at && (!eol || at < eol) &&
			sscanf(at, "(domid %u) to die [pid %ld]", &found, &who) == 2 &&
			who == pid) {
			*domid = found;
			rc = 0;
		}
	}
	return rc;
}

static bool is_xl(const char *pid)
{
	char link[64], exe[PATH_MAX];
	ssize_t n;
	char *slash;

	snprintf(link, sizeof(link), "/proc/%.16s/exe", pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	if (n <= 0)
		return false;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	/* After an upgrade of xen-utils the link ends in " (deleted)". */
	return slash && (strcmp(slash, "/xl") == 0 || strcmp(slash, "/xl (deleted)") == 0);
}

/*
 * xl writes no pid file. Its monitors keep their log open as stdout, so what a process waits for
 * stands in its own log, however often the files were rotated or the domid used before.
 */
static bool waits_for(const char *pid, uint32_t domid)
{
	char link[64], log[PATH_MAX], *text = NULL;
	uint32_t found = 0;
	size_t len;
	ssize_t n;
	bool yes;

	snprintf(link, sizeof(link), "/proc/%.16s/fd/1", pid);
	n = readlink(link, log, sizeof(log) - 1);
	if (n <= 0)
		return false;
	log[n] = '\0';
	if (strncmp(log, XL_LOGS, sizeof(XL_LOGS) - 1) != 0)
		return false;
	if (io_read_file(log, XL_LOG_MAX, &text, &len) != 0)
		return false;
	yes = xen_keeper_log_domid(text, (pid_t)atoi(pid), &found) == 0 && found == domid;
	free(text);
	return yes;
}

/* The pid of xl's monitor of this domain, or 0. */
static pid_t find_xl(uint32_t domid)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	pid_t pid = 0;

	while (proc && !pid && (e = readdir(proc)) != NULL)
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && is_xl(e->d_name) &&
			waits_for(e->d_name, domid))
			pid = (pid_t)atoi(e->d_name);
	if (proc)
		closedir(proc);
	return pid;
}

void xen_keeper_retire_xl(uint32_t domid)
{
	struct pollfd p = {.events = POLLIN};
	pid_t pid = find_xl(domid);

	if (!pid)
		return;
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.fd < 0)
		return; /* it has left */
	if (poll(&p, 1, XL_LEAVE_MS) == 0 && find_xl(domid) == pid) {
		log_info("xl's monitor of domain %u (pid %d) stays after the suspend; ending it",
			domid, (int)pid);
		syscall(SYS_pidfd_send_signal, p.fd, SIGTERM, NULL, 0);
		poll(&p, 1, XL_LEAVE_MS);
	}
	close(p.fd);
}
