/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "hypervisor/vmm.h"

#define XSTATE_BV_OFFSET 512u
#define XCOMP_BV_LEN	 56u /* rest of the xsave header; must be zero in the standard format */
#define EFLAGS_FIXED	 0x202u

static int get_regset(struct vmm *vmm, int type, void *buf, size_t *len)
{
	struct iovec iov = {.iov_base = buf, .iov_len = *len};

	if (ptrace(PTRACE_GETREGSET, vmm->pid, type, &iov) < 0)
		return -errno;
	*len = iov.iov_len;
	return 0;
}

static int get_xstate(struct vmm *vmm, uint8_t *buf, uint32_t *len, struct error *err)
{
	size_t n = STATE_XSTATE_MAX;
	int rc = get_regset(vmm, NT_X86_XSTATE, buf, &n);

	if (rc)
		return error_sys(err, rc, NULL, "cannot read the guest's FPU state");
	*len = (uint32_t)n;
	return 0;
}

int vmm_state_xfeatures(struct vmm *vmm, uint64_t *xfeatures, struct error *err)
{
	uint8_t buf[STATE_XSTATE_MAX];
	uint32_t len;
	int rc;

	vmm_run_hold(vmm);
	if (vmm->phase != PHASE_HELD)
		return error_set(err, -ESTALE, "Look at its log", "the domain has just ended");
	rc = get_xstate(vmm, buf, &len, err);
	if (!rc)
		*xfeatures = xstate_in_use(buf, len);
	return rc;
}

int vmm_state_save(struct vmm *vmm, struct embedded_tail *tail, struct error *err)
{
	size_t len = sizeof(tail->regs);
	int rc = get_regset(vmm, NT_PRSTATUS, &tail->regs, &len);

	if (rc || len != sizeof(tail->regs))
		return error_sys(err, rc ? rc : -EIO, NULL, "cannot read the guest's registers");
	rc = get_xstate(vmm, tail->xstate, &tail->xstate_len, err);
	if (rc)
		return rc;
	tail->guest_ns = vmm_clock_ns(vmm);
	tail->events = vmm->events;
	tail->tick = vmm->tick;
	tail->faults = vmm->faults;
	tail->cpu_ns = vmm_process_cpu_ns(vmm);
	tail->console_len = (uint32_t)vmm_console_tail(vmm, tail->console, sizeof(tail->console));
	return 0;
}

/*
 * The area's size differs between CPUs, and the kernel wants exactly its own. What the guest uses
 * lies at the same place here (checked by HEAD), so ours is taken and theirs laid over it.
 */
static int set_xstate(struct vmm *vmm, const struct embedded_tail *tail, struct error *err)
{
	uint8_t buf[STATE_XSTATE_MAX];
	uint32_t len, common;
	struct iovec iov = {.iov_base = buf};
	int rc = get_xstate(vmm, buf, &len, err);

	if (rc)
		return rc;
	common = tail->xstate_len < len ? tail->xstate_len : len;
	memcpy(buf, tail->xstate, common);
	memset(buf + XSTATE_BV_OFFSET + 8, 0, XCOMP_BV_LEN);
	iov.iov_len = len;
	if (ptrace(PTRACE_SETREGSET, vmm->pid, NT_X86_XSTATE, &iov) < 0)
		return error_sys(err, -errno, NULL, "cannot set the guest's FPU state");
	return 0;
}

int vmm_state_load(struct vmm *vmm, const struct embedded_tail *tail, struct error *err)
{
	struct user_regs_struct regs = tail->regs;
	int rc;

	/* Segments and the restart marker are not the peer's choice; the kernel checks the rest. */
	regs.cs = 0x33;
	regs.ss = 0x2b;
	regs.ds = regs.es = regs.fs = regs.gs = 0;
	regs.orig_rax = UINT64_MAX;
	regs.eflags |= EFLAGS_FIXED;
	if (ptrace(PTRACE_SETREGS, vmm->pid, NULL, &regs) < 0)
		return error_sys(err, -errno, NULL, "cannot set the guest's registers");
	rc = set_xstate(vmm, tail, err);
	if (rc)
		return rc;
	vmm->clock_held = tail->guest_ns;
	vmm->clock_stopped = true;
	vmm->events = (uint32_t)tail->events | GUEST_EVENT_RESUMED;
	vmm->tick = tail->tick;
	vmm->faults = tail->faults;
	vmm->cpu_ns = tail->cpu_ns;
	vmm_console_write(vmm, tail->console, tail->console_len);
	return 0;
}
