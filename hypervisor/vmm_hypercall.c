/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls. The guest is hostile: each pointer is turned into ours by guest_pointer(), which
 * bounds it, and what it points at is read at most once, because nothing else can be assumed of it.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "hypervisor/vmm.h"

static void set_result(struct vmm *vmm, int64_t result)
{
	if (ptrace(PTRACE_POKEUSER, vmm->pid, offsetof(struct user_regs_struct, rax), result) < 0)
		log_debug("cannot set a result: %s", strerror(errno));
}

static uint8_t *guest_pointer(const struct vmm *vmm, uint64_t address, uint64_t len)
{
	uint64_t offset = address - GUEST_BASE;

	if (address < GUEST_BASE || offset > vmm->memory_bytes || len > vmm->memory_bytes - offset)
		return NULL;
	return vmm->memory + offset;
}

static int64_t call_info(struct vmm *vmm, const uint64_t arg[static 4])
{
	struct guest_info info = {.abi = GUEST_ABI,
		.nr_vifs = vmm->spec.nr_vifs,
		.nr_disks = vmm->spec.nr_disks,
		.mtu = vmm->spec.nr_vifs ? vmm->tap[0].mtu : 0,
		.memory_bytes = vmm->memory_bytes};
	size_t len = arg[1] < sizeof(info) ? (size_t)arg[1] : sizeof(info);
	uint8_t *p = guest_pointer(vmm, arg[0], len);

	if (!p)
		return -GUEST_EFAULT;
	for (unsigned i = 0; i < vmm->spec.nr_vifs; i++)
		memcpy(info.mac[i], vmm->spec.vif[i].mac, sizeof(vmm->spec.vif[i].mac));
	for (unsigned i = 0; i < vmm->spec.nr_disks; i++)
		info.disk_bytes[i] = vmm->disk[i].bytes;
	memcpy(info.cmdline, vmm->spec.extra, sizeof(info.cmdline));
	memcpy(p, &info, len);
	vmm_save_wrote(vmm, p, len);
	return 0;
}

static int64_t call_console_write(struct vmm *vmm, const uint64_t arg[static 4])
{
	const uint8_t *p = guest_pointer(vmm, arg[0], arg[1]);

	if (arg[1] > GUEST_IO_MAX)
		return -GUEST_EINVAL;
	if (!p)
		return -GUEST_EFAULT;
	vmm_console_write(vmm, p, (size_t)arg[1]);
	return (int64_t)arg[1];
}

static int64_t call_console_read(struct vmm *vmm, const uint64_t arg[static 4])
{
	size_t len = arg[1] < vmm->ring.in_len ? (size_t)arg[1] : vmm->ring.in_len;
	uint8_t *p = guest_pointer(vmm, arg[0], len);

	if (!p)
		return -GUEST_EFAULT;
	memcpy(p, vmm->ring.in, len);
	vmm_save_wrote(vmm, p, len);
	vmm->ring.in_len -= len;
	memmove(vmm->ring.in, vmm->ring.in + len, vmm->ring.in_len);
	return (int64_t)len;
}

static bool net_readable(const struct vmm *vmm)
{
	struct pollfd fds[DOMAIN_VIFS_MAX];

	if (vmm->spec.nr_vifs == 0)
		return false;
	for (unsigned i = 0; i < vmm->spec.nr_vifs; i++)
		fds[i] = (struct pollfd){.fd = vmm->tap[i].fd, .events = POLLIN};
	return poll(fds, vmm->spec.nr_vifs, 0) > 0;
}

uint32_t vmm_wait_events(const struct vmm *vmm)
{
	uint32_t mask = vmm->wait_mask, events = vmm->events & mask;

	if ((mask & GUEST_EVENT_CONSOLE) && vmm->ring.in_len)
		events |= GUEST_EVENT_CONSOLE;
	if ((mask & GUEST_EVENT_NET) && net_readable(vmm))
		events |= GUEST_EVENT_NET;
	if (vmm->wait_deadline != GUEST_FOREVER && vmm_clock_ns(vmm) >= vmm->wait_deadline)
		events |= GUEST_EVENT_TIMER;
	return events;
}

void vmm_wait_finish(struct vmm *vmm, uint32_t events)
{
	vmm->events &= ~events;
	set_result(vmm, events);
	vmm->phase = PHASE_HELD;
}

static int64_t call_wait(struct vmm *vmm, const uint64_t arg[static 4])
{
	vmm->wait_deadline = arg[0];
	vmm->wait_mask = (uint32_t)arg[1] & GUEST_EVENT_ALL;
	vmm->phase = PHASE_WAIT;
	return 0;
}

static int64_t call_clock(struct vmm *vmm, const uint64_t arg[static 4])
{
	struct timespec ts;

	if (arg[0] == GUEST_MONOTONIC)
		return (int64_t)vmm_clock_ns(vmm);
	if (arg[0] != GUEST_WALL || clock_gettime(CLOCK_REALTIME, &ts))
		return -GUEST_EINVAL;
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int64_t call_net_tx(struct vmm *vmm, const uint64_t arg[static 4])
{
	const uint8_t *p = guest_pointer(vmm, arg[1], arg[2]);

	if (arg[0] >= vmm->spec.nr_vifs)
		return -GUEST_ENODEV;
	if (arg[2] > GUEST_FRAME_MAX || arg[2] < 14)
		return -GUEST_EINVAL;
	if (!p)
		return -GUEST_EFAULT;
	/* A full or downed link loses frames, as links do. */
	if (write(vmm->tap[arg[0]].fd, p, (size_t)arg[2]) < 0)
		log_debug("vif %u: frame lost: %s", (unsigned)arg[0], strerror(errno));
	return 0;
}

static int64_t call_net_rx(struct vmm *vmm, const uint64_t arg[static 4])
{
	uint8_t *p = guest_pointer(vmm, arg[1], arg[2]);
	ssize_t n;

	if (arg[0] >= vmm->spec.nr_vifs)
		return -GUEST_ENODEV;
	if (!p)
		return -GUEST_EFAULT;
	if (arg[2] == 0 || arg[2] > GUEST_IO_MAX)
		return -GUEST_EINVAL;
	n = read(vmm->tap[arg[0]].fd, p, (size_t)arg[2]);
	if (n <= 0)
		return 0;
	vmm_save_wrote(vmm, p, (size_t)n);
	return n;
}

/* The disk and place of a block call; NULL with `*error` set. */
static uint8_t *block_args(struct vmm *vmm, const uint64_t arg[static 4], int64_t *error)
{
	uint8_t *p = guest_pointer(vmm, arg[2], arg[3]);

	*error = 0;
	if (arg[0] >= vmm->spec.nr_disks)
		*error = -GUEST_ENODEV;
	else if (arg[3] == 0 || arg[3] > GUEST_IO_MAX || arg[3] % GUEST_SECTOR ||
		 arg[1] % GUEST_SECTOR || arg[1] > vmm->disk[arg[0]].bytes ||
		 arg[3] > vmm->disk[arg[0]].bytes - arg[1])
		*error = -GUEST_EINVAL;
	else if (!p)
		*error = -GUEST_EFAULT;
	return *error ? NULL : p;
}

static int64_t call_blk_read(struct vmm *vmm, const uint64_t arg[static 4])
{
	int64_t error;
	uint8_t *p = block_args(vmm, arg, &error);
	ssize_t n;

	if (!p)
		return error;
	n = pread(vmm->disk[arg[0]].fd, p, (size_t)arg[3], (off_t)arg[1]);
	if (n > 0)
		vmm_save_wrote(vmm, p, (size_t)n);
	return n == (ssize_t)arg[3] ? 0 : -GUEST_EIO;
}

static int64_t call_blk_write(struct vmm *vmm, const uint64_t arg[static 4])
{
	int64_t error;
	const uint8_t *p = block_args(vmm, arg, &error);
	ssize_t n;

	if (!p)
		return error;
	if (vmm->spec.disk[arg[0]].readonly)
		return -GUEST_EROFS;
	n = pwrite(vmm->disk[arg[0]].fd, p, (size_t)arg[3], (off_t)arg[1]);
	return n == (ssize_t)arg[3] ? 0 : -GUEST_EIO;
}

static int64_t call_blk_flush(struct vmm *vmm, const uint64_t arg[static 4])
{
	if (arg[0] >= vmm->spec.nr_disks)
		return -GUEST_ENODEV;
	return fdatasync(vmm->disk[arg[0]].fd) ? -GUEST_EIO : 0;
}

static int64_t call_report(struct vmm *vmm, const uint64_t arg[static 4])
{
	vmm->tick = arg[0];
	vmm->faults = arg[1];
	return 0;
}

static int64_t call_exit(struct vmm *vmm, const uint64_t arg[static 4])
{
	if (arg[0] > GUEST_CRASH)
		return -GUEST_EINVAL;
	vmm_monitor_exit(vmm, (enum guest_exit)arg[0], "it said so");
	return 0;
}

static int64_t (*const calls[HC_MAX])(struct vmm *vmm, const uint64_t arg[static 4]) = {
	[HC_INFO] = call_info,
	[HC_CONSOLE_WRITE] = call_console_write,
	[HC_CONSOLE_READ] = call_console_read,
	[HC_WAIT] = call_wait,
	[HC_CLOCK] = call_clock,
	[HC_NET_TX] = call_net_tx,
	[HC_NET_RX] = call_net_rx,
	[HC_BLK_READ] = call_blk_read,
	[HC_BLK_WRITE] = call_blk_write,
	[HC_BLK_FLUSH] = call_blk_flush,
	[HC_REPORT] = call_report,
	[HC_EXIT] = call_exit,
};

void vmm_hypercall(struct vmm *vmm)
{
	struct user_regs_struct regs;
	uint64_t arg[4];
	int64_t result;

	if (ptrace(PTRACE_GETREGS, vmm->pid, NULL, &regs) < 0)
		return; /* killed from outside: its status follows */
	arg[0] = regs.rdi;
	arg[1] = regs.rsi;
	arg[2] = regs.rdx;
	arg[3] = regs.r10;
	if (regs.orig_rax >= HC_MAX) {
		set_result(vmm, -GUEST_ENOSYS);
		return;
	}
	result = calls[regs.orig_rax](vmm, arg);
	/* HC_EXIT has ended the process that made the call; HC_WAIT gets its result later. */
	if (regs.orig_rax != HC_EXIT && vmm->phase == PHASE_HELD)
		set_result(vmm, result);
	else if (regs.orig_rax == HC_EXIT && result)
		set_result(vmm, result);
}
