/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest: what a program that runs as an embedded domain may do. Freestanding; the vmm uses the same
 * numbers.
 *
 * A guest is a static x86-64 ELF linked at or above GUEST_BASE + 4096. It owns `memory_bytes` at
 * GUEST_BASE, readable, writable and executable; its stack starts at the top of them; nothing else
 * is mapped. It begins at the ELF's entry point with every register zero but rsp, flags 0x202.
 * There is one CPU, no interrupt and no system call. The `syscall` instruction makes a hypercall:
 * number in rax, arguments in rdi, rsi, rdx, r10, result in rax (negative: -GUEST_E...), rcx and
 * r11 lost. A hypercall costs some 40 us, so batch. An unhandled fault is a crash. `rdtsc` faults,
 * because a TSC would jump at a move: use HC_CLOCK.
 *
 *   HC_INFO          ptr, len                fill a struct guest_info; 0
 *   HC_CONSOLE_WRITE ptr, len                bytes taken: all of them; len <= GUEST_IO_MAX
 *   HC_CONSOLE_READ  ptr, len                bytes read, 0 when there is none
 *   HC_WAIT          deadline, mask          sleep until an event of the mask, or until the
 *                                            monotonic deadline (ns, GUEST_FOREVER): the events;
 *                                            0 = woken early, try again
 *   HC_CLOCK         kind                    ns: GUEST_MONOTONIC stands still while the domain
 *                                            does, GUEST_WALL is the host's Unix time
 *   HC_NET_TX        vif, ptr, len           0; a whole Ethernet frame, len <= GUEST_FRAME_MAX
 *   HC_NET_RX        vif, ptr, len           frame length, 0 when there is none; cut at len
 *   HC_BLK_READ      disk, offset, ptr, len  0; whole GUEST_SECTOR units, len <= GUEST_IO_MAX
 *   HC_BLK_WRITE     disk, offset, ptr, len  0
 *   HC_BLK_FLUSH     disk                    0: all that was written before is on the medium
 *   HC_REPORT        tick, faults            0: progress and integrity failures, for `hv info`
 *   HC_EXIT          reason                  does not return
 */
#ifndef HYPERVISOR_GUEST_GUEST_H
#define HYPERVISOR_GUEST_GUEST_H

#include <stdint.h>

#define GUEST_ABI	1u
#define GUEST_BASE	0x10000000000ull
#define GUEST_IO_MAX	(1u << 20)
#define GUEST_FRAME_MAX 9216u
#define GUEST_SECTOR	512u
#define GUEST_FOREVER	UINT64_MAX
#define GUEST_CMDLINE	1024
#define GUEST_VIFS	8
#define GUEST_DISKS	8

enum guest_hypercall {
	HC_INFO,
	HC_CONSOLE_WRITE,
	HC_CONSOLE_READ,
	HC_WAIT,
	HC_CLOCK,
	HC_NET_TX,
	HC_NET_RX,
	HC_BLK_READ,
	HC_BLK_WRITE,
	HC_BLK_FLUSH,
	HC_REPORT,
	HC_EXIT,
	HC_MAX,
};

/* Events of HC_WAIT. NET and CONSOLE last while there is input; the others are told once. */
#define GUEST_EVENT_TIMER    0x01u
#define GUEST_EVENT_NET	     0x02u
#define GUEST_EVENT_CONSOLE  0x04u
#define GUEST_EVENT_SHUTDOWN 0x08u /* the administrator asks for a power-off */
#define GUEST_EVENT_REBOOT   0x10u /* ... for a reboot */
#define GUEST_EVENT_RESUMED  0x20u /* the domain now runs on another host */
#define GUEST_EVENT_ALL	     0x3fu

enum guest_clock { GUEST_MONOTONIC, GUEST_WALL };
enum guest_exit { GUEST_POWEROFF, GUEST_REBOOT, GUEST_CRASH };

#define GUEST_EFAULT 14 /* a pointer outside of the guest's memory */
#define GUEST_EINVAL 22
#define GUEST_ENODEV 19
#define GUEST_EIO    5
#define GUEST_ENOSYS 38
#define GUEST_EROFS  30

struct guest_info {
	uint32_t abi;
	uint32_t nr_vifs;
	uint32_t nr_disks;
	uint32_t mtu;
	uint64_t memory_bytes;
	uint64_t disk_bytes[GUEST_DISKS];
	uint8_t mac[GUEST_VIFS][8]; /* six bytes each, padded */
	char cmdline[GUEST_CMDLINE];
};

#ifdef GUEST_PROGRAM
static inline long guest_call(
	enum guest_hypercall nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	register uint64_t r10 __asm__("r10") = d;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "0"((uint64_t)nr), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return ret;
}
#endif

#endif
