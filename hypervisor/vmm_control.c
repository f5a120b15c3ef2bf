/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "hypervisor/embedded_config.h"
#include "hypervisor/vmm.h"

static enum domain_state state_of(const struct vmm *vmm)
{
	if (vmm->incoming)
		return DOMAIN_INCOMING;
	if (vmm->shut)
		return DOMAIN_SHUTDOWN;
	if (vmm->suspended)
		return DOMAIN_SUSPENDED;
	return vmm->paused ? DOMAIN_PAUSED : DOMAIN_RUNNING;
}

static void fill_reply(const struct vmm *vmm, struct vmm_reply *reply)
{
	struct stat st;

	reply->protocol = VMM_PROTOCOL;
	embedded_config_domain(&vmm->spec, &reply->dom);
	for (unsigned i = 0; i < reply->dom.nr_vifs; i++)
		memcpy(reply->dom.vif[i].device, vmm->tap[i].ifname,
			sizeof(reply->dom.vif[i].device));
	reply->dom.domid = (uint32_t)getpid();
	reply->dom.state = state_of(vmm);
	reply->dom.cpu_ms = vmm_process_cpu_ns(vmm) / 1000000;
	reply->dom.tick = vmm->tick;
	reply->dom.faults = vmm->faults;
	snprintf(reply->dom.tracker, sizeof(reply->dom.tracker), "%s",
		vmm->tracker_reason[0] ? "compare" : "pagemap");
	memcpy(reply->tracker_reason, vmm->tracker_reason, sizeof(reply->tracker_reason));
	if (fstat(vmm->memory_fd, &st) == 0)
		reply->populated_kb = (uint64_t)st.st_blocks / 2;
}

int vmm_control_reply(struct vmm *vmm, int fd, int rc, const struct error *err)
{
	struct vmm_reply reply = {.rc = rc};

	fill_reply(vmm, &reply);
	if (rc)
		reply.err = *err;
	return io_send_fds(fd, &reply, sizeof(reply), NULL, 0);
}

static void drop(struct vmm *vmm, struct vmm_conn *conn)
{
	enum conn_role role = conn->role;

	conn->role = CONN_FREE;
	fd_close(&conn->fd);
	if (role == CONN_SAVER) {
		if (!vmm->watching)
			log_warn("%s: the move was given up: it runs on here", vmm->spec.name);
		vmm_save_undo(vmm);
	}
	/* Half built, it is nobody's; complete, it stays until somebody decides. */
	if (role == CONN_CREATOR && vmm->phase == PHASE_NONE && !vmm->shut)
		vmm->ending = true;
}

static void handle(struct vmm *vmm, struct vmm_conn *conn, struct vmm_request *req, int fd_in)
{
	struct vmm_call c = {.conn = conn, .req = req, .fd_in = fd_in};
	struct vmm_reply reply = {0};

	req->text[sizeof(req->text) - 1] = '\0';
	reply.rc = vmm_op_run(vmm, &c);
	fill_reply(vmm, &reply);
	reply.err = c.err;
	reply.xfeatures = c.xfeatures;
	if (io_send_fds(conn->fd, &reply, sizeof(reply), c.fds, reply.rc ? 0 : c.nr_fds))
		drop(vmm, conn);
	for (size_t i = 0; c.own_fds && i < c.nr_fds; i++)
		fd_close(&c.fds[i]);
}

static void console_input(struct vmm *vmm, struct vmm_conn *conn)
{
	struct vmm_ring *r = &vmm->ring;
	uint8_t buf[512];
	ssize_t n = recv(conn->fd, buf, sizeof(buf), MSG_DONTWAIT);
	size_t take;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		drop(vmm, conn);
		return;
	}
	if (n < 0)
		return;
	take = (size_t)n < sizeof(r->in) - r->in_len ? (size_t)n : sizeof(r->in) - r->in_len;
	memcpy(r->in + r->in_len, buf, take);
	r->in_len += take;
}

/* One message of output. A reader that fell behind by more than the ring misses the difference. */
static void console_output(struct vmm *vmm, struct vmm_conn *conn)
{
	const struct vmm_ring *r = &vmm->ring;
	size_t at, n;

	if (r->out_pos - conn->console_pos > VMM_RING_BYTES)
		conn->console_pos = r->out_pos - VMM_RING_BYTES;
	at = (size_t)(conn->console_pos % VMM_RING_BYTES);
	n = (size_t)(r->out_pos - conn->console_pos);
	if (n > VMM_RING_BYTES - at)
		n = VMM_RING_BYTES - at;
	if (n > 16384)
		n = 16384;
	if (n && send(conn->fd, r->out + at, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n)
		conn->console_pos += n;
}

void vmm_control_ready(struct vmm *vmm, struct vmm_conn *conn, short revents)
{
	struct vmm_request req;
	int fds[1] = {-1};
	size_t nr_fds = 1;
	ssize_t n;

	if (conn->role == CONN_CONSOLE) {
		if (revents & POLLOUT)
			console_output(vmm, conn);
		if (revents & (POLLIN | POLLHUP | POLLERR))
			console_input(vmm, conn);
		return;
	}
	if (!(revents & (POLLIN | POLLHUP | POLLERR)))
		return;
	n = io_recv_fds(conn->fd, &req, sizeof(req), fds, &nr_fds);
	if (n == (ssize_t)sizeof(req))
		handle(vmm, conn, &req, nr_fds ? fds[0] : -1);
	else
		drop(vmm, conn);
	if (n >= 0 && nr_fds)
		fd_close(&fds[0]);
}

void vmm_control_flush(struct vmm *vmm)
{
	for (unsigned i = 0; i < VMM_CONNS; i++) {
		struct vmm_conn *c = &vmm->conn[i];
		uint64_t before;

		if (c->role != CONN_CONSOLE)
			continue;
		do {
			before = c->console_pos;
			console_output(vmm, c);
		} while (c->console_pos != before);
	}
}

int vmm_control_add(struct vmm *vmm, int fd, enum conn_role role)
{
	for (unsigned i = 0; i < VMM_CONNS; i++) {
		if (vmm->conn[i].role != CONN_FREE)
			continue;
		vmm->conn[i] = (struct vmm_conn){.role = role, .fd = fd};
		return 0;
	}
	return -EMFILE;
}

/* The directory is 0700; the owner is asked for all the same. */
void vmm_control_accept(struct vmm *vmm)
{
	int fd = accept4(vmm->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
		(peer.uid != 0 && peer.uid != geteuid()) || vmm_control_add(vmm, fd, CONN_PLAIN))
		fd_close(&fd);
}

static int socket_path(const struct vmm *vmm, const char *name, char *out, const char *suffix)
{
	int n = snprintf(out, PATH_MAX, "%s/embedded/%s.%s", vmm->run_dir, name, suffix);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int name_taken(const char *name, int rc, struct error *err)
{
	if (rc == -EADDRINUSE)
		return error_set(err, -EEXIST, "Destroy or rename that one, or choose another name",
			"a domain named `%s' exists on this host", name);
	return error_sys(err, rc, "Check run_dir in the configuration",
		"cannot listen for domain `%s'", name);
}

int vmm_control_listen(struct vmm *vmm, const char *name, struct error *err)
{
	int rc = socket_path(vmm, name, vmm->socket, "sock");

	if (rc)
		return name_taken(name, rc, err);
	vmm->listen_fd = unix_listen(vmm->socket, SOCK_SEQPACKET);
	if (vmm->listen_fd >= 0)
		return 0;
	vmm->socket[0] = '\0'; /* not ours to remove */
	return name_taken(name, vmm->listen_fd, err);
}

int vmm_control_rename(struct vmm *vmm, const char *name, struct error *err)
{
	char path[PATH_MAX], old_log[PATH_MAX], new_log[PATH_MAX];
	int fd;

	if (!domain_name_valid(name))
		return error_set(err, -EINVAL, NULL, "`%s' is no domain name", name);
	if (strcmp(name, vmm->spec.name) == 0)
		return 0;
	if (socket_path(vmm, name, path, "sock") || socket_path(vmm, name, new_log, "log") ||
		socket_path(vmm, vmm->spec.name, old_log, "log"))
		return name_taken(name, -ENAMETOOLONG, err);
	fd = unix_connect(path, SOCK_SEQPACKET);
	if (fd >= 0) {
		fd_close(&fd);
		return name_taken(name, -EADDRINUSE, err);
	}
	if (fd == -ECONNREFUSED)
		unlink(path);
	if (renameat2(AT_FDCWD, vmm->socket, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
		return name_taken(name, errno == EEXIST ? -EADDRINUSE : -errno, err);
	if (rename(old_log, new_log) < 0)
		log_warn("cannot rename %s: %s", old_log, strerror(errno));
	log_info("%s: renamed to %s", vmm->spec.name, name);
	memcpy(vmm->socket, path, sizeof(path));
	snprintf(vmm->spec.name, sizeof(vmm->spec.name), "%s", name);
	return 0;
}
