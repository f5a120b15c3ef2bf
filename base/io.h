/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * io: whole reads and writes, descriptors over UNIX sockets. Everything returns 0 or -errno.
 * fd -1 means "none" everywhere.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WARN_UNUSED __attribute__((warn_unused_result))

/* Close and forget; -1 is fine. errno is kept. */
void fd_close(int *fd);

/*
 * Read or write exactly `len` bytes before `deadline` (clock.h).
 * -EPIPE on end of file, -ETIMEDOUT when the deadline passes, else -errno.
 * Work on blocking and non-blocking descriptors alike.
 */
int io_read_exact(int fd, void *buf, size_t len, int64_t deadline) WARN_UNUSED;
int io_write_all(int fd, const void *buf, size_t len, int64_t deadline) WARN_UNUSED;

/* Read a whole small file (at most `max` bytes) into a fresh NUL-terminated buffer; the caller
 * frees. */
int io_read_file(const char *path, size_t max, char **buf, size_t *len) WARN_UNUSED;

/* Write a file by way of a temporary one, fsync and rename: it is there whole or not at all. */
int io_write_file(const char *path, const void *buf, size_t len, mode_t mode) WARN_UNUSED;

/* mkdir -p with `mode` for the directories that it makes. */
int io_mkdir_p(const char *path, mode_t mode) WARN_UNUSED;

#define IO_FDS_MAX 4

/*
 * One message of `len` bytes with up to IO_FDS_MAX descriptors over a UNIX socket. The sender
 * keeps its descriptors. Received ones are CLOEXEC and belong to the caller; `*nr_fds` is in/out:
 * room, then count. io_recv_fds returns the bytes received (0 at end of file) or -errno; more
 * descriptors than there is room for are closed and give -EPROTO.
 */
int io_send_fds(int sock, const void *buf, size_t len, const int *fds, size_t nr_fds) WARN_UNUSED;
ssize_t io_recv_fds(int sock, void *buf, size_t len, int *fds, size_t *nr_fds) WARN_UNUSED;

/*
 * UNIX sockets by path. `type` is SOCK_STREAM or SOCK_SEQPACKET, CLOEXEC is added. They return the
 * descriptor or -errno. unix_listen replaces a dead socket file but gives -EADDRINUSE for a live
 * one.
 */
int unix_listen(const char *path, int type) WARN_UNUSED;
int unix_connect(const char *path, int type) WARN_UNUSED;

#endif
