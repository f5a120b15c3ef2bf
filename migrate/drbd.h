/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * drbd: the dual-primary window of a move. Disks on DRBD must be writable on both hosts from the
 * moment the destination attaches them until the source's domain is gone, and at no other time.
 *
 * All of it runs drbdadm(8) and blocks for as long as that takes, at most DRBD_COMMAND_MS a
 * resource, or until the deadline where one is given (0 = one attempt).
 * Domains without a disk on DRBD make every function a no-op that returns 0.
 */
#ifndef MIGRATE_DRBD_H
#define MIGRATE_DRBD_H

#include "hypervisor/hypervisor.h"

#define DRBD_COMMAND_MS	  20000
#define DRBD_RESOURCE_LEN 128

struct drbd_window {
	char resource[DOMAIN_DISKS_MAX][DRBD_RESOURCE_LEN];
	unsigned nr;
	bool open;
};

/* Which of the domain's disks are DRBD's, by resource name. */
int drbd_window_init(
	struct drbd_window *w, const struct domain *dom, struct error *err) WARN_UNUSED;

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

/* protocol C and allow-two-primaries on this host. Idempotent. */
int drbd_window_open(struct drbd_window *w, struct error *err) WARN_UNUSED;

/* Destination: become primary, inside the open window. */
int drbd_window_promote(const struct drbd_window *w, struct error *err) WARN_UNUSED;

/* Give up primary (the loser of the move), tried until `deadline`: blkback lets go late. */
int drbd_window_demote(
	const struct drbd_window *w, int64_t deadline, struct error *err) WARN_UNUSED;

/* Forbid two primaries again, tried until `deadline`. Call it on every path once opened. */
int drbd_window_close(struct drbd_window *w, int64_t deadline, struct error *err) WARN_UNUSED;

#endif
