/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * drbd: the dual-primary window of a move. Disks on DRBD are writable on both hosts from shortly
 * before the guest stands still, so that this is no part of its pause, until the source's domain is
 * gone, and at no other time. The destination's domain gets them once the guest does stand still.
 *
 * All of it runs drbdadm(8) and blocks for as long as that takes, at most DRBD_COMMAND_MS a
 * resource, or until the deadline where one is given (0 = one attempt).
 * Domains without a disk on DRBD make every function a no-op that returns 0.
 *
 * What is opened is written down before, durably, in state_dir/windows/UUID, one resource a line,
 * and that file goes when the window was seen to be closed: whoever finds it (drbd_window_load)
 * closes it, also when the domain and the process that opened it are gone. A connection that was
 * lost while both were primary does not come back by itself: closing mends that, too, and is over
 * only when both sides are connected.
 */
#ifndef MIGRATE_DRBD_H
#define MIGRATE_DRBD_H

#include <limits.h>
#include <sys/types.h>

#include "base/config.h"
#include "hypervisor/hypervisor.h"

#define DRBD_COMMAND_MS	  20000
#define DRBD_RESOURCE_LEN 128

struct drbd_window {
	char resource[DOMAIN_DISKS_MAX][DRBD_RESOURCE_LEN];
	dev_t dev[DOMAIN_DISKS_MAX]; /* by drbd_window_init; 0 = not known */
	unsigned nr;
	bool open;
	bool primary;	     /* promoted by us, in this process */
	bool demoted;	     /* likewise, and not promoted since */
	char path[PATH_MAX]; /* where it is written down */
};

/* Which of the domain's disks are DRBD's, by resource name. */
int drbd_window_init(
	struct drbd_window *w, const struct domain *dom, struct error *err) WARN_UNUSED;

/* What was opened and not seen to be closed; nr = 0 and not open when there is no such thing. */
int drbd_window_load(struct drbd_window *w, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], struct error *err) WARN_UNUSED;

/* The domains of which drbd_window_load would find something. The caller frees `*uuids`. */
int drbd_window_list(const struct config *cfg, uint8_t (**uuids)[DOMAIN_UUID_LEN], size_t *nr,
	struct error *err) WARN_UNUSED;

/* init and all checks below as findings, on a host that runs this hypervisor. Changes nothing. */
void drbd_window_find(struct drbd_window *w, const struct domain *dom, const char *hypervisor,
	struct findings *found);

/* Find each resource that is not Connected and UpToDate on both sides. Changes nothing. */
void drbd_window_check(const struct drbd_window *w, struct findings *found);

/*
 * On a Xen host DRBD must copy what it sends (`param` is DRBD_SENDPAGE or a stand-in for it): a
 * connection that is lost amid writes otherwise keeps pages of the guest for ever.
 */
#define DRBD_SENDPAGE "/sys/module/drbd/parameters/disable_sendpage"
void drbd_sendpage_check(const struct drbd_window *w, const char *param, struct findings *found);

/*
 * Unless that is done: look that they are whole, as below, write it down, and then set protocol C
 * and allow-two-primaries on this host. -ENOTCONN when they are not whole, and nothing is done. The
 * source first, so that whatever the destination has done, the source's note mends the connection,
 * too.
 */
int drbd_window_open(struct drbd_window *w, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], struct error *err) WARN_UNUSED;

/*
 * Is each resource connected and UpToDate on both sides, right now? -ENOTCONN when not. A source
 * asks once its guest's last write is answered: from then on the destination has all of them. The
 * guest stands still meanwhile, so DRBD is asked by `proc`, which is DRBD_PROC or a stand-in.
 */
#define DRBD_PROC "/proc/drbd"
int drbd_window_whole(const struct drbd_window *w, const char *proc, struct error *err) WARN_UNUSED;

/*
 * Destination: become primary, inside the open window, unless it is. Each time, before and after,
 * look that the source is still connected: -ENOTCONN when it is not. Nothing may open the disks
 * here before the source's are at rest. On failure drbd_window_end with `demote` takes it back.
 */
int drbd_window_promote(struct drbd_window *w, struct error *err) WARN_UNUSED;

/*
 * The end of the window, on every path once it was opened: with `demote` (the domain is not this
 * host's) give up primary, then forbid two primaries again, each tried until `deadline` since
 * blkback lets go late, look whether that is so and the two sides are connected, and only then
 * forget what was written down. Where they had parted they are connected again (drbd_tool.h), which
 * takes more than one call: -EAGAIN until then. Failures are logged as well as returned; lifeboatd
 * tries again while it is written down.
 */
int drbd_window_end(struct drbd_window *w, bool demote, int64_t deadline, struct error *err);

/* Only the first part of it, while the other host still needs the window. Failures are logged. */
void drbd_window_demote(struct drbd_window *w, int64_t deadline);

#endif
