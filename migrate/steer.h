/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * steer: what may call off a move while it is under way: the program that asked for it (Ctrl-C, or
 * its end), 'migrate cancel' from anywhere on this host, and the time that it was given. It holds
 * until the hand-over is committed; each wait before that goes through here.
 */
#ifndef MIGRATE_STEER_H
#define MIGRATE_STEER_H

#include <jansson.h>
#include <poll.h>

#include "base/config.h"
#include "hypervisor/hypervisor.h"

#define STEER_CALLERS 8

struct steer {
	int client; /* the program that asked; not owned */
	int listen; /* -1 = none */
	int caller[STEER_CALLERS];
	unsigned nr_callers;
	char path[PATH_MAX];
	char name[DOMAIN_NAME_LEN];
	uint32_t timeout_s; /* 0 = none */
	int64_t deadline;
};

/* Until it is opened only the client can call it off. */
#define STEER_INIT(fd)                                                                             \
	{                                                                                          \
		.client = (fd), .listen = -1, .deadline = INT64_MAX                                \
	}

/* Where 'migrate cancel' finds the move of a domain. */
void steer_path(const struct config *cfg, const char *domain, char *out, size_t size);

/* Begin, with the time running from now. Never fails: a socket that cannot be made is logged. */
void steer_open(struct steer *s, const struct config *cfg, const char *domain, int client,
	uint32_t timeout_s);

/* Has somebody called it off? 0, or -ECANCELED with the sentence. Does not block. */
int steer_look(struct steer *s, struct error *err) WARN_UNUSED;

/*
 * Wait until one of `nr` (up to STEER_FDS) descriptors has what `fds` asks for: 0, as by poll();
 * -ETIMEDOUT, without a sentence, when `deadline` passes first; -ECANCELED with the sentence when
 * it was called off.
 */
#define STEER_FDS 8u
int steer_wait(struct steer *s, struct pollfd *fds, unsigned nr, int64_t deadline,
	struct error *err) WARN_UNUSED;

/* The move has ended: tell all who asked for its end what came of it. Frees `outcome`; idempotent.
 */
void steer_close(struct steer *s, json_t *outcome);

#endif
