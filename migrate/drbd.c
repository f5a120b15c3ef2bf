/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/drbd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"

#define OUTPUT_MAX 8192
#define DRBD_MAJOR 147u
#define RETRY_MS   200

/* drbdadm ARGS RESOURCE; its output in `out`. A nonzero exit becomes -EIO with the last line it
 * said. */
static int drbdadm(const char *const *args, const char *resource, char *out, struct error *err)
{
	char *argv[8] = {(char[]){"drbdadm"}};
	char text[OUTPUT_MAX];
	size_t n = 1;
	int rc;

	if (!out)
		out = text;
	while (*args && n < 6)
		argv[n++] = (char *)(uintptr_t)*args++;
	argv[n] = (char *)(uintptr_t)resource;
	rc = proc_run(argv, out, OUTPUT_MAX, deadline_in(DRBD_COMMAND_MS));
	if (rc == -ENOENT)
		return error_set(err, rc, "apt install drbd-utils", "drbdadm is not installed");
	if (rc < 0)
		return error_sys(err, rc, "Look at 'drbdadm status' and dmesg", "drbdadm %s %s",
			argv[1], resource ? resource : "");
	if (rc == 0)
		return 0;
	out[strcspn(out, "\n")] = '\0';
	return error_set(err, -EIO, "Look at 'drbdadm status' and dmesg",
		"drbdadm %s %s failed: %s", argv[1], resource ? resource : "", out);
}

static bool is_drbd(const char *path)
{
	struct stat st;

	if (strncmp(path, "/dev/drbd", 9) != 0)
		return false;
	return stat(path, &st) < 0 ||
	       (S_ISBLK(st.st_mode) && (st.st_rdev >> 8 & 0xfff) == DRBD_MAJOR);
}

/* Does this resource back the device at `path`? */
static bool backs(const char *resource, const char *path)
{
	char devices[OUTPUT_MAX], *save = NULL;
	struct stat want, have;

	if (stat(path, &want) < 0 ||
		drbdadm((const char *const[]){"sh-dev", NULL}, resource, devices, NULL))
		return false;
	for (char *dev = strtok_r(devices, "\n", &save); dev; dev = strtok_r(NULL, "\n", &save))
		if (stat(dev, &have) == 0 && have.st_rdev == want.st_rdev)
			return true;
	return false;
}

static int find_resource(const char *path, char out[static DRBD_RESOURCE_LEN], struct error *err)
{
	char names[OUTPUT_MAX], *save = NULL;
	int rc = drbdadm((const char *const[]){"sh-resources", NULL}, NULL, names, err);

	if (rc)
		return rc;
	for (char *name = strtok_r(names, " \n", &save); name; name = strtok_r(NULL, " \n", &save))
		if (strlen(name) < DRBD_RESOURCE_LEN && backs(name, path)) {
			strcpy(out, name);
			return 0;
		}
	return error_set(err, -ENOENT,
		"Define the resource on this host as on the other and 'drbdadm up' it",
		"no DRBD resource here has the device %s", path);
}

int drbd_window_init(struct drbd_window *w, const struct domain *dom, struct error *err)
{
	*w = (struct drbd_window){0};
	for (unsigned i = 0; i < dom->nr_disks; i++) {
		int rc;

		if (!is_drbd(dom->disk[i].path))
			continue;
		rc = find_resource(dom->disk[i].path, w->resource[w->nr], err);
		if (rc)
			return rc;
		w->nr++;
	}
	return 0;
}

/* A resource that is not connected cannot be up to date on both sides: the first is said only. */
static void check_resource(const char *resource, struct findings *found)
{
	static const struct {
		const char *query, *want, *fix;
	} checks[] = {
		{"cstate", "Connected", "drbdadm connect it on both hosts and wait for the resync"},
		{"dstate", "UpToDate/UpToDate",
			"Wait until 'drbdadm status' shows both sides UpToDate"},
	};
	char out[OUTPUT_MAX];

	for (size_t c = 0; c < sizeof(checks) / sizeof(checks[0]); c++) {
		struct error why = ERROR_INIT;

		if (drbdadm((const char *const[]){checks[c].query, NULL}, resource, out, &why)) {
			findings_add_error(found, FINDING_BLOCKER, "drbd", &why);
			return;
		}
		out[strcspn(out, "\n")] = '\0';
		if (strcmp(out, checks[c].want) == 0)
			continue;
		findings_add(found, FINDING_BLOCKER, "drbd", checks[c].fix,
			"DRBD resource %s is %.200s, not %s", resource, out, checks[c].want);
		return;
	}
}

void drbd_window_check(const struct drbd_window *w, struct findings *found)
{
	for (unsigned i = 0; i < w->nr; i++)
		check_resource(w->resource[i], found);
}

void drbd_sendpage_check(const struct drbd_window *w, const char *param, struct findings *found)
{
	FILE *f = w->nr ? fopen(param, "re") : NULL;
	int c = f ? fgetc(f) : 'Y'; /* a DRBD without it always copies */

	if (f)
		fclose(f);
	if (c == 'Y')
		return;
	findings_add(found, FINDING_RISK, "drbd-sendpage", NULL,
		"DRBD sends a guest's own pages on this host: if its connection is lost amid writes, the guest can never be fully destroyed");
	findings_fix(found,
		"echo Y > %s, and put 'options drbd disable_sendpage=1' into /etc/modprobe.d",
		param);
}

void drbd_window_find(struct drbd_window *w, const struct domain *dom, const char *hypervisor,
	struct findings *found)
{
	struct error why = ERROR_INIT;

	if (drbd_window_init(w, dom, &why))
		findings_add_error(found, FINDING_BLOCKER, "drbd", &why);
	drbd_window_check(w, found);
	if (strcmp(hypervisor, "xen") == 0)
		drbd_sendpage_check(w, DRBD_SENDPAGE, found);
}

/* Try until it works or the deadline is past: DRBD and blkback let go when they please and tell
 * nobody. */
static int drbdadm_until(
	const char *const *args, const char *resource, int64_t deadline, struct error *err)
{
	for (;;) {
		struct error last = ERROR_INIT;
		int rc = drbdadm(args, resource, NULL, &last);

		if (rc == 0)
			return 0;
		if (clock_ms() >= deadline)
			return error_set(err, rc, last.fix, "%s", last.what);
		clock_pause(RETRY_MS);
	}
}

/* The same command on every resource; all are tried, the first failure is returned. */
static int on_each(
	const struct drbd_window *w, const char *const *args, int64_t deadline, struct error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < w->nr; i++) {
		int r = drbdadm_until(args, w->resource[i], deadline, err);

		if (rc == 0)
			rc = r;
	}
	return rc;
}

int drbd_window_open(struct drbd_window *w, struct error *err)
{
	const char *const args[] = {
		"net-options", "--protocol=C", "--allow-two-primaries=yes", NULL};

	if (w->nr)
		w->open = true; /* even when only some of it works: close takes all of it back */
	return on_each(w, args, 0, err);
}

int drbd_window_promote(const struct drbd_window *w, struct error *err)
{
	return on_each(w, (const char *const[]){"primary", NULL}, 0, err);
}

int drbd_window_demote(const struct drbd_window *w, int64_t deadline, struct error *err)
{
	return on_each(w, (const char *const[]){"secondary", NULL}, deadline, err);
}

int drbd_window_close(struct drbd_window *w, int64_t deadline, struct error *err)
{
	if (!w->open)
		return 0;
	w->open = false;
	return on_each(w, (const char *const[]){"net-options", "--allow-two-primaries=no", NULL},
		deadline, err);
}
