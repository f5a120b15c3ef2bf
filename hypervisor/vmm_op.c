/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operations of vmm_protocol.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "hypervisor/embedded_config.h"
#include "hypervisor/vmm.h"

static int refuse(struct vmm *vmm, struct vmm_call *c, const char *fix, const char *why)
{
	return error_set(&c->err, -EINVAL, fix, "domain `%s' %s", vmm->spec.name, why);
}

static int op_status(struct vmm *vmm, struct vmm_call *c)
{
	(void)vmm;
	(void)c;
	return 0;
}

static int op_config(struct vmm *vmm, struct vmm_call *c)
{
	char *json = embedded_config_encode(&vmm->spec);
	int fd = memfd_create("lifeboat-config", MFD_CLOEXEC), rc = -ENOMEM;

	if (json && fd >= 0 && write(fd, json, strlen(json)) == (ssize_t)strlen(json)) {
		c->fds[0] = fd;
		c->nr_fds = 1;
		c->own_fds = true;
		fd = -1;
		rc = 0;
	}
	fd_close(&fd);
	free(json);
	return rc ? error_sys(&c->err, rc, NULL, "cannot write the configuration") : 0;
}

static int op_pause(struct vmm *vmm, struct vmm_call *c)
{
	if (vmm->shut || vmm->suspended || vmm->incoming)
		return refuse(vmm, c, NULL, "does not run");
	vmm_run_hold(vmm);
	vmm_clock_stop(vmm);
	vmm->paused = true;
	return 0;
}

static int op_unpause(struct vmm *vmm, struct vmm_call *c)
{
	if (vmm->incoming)
		return refuse(vmm, c, "Wait for the move to end", "is being built by a move");
	if (vmm->suspended)
		return refuse(vmm, c, "Let migrate finish or roll back the move",
			"is suspended for a move");
	if (vmm->shut)
		return refuse(vmm, c, "Destroy it and create it again", "has shut down");
	vmm->paused = false;
	return 0;
}

static int ask_guest(struct vmm *vmm, struct vmm_call *c, uint32_t event)
{
	if (vmm->shut || vmm->suspended || vmm->incoming)
		return refuse(vmm, c, NULL, "does not run");
	vmm->events |= event;
	return 0;
}

static int op_shutdown(struct vmm *vmm, struct vmm_call *c)
{
	return ask_guest(vmm, c, GUEST_EVENT_SHUTDOWN);
}

static int op_reboot(struct vmm *vmm, struct vmm_call *c)
{
	return ask_guest(vmm, c, GUEST_EVENT_REBOOT);
}

static int op_destroy(struct vmm *vmm, struct vmm_call *c)
{
	(void)c;
	log_info("%s: destroyed on request", vmm->spec.name);
	vmm->ending = true;
	return 0;
}

static int op_rename(struct vmm *vmm, struct vmm_call *c)
{
	return vmm_control_rename(vmm, c->req->text, &c->err);
}

static int op_console(struct vmm *vmm, struct vmm_call *c)
{
	(void)vmm;
	if (c->conn->role != CONN_PLAIN)
		return error_set(&c->err, -EBUSY, NULL, "this connection has another use");
	c->conn->console_pos = 0;
	c->conn->role = CONN_CONSOLE;
	return 0;
}

static int op_save_begin(struct vmm *vmm, struct vmm_call *c)
{
	int rc;

	if (c->conn->role != CONN_PLAIN)
		return error_set(&c->err, -EBUSY, NULL, "this connection has another use");
	rc = vmm_state_xfeatures(vmm, &c->xfeatures, &c->err);
	if (!rc)
		rc = vmm_save_begin(
			vmm, (enum config_tracker)c->req->arg, c->fds, &c->nr_fds, &c->err);
	if (!rc)
		c->conn->role = CONN_SAVER;
	return rc;
}

static int op_watch(struct vmm *vmm, struct vmm_call *c)
{
	int rc = op_save_begin(vmm, c);

	vmm->watching = rc == 0 || vmm->watching;
	return rc;
}

static int op_save_suspend(struct vmm *vmm, struct vmm_call *c)
{
	int rc;

	if (c->conn->role != CONN_SAVER || vmm->suspended || vmm->watching)
		return refuse(vmm, c, NULL, "is not being moved by this connection");
	rc = vmm_save_suspend(vmm, &c->fds[0], &c->err);
	if (!rc) {
		c->nr_fds = 1;
		c->own_fds = true;
	}
	return rc;
}

static int op_save_done(struct vmm *vmm, struct vmm_call *c)
{
	if (c->conn->role != CONN_SAVER || !vmm->suspended)
		return refuse(vmm, c, NULL, "is not suspended by this connection");
	vmm_save_done(vmm);
	c->conn->role = CONN_PLAIN;
	return 0;
}

static int op_throttle(struct vmm *vmm, struct vmm_call *c)
{
	if (c->req->arg < 1 || c->req->arg > 100)
		return refuse(vmm, c, NULL, "cannot have that share of the CPU");
	if (c->req->arg < 100 && !vmm->saving)
		return refuse(vmm, c, NULL, "is only slowed while it is moved");
	vmm_run_throttle(vmm, (unsigned)c->req->arg);
	return 0;
}

static int op_resume(struct vmm *vmm, struct vmm_call *c)
{
	if (!vmm->suspended || vmm->saving)
		return refuse(vmm, c, NULL, "is not suspended by a finished save");
	vmm_save_undo(vmm);
	log_info("%s: resumed here", vmm->spec.name);
	return 0;
}

static int open_devices(struct vmm *vmm, struct error *err)
{
	int rc = vmm_disk_open(vmm, err);

	if (!rc)
		rc = vmm_net_open(vmm, err);
	if (!rc)
		vmm_drop_privileges();
	return rc;
}

static int op_boot(struct vmm *vmm, struct vmm_call *c)
{
	int rc;

	if (vmm->incoming || vmm->phase != PHASE_NONE || vmm->shut)
		return refuse(vmm, c, NULL, "has been started already");
	rc = open_devices(vmm, &c->err);
	if (!rc)
		rc = vmm_monitor_boot(vmm, &c->err);
	if (rc) {
		vmm->ending = true;
		return rc;
	}
	vmm->paused = c->req->arg != 0;
	log_info("%s: created, %llu MiB, guest process %d%s%s", vmm->spec.name,
		(unsigned long long)vmm->spec.memory_mb, vmm->pid,
		vmm->tracker_reason[0] ? ", no pagemap tracking: " : "", vmm->tracker_reason);
	return 0;
}

static int load_tail(struct vmm *vmm, struct vmm_call *c)
{
	struct embedded_tail *tail = malloc(sizeof(*tail));
	uint8_t *buf = malloc(STATE_TAIL_MAX);
	ssize_t len = tail && buf && c->fd_in >= 0 ? pread(c->fd_in, buf, STATE_TAIL_MAX, 0) : -1;
	int rc = -EPROTO;

	if (len < 0)
		error_set(&c->err, rc, NULL, "the domain's CPU state is missing");
	else
		rc = embedded_tail_decode(tail, buf, (size_t)len, &c->err);
	if (!rc)
		rc = open_devices(vmm, &c->err);
	if (!rc)
		rc = vmm_process_start(vmm, &c->err);
	if (!rc)
		rc = vmm_state_load(vmm, tail, &c->err);
	free(tail);
	free(buf);
	return rc;
}

static int op_finish(struct vmm *vmm, struct vmm_call *c)
{
	int rc;

	if (!vmm->incoming || vmm->phase != PHASE_NONE)
		return refuse(vmm, c, NULL, "is not being built");
	rc = load_tail(vmm, c);
	if (rc)
		vmm->ending = true;
	return rc;
}

static int op_activate(struct vmm *vmm, struct vmm_call *c)
{
	int rc;

	if (!vmm->incoming || vmm->phase != PHASE_HELD)
		return refuse(vmm, c, NULL, "is not complete");
	rc = vmm_control_rename(vmm, c->req->text, &c->err);
	if (rc)
		return rc;
	vmm->incoming = false;
	log_info("%s: runs here now, guest process %d", vmm->spec.name, vmm->pid);
	return 0;
}

static const struct {
	int (*fn)(struct vmm *vmm, struct vmm_call *c);
	bool creator_only;
} ops[VMM_OP_MAX] = {
	[VMM_STATUS] = {op_status, false},
	[VMM_CONFIG] = {op_config, false},
	[VMM_PAUSE] = {op_pause, false},
	[VMM_UNPAUSE] = {op_unpause, false},
	[VMM_SHUTDOWN] = {op_shutdown, false},
	[VMM_REBOOT] = {op_reboot, false},
	[VMM_DESTROY] = {op_destroy, false},
	[VMM_RENAME] = {op_rename, false},
	[VMM_CONSOLE] = {op_console, false},
	[VMM_SAVE_BEGIN] = {op_save_begin, false},
	[VMM_SAVE_SUSPEND] = {op_save_suspend, false},
	[VMM_SAVE_DONE] = {op_save_done, false},
	[VMM_RESUME] = {op_resume, false},
	[VMM_BOOT] = {op_boot, true},
	[VMM_FINISH] = {op_finish, true},
	[VMM_ACTIVATE] = {op_activate, false},
	[VMM_WATCH] = {op_watch, false},
	[VMM_THROTTLE] = {op_throttle, false},
};

int vmm_op_run(struct vmm *vmm, struct vmm_call *c)
{
	const struct vmm_request *req = c->req;

	if (req->protocol != VMM_PROTOCOL || req->op >= VMM_OP_MAX || !ops[req->op].fn)
		return error_set(&c->err, -EPROTO, "Use the programs of one version of lifeboat",
			"the domain's vmm does not understand this request");
	if (ops[req->op].creator_only && c->conn->role != CONN_CREATOR)
		return error_set(&c->err, -EPERM, NULL, "only its builder may do that");
	return ops[req->op].fn(vmm, c);
}
