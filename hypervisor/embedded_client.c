/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/embedded_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

#define ANSWER_MS 20000 /* a vmm answers in milliseconds unless its host swaps or is stopped */

int client_connect(const char *run_dir, const char *name, struct error *err)
{
	char path[PATH_MAX];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/embedded/%s.sock", run_dir, name) >=
		sizeof(path))
		return error_sys(err, -ENAMETOOLONG, NULL, "%s", run_dir);
	fd = unix_connect(path, SOCK_SEQPACKET);
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return error_set(err, -ENOENT, "See hv list for the domains of this host",
			"no domain is named `%s' here", name);
	if (fd < 0)
		return error_sys(err, fd,
			fd == -EACCES ? "Run it as the domain's owner or as root" : NULL,
			"cannot reach domain `%s'", name);
	return fd;
}

static int wait_readable(int sock, struct error *err)
{
	int64_t deadline = deadline_in(ANSWER_MS);
	struct pollfd p = {.fd = sock, .events = POLLIN};
	int r;

	do {
		r = poll(&p, 1, deadline_poll_ms(deadline));
	} while (r < 0 && errno == EINTR);
	if (r > 0)
		return 0;
	return error_set(err, -ETIMEDOUT, "Look whether its lifeboat-vmm process is stopped",
		"the domain's vmm does not answer");
}

int client_receive(int sock, struct vmm_reply *reply, int *fds, size_t *nr_fds, struct error *err)
{
	int none[1];
	size_t nr_none = 0;
	ssize_t n;
	int rc = wait_readable(sock, err);

	if (rc)
		return rc;
	n = io_recv_fds(sock, reply, sizeof(*reply), fds ? fds : none, fds ? nr_fds : &nr_none);
	if (n != (ssize_t)sizeof(*reply))
		return error_set(err, n < 0 ? (int)n : -EPIPE,
			"Look at the domain's log in run_dir/embedded",
			"the domain's vmm has ended");
	if (reply->protocol != VMM_PROTOCOL)
		return error_set(err, -EPROTO, "Use the programs of one version of lifeboat",
			"the domain's vmm is of another version of lifeboat");
	if (reply->rc)
		return error_set(err, reply->rc, reply->err.fix[0] ? reply->err.fix : NULL, "%s",
			reply->err.what);
	return 0;
}

int client_request(int sock, const struct client_call *call, struct vmm_reply *reply, int *fds,
	size_t *nr_fds, struct error *err)
{
	struct vmm_request req = {.protocol = VMM_PROTOCOL, .op = call->op, .arg = call->arg};
	int rc;

	if (call->text)
		snprintf(req.text, sizeof(req.text), "%s", call->text);
	rc = io_send_fds(sock, &req, sizeof(req), &call->fd_out, call->fd_out >= 0);
	if (rc)
		return error_sys(err, rc, NULL, "the domain's vmm has ended");
	return client_receive(sock, reply, fds, nr_fds, err);
}

int client_simple(const char *run_dir, const char *name, enum vmm_op op, uint64_t arg,
	const char *text, struct vmm_reply *reply, struct error *err)
{
	struct client_call call = {.op = op, .arg = arg, .text = text, .fd_out = -1};
	struct vmm_reply mine;
	int sock = client_connect(run_dir, name, err), rc;

	if (sock < 0)
		return sock;
	rc = client_request(sock, &call, reply ? reply : &mine, NULL, NULL, err);
	if (!rc && op == VMM_DESTROY)
		rc = client_wait_gone(sock, err);
	fd_close(&sock);
	return rc;
}

int client_wait_gone(int sock, struct error *err)
{
	char sink[256];
	int rc;

	for (;;) {
		ssize_t n;

		rc = wait_readable(sock, err);
		if (rc)
			return rc;
		n = recv(sock, sink, sizeof(sink), 0);
		if (n <= 0 && errno != EINTR)
			return 0;
	}
}
