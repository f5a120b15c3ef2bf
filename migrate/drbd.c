/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/drbd.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "migrate/drbd_tool.h"

#define UUID_TEXT (2 * DOMAIN_UUID_LEN + 1)
#define FILE_MAX  (DOMAIN_DISKS_MAX * DRBD_RESOURCE_LEN)
#define FIX_DISK  "Check that the file system of state_dir is sound, writable and not full"

static void set_path(
	struct drbd_window *w, const struct config *cfg, const uint8_t uuid[static DOMAIN_UUID_LEN])
{
	char text[UUID_TEXT];

	sodium_bin2hex(text, sizeof(text), uuid, DOMAIN_UUID_LEN);
	if (snprintf(w->path, sizeof(w->path), "%s/windows/%s", cfg->state_dir, text) >=
		(int)sizeof(w->path))
		w->path[0] = '\0'; /* no file has that name: what needs one will say so */
}

int drbd_window_init(struct drbd_window *w, const struct domain *dom, struct error *err)
{
	*w = (struct drbd_window){0};
	for (unsigned i = 0; i < dom->nr_disks; i++) {
		struct stat st;
		int rc;

		if (!drbd_is(dom->disk[i].path))
			continue;
		rc = drbd_find(dom->disk[i].path, w->resource[w->nr], err);
		if (rc)
			return rc;
		w->dev[w->nr++] = stat(dom->disk[i].path, &st) == 0 ? st.st_rdev : 0;
	}
	return 0;
}

int drbd_window_load(struct drbd_window *w, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], struct error *err)
{
	char *text = NULL, *save = NULL;
	int rc;

	*w = (struct drbd_window){0};
	set_path(w, cfg, uuid);
	rc = io_read_file(w->path, FILE_MAX, &text, NULL);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return error_sys(err, rc, FIX_DISK, "cannot read %s", w->path);
	for (char *name = strtok_r(text, "\n", &save); name && w->nr < DOMAIN_DISKS_MAX;
		name = strtok_r(NULL, "\n", &save))
		snprintf(w->resource[w->nr++], DRBD_RESOURCE_LEN, "%s", name);
	free(text);
	w->open = true;
	return 0;
}

int drbd_window_list(
	const struct config *cfg, uint8_t (**uuids)[DOMAIN_UUID_LEN], size_t *nr, struct error *err)
{
	char dir[PATH_MAX];
	const struct dirent *entry;
	DIR *d;

	*uuids = NULL;
	*nr = 0;
	snprintf(dir, sizeof(dir), "%s/windows", cfg->state_dir);
	d = opendir(dir);
	if (!d)
		return errno == ENOENT
			       ? 0
			       : error_sys(err, -errno, "Run as root", "cannot read %s", dir);
	while ((entry = readdir(d))) {
		uint8_t uuid[DOMAIN_UUID_LEN], (*more)[DOMAIN_UUID_LEN];
		size_t len;

		if (strlen(entry->d_name) != UUID_TEXT - 1 ||
			sodium_hex2bin(uuid, sizeof(uuid), entry->d_name, UUID_TEXT - 1, NULL, &len,
				NULL) ||
			len != sizeof(uuid))
			continue;
		more = realloc(*uuids, (*nr + 1) * sizeof(**uuids));
		if (!more)
			break; /* the rest comes next time */
		*uuids = more;
		memcpy(more[(*nr)++], uuid, sizeof(uuid));
	}
	closedir(d);
	return 0;
}

/*
 * What a resource says of its connection (`key` "cs") or its disks ("ds"): by the kernel where it
 * tells it of the device, which starts no program, else by drbdadm, one line a volume.
 */
static int state_of(const struct drbd_window *w, unsigned i, const char *key, const char *proc,
	char out[static DRBD_OUTPUT_MAX], struct error *err)
{
	const char *const query[] = {*key == 'c' ? "cstate" : "dstate", NULL};
	char part[DRBD_PART_MAX], label[8];
	const char *p;

	if (!w->dev[i] || drbd_proc(proc, w->dev[i], part))
		return drbd_adm(query, w->resource[i], out, err);
	snprintf(label, sizeof(label), "%s:", key);
	p = strstr(part, label);
	p = p ? p + strlen(label) : "";
	snprintf(out, DRBD_OUTPUT_MAX, "%.*s", (int)strcspn(p, " \n"), p);
	return 0;
}

/* Does each line say `want`? If not, the first that does not is left in `out`. */
static bool all_say(char out[static DRBD_OUTPUT_MAX], const char *want)
{
	for (char *save = NULL, *line = strtok_r(out, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save))
		if (strcmp(line, want) != 0) {
			memmove(out, line, strlen(line) + 1);
			return false;
		}
	return true;
}

#define WHOLE "UpToDate/UpToDate"

/* A resource that is not connected cannot be up to date on both sides: the first is said only. */
static void check_resource(const struct drbd_window *w, unsigned i, struct findings *found)
{
	static const struct {
		const char *key, *want, *fix;
	} checks[] = {
		{"cs", "Connected", "drbdadm connect it on both hosts and wait for the resync"},
		{"ds", WHOLE, "Wait until 'drbdadm status' shows both sides UpToDate"},
	};
	char out[DRBD_OUTPUT_MAX];

	for (size_t c = 0; c < sizeof(checks) / sizeof(checks[0]); c++) {
		struct error why = ERROR_INIT;

		if (state_of(w, i, checks[c].key, DRBD_PROC, out, &why)) {
			findings_add_error(found, FINDING_BLOCKER, "drbd", &why);
			return;
		}
		if (all_say(out, checks[c].want))
			continue;
		findings_add(found, FINDING_BLOCKER, "drbd", checks[c].fix,
			"DRBD resource %s is %.200s, not %s", w->resource[i], out, checks[c].want);
		return;
	}
}

void drbd_window_check(const struct drbd_window *w, struct findings *found)
{
	for (unsigned i = 0; i < w->nr; i++)
		check_resource(w, i, found);
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

/* The same command on every resource; all are tried, the first failure is returned. */
static int on_each(
	const struct drbd_window *w, const char *const *args, int64_t deadline, struct error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < w->nr; i++) {
		int r = drbd_adm_until(args, w->resource[i], deadline, err);

		if (rc == 0)
			rc = r;
	}
	return rc;
}

/* A new name in a directory lasts only when the directory is on disk, too. */
static int write_down(const struct drbd_window *w, struct error *err)
{
	char dir[PATH_MAX], text[FILE_MAX] = "";
	size_t len = 0;
	int rc;

	snprintf(dir, sizeof(dir), "%s", w->path);
	if (strrchr(dir, '/'))
		*strrchr(dir, '/') = '\0';
	for (unsigned i = 0; i < w->nr; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n", w->resource[i]);
	rc = io_mkdir_p(dir, 0700);
	if (rc == 0)
		rc = io_write_file(w->path, text, len, 0600);
	return rc ? error_sys(err, rc, FIX_DISK, "cannot write %s", w->path) : 0;
}

int drbd_window_whole(const struct drbd_window *w, const char *proc, struct error *err)
{
	for (unsigned i = 0; i < w->nr; i++) {
		char state[DRBD_OUTPUT_MAX];
		int rc = state_of(w, i, "ds", proc, state, err);

		if (rc)
			return rc;
		if (!all_say(state, WHOLE))
			return error_set(err, -ENOTCONN,
				"Look at 'drbdadm status' on both hosts and at the network between them",
				"DRBD resource %s is %.200s by now, not " WHOLE, w->resource[i],
				state);
	}
	return 0;
}

int drbd_window_open(struct drbd_window *w, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], struct error *err)
{
	const char *const args[] = {
		"net-options", "--protocol=C", "--allow-two-primaries=yes", NULL};
	int rc;

	if (!w->nr || w->open)
		return 0;
	rc = drbd_window_whole(w, DRBD_PROC, err);
	if (rc)
		return rc;
	set_path(w, cfg, uuid);
	rc = write_down(w, err);
	if (rc)
		return rc;
	w->open = true; /* even when only some of it works: the end takes all of it back */
	return on_each(w, args, 0, err);
}

/*
 * Not where the connection is gone: a primary that was alone has a history of its own. And DRBD
 * asks the other host first, and when the connection ends meanwhile does it without: what is here
 * may then be old.
 */
int drbd_window_promote(struct drbd_window *w, struct error *err)
{
	int rc = drbd_window_whole(w, DRBD_PROC, err);

	if (rc || w->primary)
		return rc;
	rc = on_each(w, (const char *const[]){"primary", NULL}, 0, err);
	w->primary = rc == 0;
	w->demoted = false;
	return rc ? rc : drbd_window_whole(w, DRBD_PROC, err);
}

void drbd_window_demote(struct drbd_window *w, int64_t deadline)
{
	struct error why = ERROR_INIT;

	w->primary = false;
	w->demoted = on_each(w, (const char *const[]){"secondary", NULL}, deadline, &why) == 0;
	if (!w->demoted)
		log_warn("%s", why.what);
}

/* By what the kernel says. A resource that it does not know any more allows nothing. */
static int seen_closed(const char *resource, struct error *err)
{
	const char *const args[] = {"show", NULL};
	struct error why = ERROR_INIT;
	char out[DRBD_OUTPUT_MAX] = "";
	const char *option;
	int rc = drbd_tool("drbdsetup", args, resource, out, &why);

	if (rc == -EIO && strstr(why.what, "No such resource"))
		return 0;
	if (rc)
		return error_set(err, rc, why.fix, "%s", why.what);
	option = strstr(out, "allow-two-primaries");
	if (!option)
		return 0;
	option += strlen("allow-two-primaries");
	option += strspn(option, " \t");
	if (strncmp(option, "yes", 3) != 0)
		return 0;
	return error_set(err, -EBUSY, "Look at 'drbdadm status' and dmesg",
		"DRBD resource %s still allows two primaries", resource);
}

/* One resource: be connected, forbid two primaries, and look whether that is so. */
static int close_one(const char *resource, bool mine, int64_t deadline, struct error *err)
{
	const char *const args[] = {"net-options", "--allow-two-primaries=no", NULL};
	struct error tried = ERROR_INIT, apart = ERROR_INIT;
	int joined = drbd_rejoin(resource, mine, &apart), rc;

	/* Without a connection there is nothing to wait for: lifeboatd comes again. */
	if (drbd_adm_until(args, resource, joined ? 0 : deadline, &tried))
		log_info("%s", tried.what);
	rc = seen_closed(resource, err);
	if (rc == 0 && joined)
		rc = error_set(err, joined, apart.fix, "%s", apart.what);
	return rc;
}

int drbd_window_end(struct drbd_window *w, bool demote, int64_t deadline, struct error *err)
{
	int rc = 0;

	if (!w->open)
		return 0;
	if (demote && !w->demoted)
		drbd_window_demote(w, deadline);
	for (unsigned i = 0; i < w->nr; i++) {
		struct error why = ERROR_INIT;
		int r = close_one(w->resource[i], !demote, deadline, &why);

		if (r == 0)
			continue;
		log_at(r == -EAGAIN ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "%s", why.what);
		if (rc == 0)
			rc = error_set(err, r, why.fix, "%s", why.what);
	}
	if (rc)
		return rc;
	w->open = false;
	if (unlink(w->path) < 0 && errno != ENOENT)
		log_warn("cannot remove %s: %s", w->path, strerror(errno));
	return 0;
}
