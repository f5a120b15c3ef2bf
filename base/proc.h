/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * proc: start programs by argument array, never through a shell, with exactly the descriptors
 * they need. Our own helper programs are found beside the running one (build tree) or in
 * LIFEBOAT_LIBEXECDIR.
 */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/io.h"

/* Absolute path of one of our programs ("lifeboat-wire") into `out`. 0 or -ENOENT. */
int proc_our_program(const char *name, char *out, size_t size) WARN_UNUSED;

/* Path of a shipped embedded guest ("ledger", "pong") into `out`. 0 or -ENOENT. */
int proc_guest_image(const char *name, char *out, size_t size) WARN_UNUSED;

struct proc_fd {
	int from; /* descriptor here */
	int to;	  /* its number in the child (3 and up), made non-CLOEXEC there */
};

/*
 * fork + exec. Descriptors 0-2 are inherited, the listed ones moved, all others closed. The child
 * gets default signals and an empty mask. `flags`: PROC_DETACH puts it in its own session, so that
 * a Ctrl-C at our terminal and our own end do not reach it. Returns the pid or -errno.
 */
#define PROC_DETACH 1u
pid_t proc_spawn(const char *path, char *const argv[], const struct proc_fd *fds, size_t nr_fds,
	unsigned flags) WARN_UNUSED;

/*
 * Run a program to its end, by PATH, its output collected into `out` (NUL-terminated, cut at
 * `size`; NULL discards). Returns the exit status, or -ETIMEDOUT (it is killed), -ENOENT, -errno.
 */
int proc_run(char *const argv[], char *out, size_t size, int64_t deadline) WARN_UNUSED;

/* Wait for a child until the deadline, then SIGTERM, after 2 s SIGKILL. Returns its wait status. */
int proc_reap(pid_t pid, int64_t deadline);

#endif
