/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm: lifeboat-vmm, the process that holds one embedded domain and is its only monitor.
 *
 *   vmm_main.c       start, event loop, end
 *   vmm_control.c    connections
 *   vmm_op.c         operations
 *   vmm_process.c    make and end the confined guest process
 *   vmm_run.c        run, stop, what a stop means
 *   vmm_hypercall.c  the guest's hypercalls; every pointer of the guest is bounded there
 *   vmm_monitor.c    power-off, reboot, crash
 *   vmm_state.c      registers and device state to and from TAIL
 *   vmm_save.c       dirty tracking and a move's source side
 *   vmm_device.c     console ring, disks
 *   vmm_net.c        vifs: TAP devices in a bridge
 *   vmm_image.c      the ELF loader
 *   vmm_stub.S       the first program of a guest process; it builds the walls and stops
 */
#ifndef HYPERVISOR_VMM_H
#define HYPERVISOR_VMM_H

#include <net/if.h>
#include <sys/user.h>

#include "hypervisor/domain_file.h"
#include "hypervisor/embedded_state.h"
#include "hypervisor/guest/guest.h"
#include "hypervisor/vmm_protocol.h"

#define VMM_CONNS	16
#define VMM_RING_BYTES	STATE_CONSOLE_MAX
#define VMM_INPUT_BYTES 4096u

enum vmm_phase {
	PHASE_NONE = 1, /* no guest process */
	PHASE_RUN,	/* the guest process executes */
	PHASE_HELD,	/* it is stopped and may go on at any time */
	PHASE_WAIT,	/* it is stopped inside HC_WAIT */
};

enum conn_role { CONN_FREE = 0, CONN_PLAIN, CONN_CREATOR, CONN_SAVER, CONN_CONSOLE };

struct vmm_conn {
	enum conn_role role;
	int fd;
	uint64_t console_pos; /* CONN_CONSOLE: bytes of output that it has had */
};

struct vmm_ring {
	uint8_t out[VMM_RING_BYTES];
	uint64_t out_pos; /* bytes ever written */
	uint8_t in[VMM_INPUT_BYTES];
	size_t in_len;
};

struct vmm_tap {
	int fd;
	char ifname[IFNAMSIZ];
	uint32_t mtu;
};

struct vmm_disk {
	int fd;
	uint64_t bytes;
};

struct vmm {
	struct domain_spec spec;
	char run_dir[PATH_MAX];
	char socket[PATH_MAX];
	int memory_fd, image_fd, listen_fd, signal_fd;
	uint8_t *memory;
	uint64_t memory_bytes;

	/* The guest process. `paused`, `suspended`, `shut` and `standing` each keep it from
	 * executing. */
	pid_t pid;
	enum vmm_phase phase;
	bool paused, suspended, incoming, shut;
	unsigned cpu_percent; /* 0 = not slowed; below 100 it runs and stands in turns */
	bool standing;	      /* it is a turn to stand */
	int64_t turn_ends;    /* clock_ns(), while slowed */
	int uffd, pagemap_fd;
	char tracker_reason[128]; /* "" when pagemap tracking works */
	uint64_t wait_deadline;	  /* PHASE_WAIT: guest ns */
	uint32_t wait_mask;
	uint64_t cpu_ns; /* of guest processes that have ended, or before a move */

	/* Guest time = host monotonic - offset while it runs, `clock_held` while it stands. */
	int64_t clock_offset;
	uint64_t clock_held;
	bool clock_stopped;

	uint32_t events; /* pending GUEST_EVENT_ bits that are told once */
	uint64_t tick, faults;
	struct vmm_ring ring;
	struct vmm_tap tap[DOMAIN_VIFS_MAX];
	struct vmm_disk disk[DOMAIN_DISKS_MAX];

	/* A move's source side. */
	bool saving, watching, save_broken, tracking;
	int written_fd;
	uint64_t *written; /* bitmap of pages that this process wrote, while tracking */

	struct vmm_conn conn[VMM_CONNS];
	bool ending;
};

/* vmm_main.c */
void vmm_drop_privileges(void);

/* vmm_control.c */
int vmm_control_add(struct vmm *vmm, int fd, enum conn_role role) WARN_UNUSED;
void vmm_control_accept(struct vmm *vmm);
/* What the guest printed goes to the consoles' readers as far as they take it; does not block. */
void vmm_control_flush(struct vmm *vmm);
void vmm_control_ready(struct vmm *vmm, struct vmm_conn *conn, short revents);
int vmm_control_reply(struct vmm *vmm, int fd, int rc, const struct error *err) WARN_UNUSED;
int vmm_control_listen(struct vmm *vmm, const char *name, struct error *err) WARN_UNUSED;
int vmm_control_rename(struct vmm *vmm, const char *name, struct error *err) WARN_UNUSED;

/* vmm_op.c */
/* One request while it is handled. `fd_in`, and with `own_fds` also `fds`, are closed after it. */
struct vmm_call {
	struct vmm_conn *conn;
	const struct vmm_request *req;
	int fd_in;
	int fds[SAVE_FDS];
	size_t nr_fds;
	bool own_fds;
	uint64_t xfeatures;
	struct error err;
};

int vmm_op_run(struct vmm *vmm, struct vmm_call *call) WARN_UNUSED;

/* vmm_process.c */
int vmm_process_start(struct vmm *vmm, struct error *err) WARN_UNUSED;
void vmm_process_kill(struct vmm *vmm);
uint64_t vmm_process_cpu_ns(const struct vmm *vmm);

/* vmm_run.c: hold stops the guest between two instructions, with no hypercall half done. */
void vmm_run_hold(struct vmm *vmm);
void vmm_run_go(struct vmm *vmm);
void vmm_run_stopped(struct vmm *vmm, int status);
void vmm_run_wake(struct vmm *vmm);
uint64_t vmm_clock_ns(const struct vmm *vmm);
void vmm_clock_stop(struct vmm *vmm);
void vmm_clock_start(struct vmm *vmm);
bool vmm_may_run(const struct vmm *vmm);
/* Slow it to `percent` of the time, 100 = no longer; then call vmm_run_turn() when turn_ends. */
void vmm_run_throttle(struct vmm *vmm, unsigned percent);
void vmm_run_turn(struct vmm *vmm);

/* vmm_hypercall.c */
void vmm_hypercall(struct vmm *vmm);
uint32_t vmm_wait_events(const struct vmm *vmm);
void vmm_wait_finish(struct vmm *vmm, uint32_t events);

/* vmm_monitor.c */
int vmm_monitor_boot(struct vmm *vmm, struct error *err) WARN_UNUSED;
void vmm_monitor_exit(struct vmm *vmm, enum guest_exit reason, const char *why);

/* vmm_state.c */
int vmm_state_save(struct vmm *vmm, struct embedded_tail *tail, struct error *err) WARN_UNUSED;
int vmm_state_load(
	struct vmm *vmm, const struct embedded_tail *tail, struct error *err) WARN_UNUSED;
int vmm_state_xfeatures(struct vmm *vmm, uint64_t *xfeatures, struct error *err) WARN_UNUSED;

/* vmm_save.c */
int vmm_save_begin(struct vmm *vmm, enum config_tracker tracker, int fds[static SAVE_FDS],
	size_t *nr_fds, struct error *err) WARN_UNUSED;
int vmm_save_suspend(struct vmm *vmm, int *tail_fd, struct error *err) WARN_UNUSED;
void vmm_save_done(struct vmm *vmm);
void vmm_save_undo(struct vmm *vmm);
void vmm_save_probe(struct vmm *vmm);
/* Every write of this process into guest memory is told here, after the write. */
void vmm_save_wrote(struct vmm *vmm, const void *at, size_t len);

/* vmm_device.c */
void vmm_console_write(struct vmm *vmm, const uint8_t *data, size_t len);
size_t vmm_console_tail(const struct vmm *vmm, uint8_t *out, size_t size);
int vmm_disk_open(struct vmm *vmm, struct error *err) WARN_UNUSED;
void vmm_disk_close(struct vmm *vmm);

/* vmm_net.c */
int vmm_net_open(struct vmm *vmm, struct error *err) WARN_UNUSED;
void vmm_net_close(struct vmm *vmm);

/* vmm_image.c: load the kernel into (all zero) memory. */
int vmm_image_load(struct vmm *vmm, uint64_t *entry, struct error *err) WARN_UNUSED;

/* vmm_stub.S: a complete ELF file. */
extern const uint8_t vmm_stub_start[], vmm_stub_end[], vmm_stub_memory_bytes[];

#endif
