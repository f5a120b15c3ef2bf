/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's execution. It runs under PTRACE_SYSEMU: the `syscall` instruction stops it before the
 * kernel looks at the call, and that stop is a hypercall.
 *
 *               go                    stop: hypercall done
 *    HELD ------------------> RUN ---------------------------> HELD
 *     ^                        |  stop: HC_WAIT, nothing there
 *     |  event, deadline, hold +------------------------------> WAIT
 *     +----------------------------------------------------------+
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/vmm.h"

#define SYSCALL_STOP (SIGTRAP | 0x80)

bool vmm_may_run(const struct vmm *vmm)
{
	return !vmm->paused && !vmm->suspended && !vmm->incoming && !vmm->shut && !vmm->standing;
}

/* Its turns to run and to stand; short enough that a sleeping guest hardly notices. */
#define TURNS_NS 20000000

void vmm_run_turn(struct vmm *vmm)
{
	int64_t now = clock_ns(), run = (int64_t)TURNS_NS * vmm->cpu_percent / 100;

	if (!vmm->cpu_percent || now < vmm->turn_ends)
		return;
	/* One that waits executes nothing, and its wait shall not end early. */
	if (!vmm->standing && vmm->phase == PHASE_RUN)
		vmm_run_hold(vmm);
	vmm->standing = !vmm->standing;
	vmm->turn_ends = now + (vmm->standing ? TURNS_NS - run : run);
}

void vmm_run_throttle(struct vmm *vmm, unsigned percent)
{
	if (vmm->cpu_percent || percent < 100)
		log_info("%s: has %u %% of its CPU", vmm->spec.name, percent);
	vmm->cpu_percent = percent < 100 ? percent : 0;
	vmm->standing = false;
	vmm->turn_ends = clock_ns();
}

uint64_t vmm_clock_ns(const struct vmm *vmm)
{
	if (vmm->clock_stopped)
		return vmm->clock_held;
	return (uint64_t)(clock_ns() - vmm->clock_offset);
}

void vmm_clock_stop(struct vmm *vmm)
{
	vmm->clock_held = vmm_clock_ns(vmm);
	vmm->clock_stopped = true;
}

void vmm_clock_start(struct vmm *vmm)
{
	if (!vmm->clock_stopped)
		return;
	vmm->clock_offset = clock_ns() - (int64_t)vmm->clock_held;
	vmm->clock_stopped = false;
}

/* Kernel-made faults end the guest; a signal that somebody sent to the process is dropped. */
static void handle_signal(struct vmm *vmm, int sig)
{
	struct user_regs_struct regs = {0};
	siginfo_t info = {0};
	char why[128];

	vmm->phase = PHASE_HELD;
	if (ptrace(PTRACE_GETSIGINFO, vmm->pid, NULL, &info) < 0 || info.si_code <= 0)
		return;
	ptrace(PTRACE_GETREGS, vmm->pid, NULL, &regs);
	snprintf(why, sizeof(why), "%s at rip 0x%llx, address %p", strsignal(sig),
		(unsigned long long)regs.rip, info.si_addr);
	vmm_monitor_exit(vmm, GUEST_CRASH, why);
}

void vmm_run_stopped(struct vmm *vmm, int status)
{
	if (WIFEXITED(status) || WIFSIGNALED(status)) {
		vmm->pid = -1;
		vmm_monitor_exit(vmm, GUEST_CRASH, "its process was killed");
		return;
	}
	vmm->phase = PHASE_HELD;
	if (!WIFSTOPPED(status))
		return;
	if (WSTOPSIG(status) == SYSCALL_STOP)
		vmm_hypercall(vmm);
	else if (status >> 16 == 0)
		handle_signal(vmm, WSTOPSIG(status));
	/* what is left is PTRACE_EVENT_STOP: we, or somebody's SIGSTOP, interrupted it */
}

void vmm_run_hold(struct vmm *vmm)
{
	int status;

	if (vmm->phase == PHASE_WAIT)
		vmm_wait_finish(vmm, 0);
	if (vmm->phase != PHASE_RUN)
		return;
	if (ptrace(PTRACE_INTERRUPT, vmm->pid, NULL, NULL) < 0 && errno != ESRCH)
		log_error("cannot interrupt the guest: %s", strerror(errno));
	while (waitpid(vmm->pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return;
	vmm_run_stopped(vmm, status);
	/* That stop may have been a hypercall: one that waits is ended early. */
	if (vmm->phase == PHASE_WAIT)
		vmm_wait_finish(vmm, 0);
	else if (vmm->phase == PHASE_RUN)
		vmm_run_hold(vmm);
}

void vmm_run_go(struct vmm *vmm)
{
	if (!vmm_may_run(vmm) || vmm->phase != PHASE_HELD)
		return;
	vmm_clock_start(vmm);
	if (ptrace(PTRACE_SYSEMU, vmm->pid, NULL, NULL) < 0) {
		/* It was killed from outside: the wait status follows. */
		log_debug("cannot run the guest: %s", strerror(errno));
	}
	vmm->phase = PHASE_RUN;
}

/* Called in each turn of the event loop: end a wait whose event is there. */
void vmm_run_wake(struct vmm *vmm)
{
	uint32_t events;

	if (vmm->phase != PHASE_WAIT || !vmm_may_run(vmm))
		return;
	events = vmm_wait_events(vmm);
	if (!events)
		return;
	vmm_wait_finish(vmm, events);
	vmm_run_go(vmm);
}
