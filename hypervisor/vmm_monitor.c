/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens when the guest powers off, reboots or crashes: what its configuration says. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ptrace.h>

#include "base/log.h"
#include "hypervisor/vmm.h"

/* A guest that crashes over and over, each time within this, is not restarted for ever. */
#define RESTART_NS_MIN	  1000000000u
#define RESTARTS_IN_A_ROW 5u

static int set_first_registers(struct vmm *vmm, uint64_t entry, struct error *err)
{
	struct user_regs_struct regs = {.rip = entry,
		.rsp = GUEST_BASE + vmm->memory_bytes,
		.eflags = 0x202,
		.cs = 0x33,
		.ss = 0x2b,
		.orig_rax = UINT64_MAX};

	if (ptrace(PTRACE_SETREGS, vmm->pid, NULL, &regs) < 0)
		return error_sys(err, -errno, NULL, "cannot set the guest's registers");
	return 0;
}

/* Memory all zero, the kernel in it, a fresh process at its entry. The clock begins at 0. */
int vmm_monitor_boot(struct vmm *vmm, struct error *err)
{
	uint64_t entry;
	int rc;

	if (fallocate(vmm->memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		    (off_t)vmm->memory_bytes) < 0)
		return error_sys(err, -errno, NULL, "cannot clear the domain's memory");
	rc = vmm_image_load(vmm, &entry, err);
	if (rc)
		return rc;
	rc = vmm_process_start(vmm, err);
	if (rc)
		return rc;
	/* An order to power off that came just before stands: whoever gave it was told it would. */
	vmm->events &= GUEST_EVENT_SHUTDOWN;
	vmm->tick = 0;
	vmm->faults = 0;
	vmm->ring.in_len = 0;
	vmm->clock_held = 0;
	vmm->clock_stopped = true;
	return set_first_registers(vmm, entry, err);
}

static bool restarts_too_fast(struct vmm *vmm)
{
	static unsigned in_a_row;

	in_a_row = vmm_clock_ns(vmm) < RESTART_NS_MIN ? in_a_row + 1 : 0;
	return in_a_row >= RESTARTS_IN_A_ROW;
}

static void restart(struct vmm *vmm)
{
	struct error err = ERROR_INIT;

	if (restarts_too_fast(vmm)) {
		log_error("%s: restarted %u times without running for a second: given up",
			vmm->spec.name, RESTARTS_IN_A_ROW);
		vmm->ending = true;
		return;
	}
	vmm_process_kill(vmm);
	if (vmm_monitor_boot(vmm, &err)) {
		log_error("%s: cannot restart: %s", vmm->spec.name, err.what);
		vmm->ending = true;
	}
}

void vmm_monitor_exit(struct vmm *vmm, enum guest_exit reason, const char *why)
{
	static const char *const names[] = {"powered off", "rebooted", "crashed"};
	const enum domain_action actions[] = {
		vmm->spec.on_poweroff, vmm->spec.on_reboot, vmm->spec.on_crash};

	log_info("%s: %s: %s", vmm->spec.name, names[reason], why);
	/* The pages sent so far are of a guest that is no more. */
	vmm->save_broken = vmm->saving;
	switch (actions[reason]) {
	case ACTION_RESTART:
		restart(vmm);
		break;
	case ACTION_PRESERVE:
		vmm_process_kill(vmm);
		vmm_clock_stop(vmm);
		vmm->shut = true;
		break;
	case ACTION_DESTROY:
		vmm_process_kill(vmm);
		vmm->ending = true;
		break;
	}
}
