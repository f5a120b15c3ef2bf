/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/join.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORD_MS 1000

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

int join_take(struct join *j, struct join_word *word)
{
	int fd = accept4(j->listen, NULL, NULL, SOCK_CLOEXEC), link = -1;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t nr = 1;
	ssize_t n = -ETIMEDOUT;

	if (fd < 0)
		return -errno;
	/* Who connected and says nothing must not hold up the domain that is built. */
	if (poll(&p, 1, WORD_MS) > 0)
		n = io_recv_fds(fd, word, sizeof(*word), &link, &nr);
	fd_close(&fd);
	if (n != sizeof(*word) || !memchr(word->peer, '\0', sizeof(word->peer)) ||
		word->stream >= RECORD_STREAMS_MAX) {
		fd_close(&link);
		return n < 0 ? (int)n : -EPROTO;
	}
	return link >= 0 ? link : -ENODATA;
}

int join_pass(const struct config *cfg, const uint8_t token[static RECORD_TOKEN_LEN],
	const struct join_word *word, int link)
{
	char path[PATH_MAX];
	int rc = set_path(path, sizeof(path), cfg, token), fd;

	if (rc)
		return rc;
	fd = unix_connect(path, SOCK_SEQPACKET);
	if (fd == -ECONNREFUSED)
		unlink(path); /* its engine was killed */
	if (fd < 0)
		return fd == -ECONNREFUSED ? -ENOENT : fd;
	rc = io_send_fds(fd, word, sizeof(*word), &link, link < 0 ? 0 : 1);
	fd_close(&fd);
	return rc;
}
