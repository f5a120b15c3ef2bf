/* SPDX-License-Identifier: GPL-2.0-or-later */
/* embedded_client: talk to the vmm of a domain. */
#ifndef HYPERVISOR_EMBEDDED_CLIENT_H
#define HYPERVISOR_EMBEDDED_CLIENT_H

#include "hypervisor/vmm_protocol.h"

/* Connect to the domain NAME of this run_dir. The descriptor, or -ENOENT / -errno. */
int client_connect(const char *run_dir, const char *name, struct error *err) WARN_UNUSED;

struct client_call {
	enum vmm_op op;
	uint64_t arg;
	const char *text;
	int fd_out; /* sent along, -1 = none */
};

/*
 * One request and its reply. Descriptors of the reply go to `fds` (room in, count out; may be NULL)
 * and are the caller's. The vmm's own error ends up in `err`.
 */
int client_request(int sock, const struct client_call *call, struct vmm_reply *reply, int *fds,
	size_t *nr_fds, struct error *err) WARN_UNUSED;

/* Receive one reply, as the vmm gives at its start. */
int client_receive(
	int sock, struct vmm_reply *reply, int *fds, size_t *nr_fds, struct error *err) WARN_UNUSED;

/* Connect, one request without descriptors, close. `reply` may be NULL. */
int client_simple(const char *run_dir, const char *name, enum vmm_op op, uint64_t arg,
	const char *text, struct vmm_reply *reply, struct error *err) WARN_UNUSED;

/* Wait until the vmm has closed its end: it is gone then, with all that it had. */
int client_wait_gone(int sock, struct error *err) WARN_UNUSED;

#endif
