/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/join.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int set_path(char *path, size_t size, const struct config *cfg,
	const uint8_t token[static RECORD_TOKEN_LEN])
{
	char text[2 * RECORD_TOKEN_LEN + 1];

	/* Half of it is name enough, and the path of a socket may have 107 bytes only. */
	sodium_bin2hex(text, sizeof(text), token, RECORD_TOKEN_LEN / 2);
	return snprintf(path, size, "%s/join/%s", cfg->run_dir, text) < (int)size ? 0
										  : -ENAMETOOLONG;
}

int join_open(
	struct join *j, const struct config *cfg, const uint8_t token[static RECORD_TOKEN_LEN])
{
	char dir[PATH_MAX];
	int rc = snprintf(dir, sizeof(dir), "%s/join", cfg->run_dir) < (int)sizeof(dir)
			 ? io_mkdir_p(dir, 0700)
			 : -ENAMETOOLONG;

	*j = JOIN_INIT;
	if (rc == 0)
		rc = set_path(j->path, sizeof(j->path), cfg, token);
	if (rc == 0)
		rc = j->listen = unix_listen(j->path, SOCK_SEQPACKET);
	return rc < 0 ? rc : 0;
}

void join_close(struct join *j)
{
	if (j->listen >= 0)
		unlink(j->path);
	fd_close(&j->listen);
}

int join_take(struct join *j, char peer[static HOST_NAME_LEN])
{
	int fd = accept4(j->listen, NULL, NULL, SOCK_CLOEXEC), link = -1;
	size_t nr = 1;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = io_recv_fds(fd, peer, HOST_NAME_LEN, &link, &nr);
	fd_close(&fd);
	if (n <= 0 || memchr(peer, '\0', (size_t)n) == NULL) {
		fd_close(&link);
		return n < 0 ? (int)n : -EPROTO;
	}
	return nr == 1 ? link : -ENODATA;
}

int join_pass(const struct config *cfg, const uint8_t token[static RECORD_TOKEN_LEN],
	const char *peer, int link)
{
	char path[PATH_MAX];
	int rc = set_path(path, sizeof(path), cfg, token), fd;

	if (rc)
		return rc;
	fd = unix_connect(path, SOCK_SEQPACKET);
	if (fd < 0)
		return fd == -ECONNREFUSED ? -ENOENT : fd;
	rc = io_send_fds(fd, peer, strlen(peer) + 1, &link, link < 0 ? 0 : 1);
	fd_close(&fd);
	return rc;
}
