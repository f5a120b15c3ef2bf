/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-vmm [--incoming] RUN_DIR NAME
 *
 * Started by the embedded backend only, with the descriptors of enum vmm_start_fd. It answers on
 * descriptor 3 with one reply when it is ready for requests, or with the error that ends it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/embedded_config.h"
#include "hypervisor/vmm.h"

#define POLL_FIXED 2
#define POLL_MAX   (POLL_FIXED + VMM_CONNS + DOMAIN_VIFS_MAX)

static struct vmm the_vmm = {.memory_fd = START_FD_MEMORY,
	.image_fd = START_FD_IMAGE,
	.listen_fd = -1,
	.signal_fd = -1,
	.pid = -1,
	.phase = PHASE_NONE,
	.uffd = -1,
	.pagemap_fd = -1,
	.written_fd = -1};

/* The creator may be short-lived, or a terminal's: leave its output and its directory. */
static int detach(struct vmm *vmm, struct error *err)
{
	char path[PATH_MAX];
	int null, log;

	if ((size_t)snprintf(path, sizeof(path), "%s/embedded/%s.log", vmm->run_dir,
		    vmm->spec.name) >= sizeof(path))
		return error_sys(err, -ENAMETOOLONG, NULL, "%s", vmm->run_dir);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (null < 0 || log < 0)
		return error_sys(
			err, -errno, "Check run_dir in the configuration", "cannot open %s", path);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	fd_close(&null);
	fd_close(&log);
	umask(077);
	return chdir("/") ? error_sys(err, -errno, NULL, "cannot change to /") : 0;
}

static int read_config(struct vmm *vmm, struct error *err)
{
	char *json = calloc(1, HV_OPAQUE_MAX + 1);
	ssize_t n = json ? pread(START_FD_CONFIG, json, HV_OPAQUE_MAX, 0) : -1;
	int rc = n < 0 ? error_sys(err, -EIO, NULL, "cannot read the domain's configuration")
		       : embedded_config_decode(json, &vmm->spec, err);

	free(json);
	close(START_FD_CONFIG);
	return rc;
}

static int map_memory(struct vmm *vmm, struct error *err)
{
	struct stat st;
	void *p;

	vmm->memory_bytes = vmm->spec.memory_mb << 20;
	if (fstat(vmm->memory_fd, &st) < 0 || (uint64_t)st.st_size != vmm->memory_bytes)
		return error_set(err, -EINVAL, NULL, "the domain's memory has the wrong size");
	p = mmap(NULL, vmm->memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vmm->memory_fd, 0);
	if (p == MAP_FAILED)
		return error_sys(err, -errno, NULL, "cannot map the domain's memory");
	vmm->memory = p;
	return 0;
}

static int open_signals(struct vmm *vmm, struct error *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	vmm->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return vmm->signal_fd < 0 ? error_sys(err, -errno, NULL, "cannot take signals") : 0;
}

static int setup(struct vmm *vmm, struct error *err)
{
	char name[DOMAIN_NAME_LEN];
	int rc;

	memcpy(name, vmm->spec.name, sizeof(name));
	rc = detach(vmm, err);
	if (!rc)
		rc = read_config(vmm, err);
	/* The name that it has now, not the one it will have after a move. */
	memcpy(vmm->spec.name, name, sizeof(name));
	if (!rc)
		rc = map_memory(vmm, err);
	if (!rc)
		rc = open_signals(vmm, err);
	if (!rc)
		rc = vmm_control_listen(vmm, name, err);
	if (!rc)
		rc = vmm_control_add(vmm, START_FD_CONTROL, CONN_CREATOR);
	return rc;
}

/*
 * Devices are open: what is left to do as root is to look into the guest process, make another one
 * at a reboot, and remove our own files. The rest of root's powers goes.
 */
void vmm_drop_privileges(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	const uint32_t keep = 1u << CAP_SYS_PTRACE | 1u << CAP_SETUID | 1u << CAP_SETGID |
			      1u << CAP_KILL | 1u << CAP_DAC_OVERRIDE;

	if (syscall(SYS_capget, &header, data) != 0)
		return;
	data[0].effective &= keep;
	data[0].permitted &= keep;
	data[0].inheritable = 0;
	data[1] = (struct __user_cap_data_struct){0};
	if (syscall(SYS_capset, &header, data) != 0)
		log_warn("cannot give up capabilities: %s", strerror(errno));
}

static void take_signals(struct vmm *vmm)
{
	struct signalfd_siginfo info;
	int status;

	while (read(vmm->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			continue;
		log_info("%s: destroyed by signal %u from process %u", vmm->spec.name,
			info.ssi_signo, info.ssi_pid);
		vmm->ending = true;
	}
	if (vmm->pid > 0 && waitpid(vmm->pid, &status, WNOHANG | __WALL) == vmm->pid)
		vmm_run_stopped(vmm, status);
}

/* How long until the guest wants to wake or its turn ends; NULL = until something happens. */
static const struct timespec *sleep_time(const struct vmm *vmm, struct timespec *ts)
{
	uint64_t left = UINT64_MAX, now;

	if (vmm->phase == PHASE_WAIT && vmm_may_run(vmm) && vmm->wait_deadline != GUEST_FOREVER) {
		now = vmm_clock_ns(vmm);
		left = vmm->wait_deadline > now ? vmm->wait_deadline - now : 0;
	}
	if (vmm->cpu_percent) {
		now = (uint64_t)clock_ns();
		now = (uint64_t)vmm->turn_ends > now ? (uint64_t)vmm->turn_ends - now : 0;
		left = now < left ? now : left;
	}
	if (left == UINT64_MAX)
		return NULL;
	ts->tv_sec = (time_t)(left / 1000000000u);
	ts->tv_nsec = (long)(left % 1000000000u);
	return ts;
}

static size_t poll_set(struct vmm *vmm, struct pollfd *p)
{
	size_t n = POLL_FIXED;

	p[0] = (struct pollfd){.fd = vmm->signal_fd, .events = POLLIN};
	p[1] = (struct pollfd){.fd = vmm->listen_fd, .events = POLLIN};
	for (unsigned i = 0; i < VMM_CONNS; i++) {
		const struct vmm_conn *c = &vmm->conn[i];
		bool behind = c->role == CONN_CONSOLE && c->console_pos != vmm->ring.out_pos;

		p[n++] = (struct pollfd){.fd = c->role == CONN_FREE ? -1 : c->fd,
			.events = (short)(POLLIN | (behind ? POLLOUT : 0))};
	}
	if (vmm->phase != PHASE_WAIT || !vmm_may_run(vmm) || !(vmm->wait_mask & GUEST_EVENT_NET))
		return n;
	for (unsigned i = 0; i < vmm->spec.nr_vifs; i++)
		p[n++] = (struct pollfd){.fd = vmm->tap[i].fd, .events = POLLIN};
	return n;
}

static void loop(struct vmm *vmm)
{
	struct pollfd p[POLL_MAX];
	struct timespec ts;

	while (!vmm->ending) {
		size_t n;

		vmm_run_turn(vmm);
		vmm_run_wake(vmm);
		vmm_run_go(vmm);
		n = poll_set(vmm, p);
		if (ppoll(p, n, sleep_time(vmm, &ts), NULL) < 0)
			continue;
		if (p[0].revents)
			take_signals(vmm);
		for (unsigned i = 0; i < VMM_CONNS && !vmm->ending; i++)
			if (p[POLL_FIXED + i].revents)
				vmm_control_ready(vmm, &vmm->conn[i], p[POLL_FIXED + i].revents);
		if (p[1].revents)
			vmm_control_accept(vmm);
	}
}

/* Connections close last, by our exit: who waits for end of file then finds nothing left. */
static void end(struct vmm *vmm)
{
	vmm_process_kill(vmm);
	vmm_control_flush(vmm);
	vmm_net_close(vmm);
	vmm_disk_close(vmm);
	if (vmm->socket[0])
		unlink(vmm->socket);
	log_info("%s: gone", vmm->spec.name);
}

int main(int argc, char **argv)
{
	struct vmm *vmm = &the_vmm;
	struct error err = ERROR_INIT;
	int at = 1, rc;

	log_init("lifeboat-vmm");
	if (argc > 1 && strcmp(argv[1], "--incoming") == 0) {
		vmm->incoming = true;
		at++;
	}
	if (argc != at + 2 || fcntl(START_FD_CONTROL, F_GETFD) < 0 ||
		!domain_name_valid(argv[at + 1])) {
		fputs("lifeboat-vmm holds one domain and is started by lifeboat; use hv create\n",
			stderr);
		return 2;
	}
	snprintf(vmm->run_dir, sizeof(vmm->run_dir), "%s", argv[at]);
	snprintf(vmm->spec.name, sizeof(vmm->spec.name), "%s", argv[at + 1]);
	for (int fd = START_FD_CONTROL; fd <= START_FD_CONFIG; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	for (unsigned i = 0; i < DOMAIN_VIFS_MAX; i++)
		vmm->tap[i].fd = -1;
	for (unsigned i = 0; i < DOMAIN_DISKS_MAX; i++)
		vmm->disk[i].fd = -1;
	/* The creator reaps us at once: the domain is nobody's child. */
	if (fork() != 0)
		_exit(0);
	setsid();
	rc = setup(vmm, &err);
	if (vmm_control_reply(vmm, START_FD_CONTROL, rc, &err) == 0 && !rc)
		loop(vmm);
	end(vmm);
	return rc ? 1 : 0;
}
