/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest process. It is born a child of ours, traced from before its exec, and ends with us
 * (PTRACE_O_EXITKILL, and PR_SET_PDEATHSIG until then). As root it gives up root first.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/userfaultfd.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "hypervisor/vmm.h"
#include "hypervisor/vmm_layout.h"

_Static_assert(VMM_GUEST_BASE == GUEST_BASE, "one guest base");

#define STUB_FD	   4
#define MEMFD_EXEC 0x10u

/* The stub with the memory size patched in, as a file to execute. */
static int stub_file(uint64_t memory_bytes)
{
	/* Three labels of one object in vmm_stub.S, which the checker cannot know. */
	/* cppcheck-suppress comparePointers */
	size_t len = (size_t)(vmm_stub_end - vmm_stub_start);
	/* cppcheck-suppress comparePointers */
	off_t at = vmm_stub_memory_bytes - vmm_stub_start;
	int fd = memfd_create("lifeboat-stub", MFD_CLOEXEC | MEMFD_EXEC);

	/* Before Linux 6.3 every memfd could be executed and the flag was not known. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("lifeboat-stub", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, vmm_stub_start, len) != (ssize_t)len ||
		pwrite(fd, &memory_bytes, sizeof(memory_bytes), at) !=
			(ssize_t)sizeof(memory_bytes)) {
		fd_close(&fd);
		return -EIO;
	}
	return fd;
}

/* Without CAP_SYS_PTRACE (some containers) we could not look into a process of another user. */
static bool may_change_user(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	uint32_t need = 1u << CAP_SYS_PTRACE | 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL;

	if (geteuid() != 0 || syscall(SYS_capget, &header, data) != 0)
		return false;
	return (data[0].effective & need) == need;
}

static void become_nobody(const struct passwd *nobody)
{
	if (setgroups(0, NULL) || setresgid(nobody->pw_gid, nobody->pw_gid, nobody->pw_gid) ||
		setresuid(nobody->pw_uid, nobody->pw_uid, nobody->pw_uid))
		_exit(126);
}

/* Only system calls from here to exec: the child waits until it is traced. */
static _Noreturn void child(const struct vmm *vmm, int stub, int gate, const struct passwd *nobody)
{
	static char *const argv[] = {"lifeboat-guest", NULL}, *const envp[] = {NULL};
	struct rlimit none = {0, 0};
	int memory, stub_high;
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(gate, &go, 1) != 1)
		_exit(126);
	setrlimit(RLIMIT_CORE, &none);
	memory = fcntl(vmm->memory_fd, F_DUPFD, 16);
	stub_high = fcntl(stub, F_DUPFD, 16);
	if (memory < 0 || stub_high < 0 || dup2(memory, 3) < 0 ||
		dup3(stub_high, STUB_FD, O_CLOEXEC) < 0)
		_exit(126);
	close(0);
	close(1);
	close(2);
	syscall(SYS_close_range, STUB_FD + 1, ~0u, 0);
	if (nobody)
		become_nobody(nobody);
	syscall(SYS_execveat, STUB_FD, "", argv, envp, 0x1000 /* AT_EMPTY_PATH */);
	_exit(127);
}

static int wait_for_breakpoint(pid_t pid, struct error *err)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return error_sys(err, -errno, NULL, "cannot wait for the guest process");
	if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && status >> 16 == 0)
		return 0;
	return error_set(err, -EIO, NULL, "the guest process failed to start (status 0x%x)",
		(unsigned)status);
}

/* Take the userfaultfd over. Not having one only costs the better dirty tracker. */
static void take_uffd(struct vmm *vmm, int64_t there)
{
	int pidfd;

	if (there < 0) {
		snprintf(vmm->tracker_reason, sizeof(vmm->tracker_reason), "userfaultfd: %s",
			strerror((int)-there));
		return;
	}
	pidfd = (int)syscall(SYS_pidfd_open, vmm->pid, 0);
	vmm->uffd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)there, 0);
	if (vmm->uffd < 0)
		snprintf(vmm->tracker_reason, sizeof(vmm->tracker_reason), "pidfd_getfd: %s",
			strerror(errno));
	fd_close(&pidfd);
}

static int check_walls(struct vmm *vmm, struct error *err)
{
	static const char *const steps[] = {"", "mapping its memory", "disabling the TSC",
		"no_new_privs", "the system call filter"};
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, vmm->pid, NULL, &regs) < 0)
		return error_sys(err, -errno, NULL, "cannot read the guest process");
	if (regs.r12 > 4)
		return error_set(err, -EIO, NULL, "the guest process failed to start");
	if (regs.r12 != 0)
		return error_sys(err, regs.r13 < (uint64_t)-4095 ? -EIO : (int)regs.r13, NULL,
			"cannot confine the guest process: %s", steps[regs.r12]);
	if (regs.r15 != 0)
		log_debug("the guest process keeps its vdso (sealed by the kernel)");
	take_uffd(vmm, (int64_t)regs.r14);
	return 0;
}

static int fork_traced(struct vmm *vmm, int stub, struct error *err)
{
	struct passwd *nobody = may_change_user() ? getpwnam("nobody") : NULL;
	int gate[2], rc = 0;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return error_sys(err, -errno, NULL, "cannot make a pipe");
	vmm->pid = fork();
	if (vmm->pid == 0)
		child(vmm, stub, gate[0], nobody);
	if (vmm->pid < 0)
		rc = error_sys(err, -errno, NULL, "cannot make the guest process");
	else if (ptrace(PTRACE_SEIZE, vmm->pid, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) <
		 0)
		rc = error_sys(err, -errno, "Allow ptrace (kernel.yama.ptrace_scope below 3)",
			"cannot trace the guest process");
	else if (write(gate[1], "g", 1) != 1)
		rc = error_sys(err, -errno, NULL, "cannot start the guest process");
	fd_close(&gate[0]);
	fd_close(&gate[1]);
	return rc;
}

static void open_pagemap(struct vmm *vmm)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", vmm->pid);
	vmm->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (vmm->pagemap_fd < 0 && !vmm->tracker_reason[0])
		snprintf(vmm->tracker_reason, sizeof(vmm->tracker_reason), "%s: %s", path,
			strerror(errno));
}

int vmm_process_start(struct vmm *vmm, struct error *err)
{
	int stub = stub_file(vmm->memory_bytes), rc;

	vmm->tracker_reason[0] = '\0';
	if (stub < 0)
		return error_sys(err, stub, NULL, "cannot make the guest's first program");
	rc = fork_traced(vmm, stub, err);
	fd_close(&stub);
	if (!rc)
		rc = wait_for_breakpoint(vmm->pid, err);
	if (!rc)
		rc = check_walls(vmm, err);
	if (rc) {
		vmm_process_kill(vmm);
		return rc;
	}
	vmm->phase = PHASE_HELD;
	open_pagemap(vmm);
	vmm_save_probe(vmm);
	return 0;
}

void vmm_process_kill(struct vmm *vmm)
{
	int status;

	vmm->tracking = false; /* it was this process's */
	fd_close(&vmm->uffd);
	fd_close(&vmm->pagemap_fd);
	if (vmm->pid > 0) {
		vmm->cpu_ns = vmm_process_cpu_ns(vmm);
		kill(vmm->pid, SIGKILL);
		/* A stop may be reported first. */
		while (waitpid(vmm->pid, &status, __WALL) >= 0 ? WIFSTOPPED(status)
							       : errno == EINTR)
			;
	}
	vmm->pid = -1;
	vmm->phase = PHASE_NONE;
}

uint64_t vmm_process_cpu_ns(const struct vmm *vmm)
{
	struct timespec ts;
	clockid_t id;

	if (vmm->pid <= 0 || clock_getcpuclockid(vmm->pid, &id) || clock_gettime(id, &ts))
		return vmm->cpu_ns;
	return vmm->cpu_ns + (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
