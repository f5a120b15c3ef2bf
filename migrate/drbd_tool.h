/* SPDX-License-Identifier: GPL-2.0-or-later */
/* drbd_tool: drbdadm(8) and drbdsetup(8), for drbd*.c only. Each call blocks, see drbd.h. */
#ifndef MIGRATE_DRBD_TOOL_H
#define MIGRATE_DRBD_TOOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/io.h"
#include "migrate/drbd.h"

#define DRBD_OUTPUT_MAX 8192

/*
 * TOOL ARGS RESOURCE; its output in `out`, DRBD_OUTPUT_MAX of room (NULL = thrown away). A nonzero
 * exit becomes -EIO with the first line it said.
 */
int drbd_tool(const char *tool, const char *const *args, const char *resource, char *out,
	struct error *err) WARN_UNUSED;
int drbd_adm(
	const char *const *args, const char *resource, char *out, struct error *err) WARN_UNUSED;

/*
 * Try until it works or the deadline is past: DRBD and blkback let go when they please and tell
 * nobody.
 */
int drbd_adm_until(const char *const *args, const char *resource, int64_t deadline,
	struct error *err) WARN_UNUSED;

/* drbd_find.c: is this the path of a DRBD device? And of which resource; -ENOENT when of none. */
bool drbd_is(const char *path);
int drbd_find(const char *path, char out[static DRBD_RESOURCE_LEN], struct error *err) WARN_UNUSED;

/*
 * drbd_rejoin.c: after a hand-over during which the connection was lost the two sides may have
 * parted: DRBD goes to StandAlone and stays there when the other side has another
 * allow-two-primaries, or when both were primary. Connect it again. `mine`: the domain is this
 * host's; otherwise what this side has is given up, if it was seen to have no change of its own.
 * 0 = connected; -EAGAIN = not yet, try later; -errno.
 */
int drbd_rejoin(const char *resource, bool mine, struct error *err) WARN_UNUSED;

/*
 * What version 8.4 of DRBD says of a device, without starting a program: "cs:Connected ro:...
 * ds:... oos:0". -ENODATA when it says nothing of it, as version 9 does not.
 */
#define DRBD_PART_MAX 1024
int drbd_proc(const char *proc, dev_t dev, char out[static DRBD_PART_MAX]) WARN_UNUSED;

/* Bytes that this side changed and the other lacks, summed over the resource; -errno = not known.
 */
int64_t drbd_unsynced(const char *resource, const char *proc);

#endif
