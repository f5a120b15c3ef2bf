/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

void fd_close(int *fd)
{
	int saved_errno = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved_errno;
}

/* Wait until `fd` has `events`, an error or a hang-up. 0, -ETIMEDOUT or -errno. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	int r;

	do {
		r = poll(&p, 1, deadline_poll_ms(deadline));
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	return r == 0 ? -ETIMEDOUT : 0;
}

/*
 * Try first and poll only when it would block, so that the common case is one system call. A
 * blocking descriptor with a deadline is polled beforehand: its read could outlast the deadline.
 */
int io_read_exact(int fd, void *buf, size_t len, int64_t deadline)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n;
		int rc;

		if (deadline != DEADLINE_NEVER) {
			rc = wait_for(fd, POLLIN, deadline);
			if (rc)
				return rc;
		}
		n = read(fd, p, len);
		if (n == 0)
			return -EPIPE;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			rc = wait_for(fd, POLLIN, deadline);
			if (rc)
				return rc;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

/*
 * One write that does not outlast its deadline even on a blocking descriptor, whose write(2) would
 * wait until everything is taken: sockets are asked not to, and a pipe that polls writable has
 * room for PIPE_BUF bytes.
 */
static ssize_t write_some(int fd, const void *buf, size_t len, bool bounded)
{
	ssize_t n = send(fd, buf, len, MSG_NOSIGNAL | (bounded ? MSG_DONTWAIT : 0));

	if (n >= 0 || errno != ENOTSOCK)
		return n;
	return write(fd, buf, bounded && len > PIPE_BUF ? PIPE_BUF : len);
}

int io_write_all(int fd, const void *buf, size_t len, int64_t deadline)
{
	const uint8_t *p = buf;

	while (len) {
		ssize_t n;
		int rc;

		if (deadline != DEADLINE_NEVER) {
			rc = wait_for(fd, POLLOUT, deadline);
			if (rc)
				return rc;
		}
		n = write_some(fd, p, len, deadline != DEADLINE_NEVER);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			rc = wait_for(fd, POLLOUT, deadline);
			if (rc)
				return rc;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int io_read_file(const char *path, size_t max, char **buf, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *out = NULL;
	size_t used = 0;
	int rc;

	if (fd < 0)
		return -errno;
	out = malloc(max + 1);
	if (!out) {
		rc = -ENOMEM;
		goto out;
	}
	for (;;) {
		ssize_t n = read(fd, out + used, max + 1 - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = -errno;
			goto out;
		}
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > max) {
			rc = -EFBIG;
			goto out;
		}
	}
	out[used] = '\0';
	*buf = out;
	if (len)
		*len = used;
	out = NULL;
	rc = 0;
out:
	free(out);
	fd_close(&fd);
	return rc;
}

static int sync_dir_of(const char *path)
{
	char dir[PATH_MAX];
	char *slash;
	int fd, rc = 0;

	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	else
		snprintf(dir, sizeof(dir), ".");
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		rc = -errno;
	fd_close(&fd);
	return rc;
}

int io_write_file(const char *path, const void *buf, size_t len, mode_t mode)
{
	char tmp[PATH_MAX];
	int fd = -1, rc;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp.%d", path, (int)getpid()) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	/* A crash of an earlier process with our number may have left one. */
	unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	rc = io_write_all(fd, buf, len, DEADLINE_NEVER);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	if (rc == 0 && rename(tmp, path) < 0)
		rc = -errno;
	if (rc)
		unlink(tmp);
	fd_close(&fd);
	return rc ? rc : sync_dir_of(path);
}

int io_mkdir_p(const char *path, mode_t mode)
{
	char buf[PATH_MAX];

	if (snprintf(buf, sizeof(buf), "%s", path) >= (int)sizeof(buf))
		return -ENAMETOOLONG;
	if (!buf[0])
		return -ENOENT;
	for (char *p = buf + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(buf, mode) < 0 && errno != EEXIST)
			return -errno;
		*p = c;
		if (c == '\0')
			return 0;
	}
}

int io_send_fds(int sock, const void *buf, size_t len, const int *fds, size_t nr_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * IO_FDS_MAX)];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (nr_fds > IO_FDS_MAX)
		return -EINVAL;
	if (nr_fds) {
		struct cmsghdr *c;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nr_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nr_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nr_fds);
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Take the descriptors of one message; those beyond `room` are closed and counted. */
static size_t take_fds(struct msghdr *msg, int *fds, size_t room, size_t *excess)
{
	size_t nr = 0;

	*excess = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (nr < room) {
				fds[nr++] = fd;
			} else {
				close(fd);
				(*excess)++;
			}
		}
	}
	return nr;
}

ssize_t io_recv_fds(int sock, void *buf, size_t len, int *fds, size_t *nr_fds)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * IO_FDS_MAX)];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	size_t room = nr_fds ? *nr_fds : 0, got, excess;
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	got = take_fds(&msg, fds, room, &excess);
	if (excess || (msg.msg_flags & (MSG_CTRUNC | MSG_TRUNC))) {
		while (got)
			close(fds[--got]);
		n = -EPROTO;
	}
	if (nr_fds)
		*nr_fds = got;
	return n;
}

static int unix_address(const char *path, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (snprintf(sa->sun_path, sizeof(sa->sun_path), "%s", path) >= (int)sizeof(sa->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

int unix_connect(const char *path, int type)
{
	struct sockaddr_un sa;
	int rc = unix_address(path, &sa), fd;

	if (rc)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		rc = -errno;
		fd_close(&fd);
		return rc;
	}
	return fd;
}

int unix_listen(const char *path, int type)
{
	struct sockaddr_un sa;
	int rc = unix_address(path, &sa), fd;

	if (rc)
		return rc;
	fd = unix_connect(path, type);
	if (fd >= 0) {
		fd_close(&fd);
		return -EADDRINUSE;
	}
	/* Nobody answers: what lies there is a dead process's socket. */
	if (fd == -ECONNREFUSED)
		unlink(path);
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 16) < 0) {
		rc = -errno;
		fd_close(&fd);
		return rc;
	}
	return fd;
}
