/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A move's source side in the vmm: tracking on and off, suspend, undo. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "hypervisor/embedded_tracker.h"
#include "hypervisor/vmm.h"

static size_t bitmap_bytes(const struct vmm *vmm)
{
	return (size_t)((vmm->memory_bytes / PAGE_BYTES + 63) / 64 * 8);
}

/* Called once for each guest process: can its dirty pages be tracked by the kernel? */
void vmm_save_probe(struct vmm *vmm)
{
	int rc;

	if (vmm->tracker_reason[0])
		return;
	rc = tracker_uffd_api(vmm->uffd);
	if (rc) {
		snprintf(vmm->tracker_reason, sizeof(vmm->tracker_reason),
			"userfaultfd with asynchronous write-protect: %s", strerror(-rc));
		return;
	}
	rc = tracker_pagemap_check(vmm->pagemap_fd, GUEST_BASE);
	if (rc)
		snprintf(vmm->tracker_reason, sizeof(vmm->tracker_reason),
			"PAGEMAP_SCAN (Linux 6.7): %s", strerror(-rc));
}

void vmm_save_wrote(struct vmm *vmm, const void *at, size_t len)
{
	uint64_t first, last;

	if (!vmm->written || len == 0)
		return;
	first = (uint64_t)((const uint8_t *)at - vmm->memory) / PAGE_BYTES;
	last = ((uint64_t)((const uint8_t *)at - vmm->memory) + len - 1) / PAGE_BYTES;
	for (uint64_t pfn = first; pfn <= last; pfn++)
		__atomic_fetch_or(
			&vmm->written[pfn / 64], UINT64_C(1) << (pfn % 64), __ATOMIC_RELEASE);
}

static int tracking_on(struct vmm *vmm)
{
	struct uffdio_register reg = {
		.range = {GUEST_BASE, vmm->memory_bytes}, .mode = UFFDIO_REGISTER_MODE_WP};
	void *p;

	vmm->written_fd = memfd_create("lifeboat-written", MFD_CLOEXEC);
	if (vmm->written_fd < 0 || ftruncate(vmm->written_fd, (off_t)bitmap_bytes(vmm)) < 0)
		return -errno;
	p = mmap(NULL, bitmap_bytes(vmm), PROT_READ | PROT_WRITE, MAP_SHARED, vmm->written_fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	vmm->written = p;
	if (ioctl(vmm->uffd, UFFDIO_REGISTER, &reg) < 0)
		return -errno;
	vmm->tracking = true;
	return 0;
}

static void tracking_off(struct vmm *vmm)
{
	struct uffdio_range range = {GUEST_BASE, vmm->memory_bytes};

	if (vmm->tracking && ioctl(vmm->uffd, UFFDIO_UNREGISTER, &range) < 0)
		log_warn("%s: dirty tracking stays on: %s", vmm->spec.name, strerror(errno));
	vmm->tracking = false;
	if (vmm->written)
		munmap(vmm->written, bitmap_bytes(vmm));
	vmm->written = NULL;
	fd_close(&vmm->written_fd);
}

static int choose_tracker(struct vmm *vmm, enum config_tracker wanted, struct error *err)
{
	int rc;

	if (wanted == TRACKER_COMPARE)
		return 0;
	if (!vmm->tracker_reason[0]) {
		rc = tracking_on(vmm);
		if (!rc)
			return 0;
		tracking_off(vmm);
		snprintf(vmm->tracker_reason, sizeof(vmm->tracker_reason),
			"userfaultfd write-protect: %s", strerror(-rc));
	}
	if (wanted == TRACKER_PAGEMAP)
		return error_set(err, -EOPNOTSUPP, "Set dirty_tracking = auto or compare",
			"dirty_tracking = pagemap does not work on this host: %s",
			vmm->tracker_reason);
	log_info(
		"%s: dirty pages are found by comparison: %s", vmm->spec.name, vmm->tracker_reason);
	return 0;
}

int vmm_save_begin(struct vmm *vmm, enum config_tracker tracker, int fds[static SAVE_FDS],
	size_t *nr_fds, struct error *err)
{
	int rc;

	if (vmm->saving)
		return error_set(err, -EBUSY, "Wait for the other move to end",
			"domain `%s' is being moved already", vmm->spec.name);
	if (!vmm_may_run(vmm))
		return error_set(err, -EINVAL, "Start it with hv unpause first",
			"domain `%s' does not run", vmm->spec.name);
	rc = choose_tracker(vmm, tracker, err);
	if (rc)
		return rc;
	vmm->saving = true;
	vmm->save_broken = false;
	fds[SAVE_FD_MEMORY] = vmm->memory_fd;
	fds[SAVE_FD_IMAGE] = vmm->image_fd;
	fds[SAVE_FD_PAGEMAP] = vmm->pagemap_fd;
	fds[SAVE_FD_WRITTEN] = vmm->written_fd;
	*nr_fds = vmm->tracking ? SAVE_FDS : SAVE_FD_PAGEMAP;
	return 0;
}

/* A memfd with the TAIL of the standing guest. */
static int tail_file(struct vmm *vmm, struct error *err)
{
	struct embedded_tail *tail = calloc(1, sizeof(*tail));
	uint8_t *buf = malloc(STATE_TAIL_MAX);
	ssize_t len = -ENOMEM;
	int fd = -1, rc = -ENOMEM;

	if (!tail || !buf) {
		error_sys(err, rc, NULL, "cannot keep the domain's state");
		goto out;
	}
	rc = vmm_state_save(vmm, tail, err);
	if (rc)
		goto out;
	len = embedded_tail_encode(tail, buf, STATE_TAIL_MAX);
	fd = len < 0 ? -1 : memfd_create("lifeboat-tail", MFD_CLOEXEC);
	rc = -EIO;
	if (fd >= 0 && write(fd, buf, (size_t)len) == len)
		rc = fd;
	else
		error_sys(err, rc, NULL, "cannot keep the domain's state");
out:
	if (rc < 0)
		fd_close(&fd);
	free(tail);
	free(buf);
	return rc;
}

int vmm_save_suspend(struct vmm *vmm, int *tail_fd, struct error *err)
{
	int fd;

	if (!vmm->save_broken)
		vmm_run_hold(vmm);
	/* It may have ended just now, in place of stopping. */
	if (vmm->save_broken || vmm->phase != PHASE_HELD)
		return error_set(err, -ESTALE, "Move it again",
			"domain `%s' rebooted, crashed or powered off during the move",
			vmm->spec.name);
	vmm_clock_stop(vmm);
	for (unsigned i = 0; i < vmm->spec.nr_disks; i++)
		if (fdatasync(vmm->disk[i].fd) < 0 && errno != EROFS && errno != EINVAL)
			return error_sys(
				err, -errno, NULL, "cannot flush disk %s", vmm->spec.disk[i].path);
	fd = tail_file(vmm, err);
	if (fd < 0)
		return fd;
	vmm->suspended = true;
	*tail_fd = fd;
	return 0;
}

/* Tracking stays on: to end it takes milliseconds of the pause, and mostly the domain ends here. */
void vmm_save_done(struct vmm *vmm)
{
	vmm->saving = false;
}

void vmm_save_undo(struct vmm *vmm)
{
	tracking_off(vmm);
	vmm_run_throttle(vmm, 100);
	vmm->saving = vmm->watching = false;
	vmm->suspended = false;
}
