/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/drbd_tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "migrate/drbd.h"

/* Sum up the numbers behind each `label` in `text`; -ENODATA when there is none. */
static int64_t sum_of(const char *text, const char *label)
{
	int64_t sum = -ENODATA;

	for (const char *p = strstr(text, label); p; p = strstr(p, label)) {
		p += strlen(label);
		sum = (sum < 0 ? 0 : sum) + strtoll(p, NULL, 10);
	}
	return sum;
}

static int64_t unsynced_84(const char *resource, const char *proc)
{
	char devices[DRBD_OUTPUT_MAX], *save = NULL;
	int64_t sum = 0;
	int rc = drbd_adm((const char *const[]){"sh-dev", NULL}, resource, devices, NULL);

	for (char *dev = strtok_r(devices, "\n", &save); rc == 0 && dev;
		dev = strtok_r(NULL, "\n", &save)) {
		char part[DRBD_PART_MAX];
		struct stat st;
		int64_t kib;

		rc = stat(dev, &st) == 0 ? drbd_proc(proc, st.st_rdev, part) : -errno;
		kib = rc ? rc : sum_of(part, " oos:");
		if (kib < 0)
			rc = (int)kib;
		else
			sum += kib * 1024;
	}
	return rc ? rc : sum;
}

int64_t drbd_unsynced(const char *resource, const char *proc)
{
	const char *const args[] = {"status", "--verbose", "--statistics", NULL};
	char out[DRBD_OUTPUT_MAX];
	int64_t kib;

	/* Version 9 tells it of each peer, also of one that is not connected. */
	if (drbd_tool("drbdsetup", args, resource, out, NULL) == 0) {
		kib = sum_of(out, " out-of-sync:");
		if (kib >= 0)
			return kib * 1024;
	}
	return unsynced_84(resource, proc);
}

static int connect_again(const char *resource, bool mine, struct error *err)
{
	int64_t unsynced = mine ? -1 : drbd_unsynced(resource, DRBD_PROC);
	const char *const plain[] = {"connect", NULL};
	const char *const yield[] = {"connect", "--discard-my-data", NULL};

	log_info("DRBD resource %s stands alone after a hand-over; it is connected again%s",
		resource,
		unsynced == 0 ? ", and takes what the other host has: nothing was changed here"
			      : "");
	return drbd_adm(unsynced == 0 ? yield : plain, resource, NULL, err);
}

int drbd_rejoin(const char *resource, bool mine, struct error *err)
{
	char state[DRBD_OUTPUT_MAX];
	struct error why = ERROR_INIT;
	int rc = drbd_adm((const char *const[]){"cstate", NULL}, resource, state, &why);

	/* One that is down, or that this host does not have any more, is nothing to wait for. */
	if (rc == -EIO) {
		log_info("%s", why.what);
		return 0;
	}
	if (rc)
		return error_set(err, rc, why.fix, "%s", why.what);
	state[strcspn(state, "\n")] = '\0';
	if (strcmp(state, "StandAlone") == 0) {
		rc = connect_again(resource, mine, err);
		if (rc)
			return rc;
	} else if (strcmp(state, "Connected") == 0 || strcmp(state, "Established") == 0 ||
		   strstr(state, "Sync") || strstr(state, "Verify") ||
		   strcmp(state, "Ahead") == 0 || strcmp(state, "Behind") == 0) {
		return 0;
	}
	return error_set(err, -EAGAIN,
		"It is tried again every few seconds; if it stays so, look at 'drbdadm status' on both hosts",
		"DRBD resource %s is %.40s, not connected to the other host", resource, state);
}
