/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_ring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xenstore.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/xen_ctrl.h"
#include "hypervisor/xen_log.h"

#define DRAIN_MS   5000
#define LOOK_MS	   2
#define QUEUES_MAX 64u /* of a disk; blkback offers as many as the host has CPUs */
#define PATH_LEN   160u

struct drain {
	const struct domain *dom;
	struct xs_handle *xs;
	xengnttab_handle *grants;
	int64_t deadline;
	unsigned rings;
	struct error *err;
};

bool xen_ring_idle(const void *page)
{
	/* Xen's io/ring.h: req_prod, req_event, rsp_prod, rsp_event. */
	const uint32_t *word = page;
	uint32_t answered = __atomic_load_n(&word[2], __ATOMIC_ACQUIRE);

	return __atomic_load_n(&word[0], __ATOMIC_ACQUIRE) == answered;
}

static int drain_ring(struct drain *d, uint32_t grant, const char *disk)
{
	void *page = xengnttab_map_grant_ref(d->grants, d->dom->domid, grant, PROT_READ);
	int rc = 0;

	if (!page)
		return error_set(d->err, -EIO, "Look at dmesg and 'xl dmesg' on this host",
			"the request ring of disk %s of %s cannot be read: %s", disk, d->dom->name,
			strerror(errno));
	while (!xen_ring_idle(page) && rc == 0) {
		if (clock_ms() >= d->deadline)
			rc = error_set(d->err, -EBUSY,
				"The disk is slow or stuck: look at dmesg, and 'drbdadm status' if it is on DRBD",
				"disk %s of %s still has requests open after %d s", disk,
				d->dom->name, DRAIN_MS / 1000);
		else
			clock_pause(LOOK_MS);
	}
	xengnttab_unmap(d->grants, page, 1);
	d->rings++;
	return rc;
}

/* A number that the guest wrote. False when there is none. */
static bool read_number(struct drain *d, const char *path, uint32_t *number)
{
	unsigned len = 0;
	char *text = xs_read(d->xs, XBT_NULL, path, &len), *end = NULL;
	unsigned long value = text ? strtoul(text, &end, 10) : 0;
	bool ok = text && end != text && !*end && value <= UINT32_MAX;

	free(text);
	*number = (uint32_t)value;
	return ok;
}

/* The ring of one queue; one of several pages has its indexes in the first. 1 = there is none. */
static int drain_queue(struct drain *d, const char *dir, const char *disk)
{
	static const char *const keys[] = {"ring-ref", "ring-ref0"};
	char path[PATH_LEN];
	uint32_t grant;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, keys[i]);
		if (read_number(d, path, &grant))
			return drain_ring(d, grant, disk);
	}
	return 1;
}

static int drain_disk(struct drain *d, const char *disk)
{
	char dir[PATH_LEN], path[PATH_LEN];
	uint32_t state;
	int rc;

	snprintf(dir, sizeof(dir), "/local/domain/%u/device/vbd/%.32s", d->dom->domid, disk);
	snprintf(path, sizeof(path), "%.80s/state", dir);
	/* Connected, or on the way down from it: before that there is no ring in use. */
	if (!read_number(d, path, &state) || state < 4)
		return 0;
	rc = drain_queue(d, dir, disk);
	for (uint32_t q = 0; rc >= 0 && q < QUEUES_MAX; q++) {
		snprintf(path, sizeof(path), "%.80s/queue-%u", dir, q);
		rc = drain_queue(d, path, disk);
		if (rc == 1)
			break;
	}
	return rc < 0 ? rc : 0;
}

static int drain_disks(struct drain *d)
{
	unsigned nr = 0;
	char path[PATH_LEN], **disks;
	int rc = 0;

	snprintf(path, sizeof(path), "/local/domain/%u/device/vbd", d->dom->domid);
	disks = xs_directory(d->xs, XBT_NULL, path, &nr);
	for (unsigned i = 0; disks && i < nr && rc == 0; i++)
		rc = drain_disk(d, disks[i]);
	free(disks);
	return rc;
}

int xen_ring_drain(const struct domain *dom, struct error *err)
{
	struct drain d = {.dom = dom, .deadline = deadline_in(DRAIN_MS), .err = err};
	int64_t start = clock_ms();
	int rc;

	d.xs = xs_open(0);
	d.grants = xengnttab_open(xen_log_logger(), 0);
	if (!d.xs || !d.grants)
		rc = error_set(err, -EIO, "modprobe xen-gntdev; systemctl start xen",
			"cannot look at the disks of %s: no access to %s", dom->name,
			d.xs ? "grants" : "xenstore");
	else
		rc = drain_disks(&d);
	if (rc == 0)
		log_info("%s: %u disk rings empty after %lld ms", dom->name, d.rings,
			(long long)(clock_ms() - start));
	if (d.grants)
		xengnttab_close(d.grants);
	if (d.xs)
		xs_close(d.xs);
	return rc;
}
