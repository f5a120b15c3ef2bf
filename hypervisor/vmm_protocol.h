/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm_protocol: what the embedded backend and a domain's lifeboat-vmm say to each other over
 * RUN_DIR/embedded/NAME.sock (SOCK_SEQPACKET). One request, one reply, both of fixed size, with
 * descriptors where it says so. Both ends are of one build on one host; `protocol` checks that.
 *
 * A move's source:   SAVE_BEGIN ... SAVE_SUSPEND ... SAVE_DONE, then RESUME or DESTROY from
 * anywhere. When the connection that said SAVE_BEGIN closes before SAVE_DONE, the vmm undoes all of
 * it and the guest runs on. A move's destination: FINISH on the connection that the vmm was started
 * with; when that one closes before FINISH, the domain is gone. Then ACTIVATE or DESTROY, from
 * anywhere.
 */
#ifndef HYPERVISOR_VMM_PROTOCOL_H
#define HYPERVISOR_VMM_PROTOCOL_H

#include "hypervisor/hypervisor.h"

#define VMM_PROTOCOL 2u

enum vmm_op {
	VMM_STATUS = 1,
	VMM_CONFIG, /* reply carries a memfd with the JSON */
	VMM_PAUSE,
	VMM_UNPAUSE,
	VMM_SHUTDOWN,
	VMM_REBOOT,
	VMM_DESTROY,	  /* end of file follows when all is gone */
	VMM_RENAME,	  /* text = new name */
	VMM_CONSOLE,	  /* from here on every message is console data, both ways */
	VMM_SAVE_BEGIN,	  /* arg = enum config_tracker; see enum vmm_save_fd */
	VMM_SAVE_SUSPEND, /* reply carries a memfd with the TAIL */
	VMM_SAVE_DONE,	  /* stay suspended when this connection closes */
	VMM_RESUME,
	VMM_BOOT,     /* creator only; arg = 1: paused */
	VMM_FINISH,   /* creator only; carries a memfd with the TAIL */
	VMM_ACTIVATE, /* text = final name */
	VMM_WATCH,    /* as SAVE_BEGIN, but nothing will be moved; ends with this connection */
	VMM_THROTTLE, /* arg = percent of the time in which it may run; ends with the move */
	VMM_OP_MAX,
};

/* Descriptors with the reply to SAVE_BEGIN; the last two only with the pagemap tracker. */
enum vmm_save_fd { SAVE_FD_MEMORY, SAVE_FD_IMAGE, SAVE_FD_PAGEMAP, SAVE_FD_WRITTEN, SAVE_FDS };

/* Descriptors at start. */
enum vmm_start_fd { START_FD_CONTROL = 3, START_FD_MEMORY, START_FD_IMAGE, START_FD_CONFIG };

struct vmm_request {
	uint32_t protocol;
	uint32_t op;
	uint64_t arg;
	char text[DOMAIN_NAME_LEN];
};

struct vmm_reply {
	uint32_t protocol;
	int32_t rc;
	struct error err;
	struct domain dom;
	uint64_t populated_kb;	  /* memory that it really uses */
	char tracker_reason[128]; /* why not "pagemap" */
	uint64_t xfeatures;	  /* SAVE_BEGIN: xsave components that the guest has used so far */
};

#endif
