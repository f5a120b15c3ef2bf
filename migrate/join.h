/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * join: where a new link finds the destination's engine that builds a domain already: one more
 * stream of it, or one that takes the place of another that was lost.
 *
 *   source --JOIN--> lifeboatd starts another lifeboat-receive --descriptor--> the one that builds
 *
 * They meet at a socket that is named by the hand-over's token, in a directory that only root can
 * enter; it lives as long as links may come.
 */
#ifndef MIGRATE_JOIN_H
#define MIGRATE_JOIN_H

#include "base/config.h"
#include "migrate/record.h"

struct join {
	int listen; /* -1 = closed */
	char path[PATH_MAX];
};

#define JOIN_INIT ((struct join){.listen = -1})

/* The engine: 0 or -errno. */
int join_open(struct join *j, const struct config *cfg,
	const uint8_t token[static RECORD_TOKEN_LEN]) WARN_UNUSED;
/* Idempotent. */
void join_close(struct join *j);

/* What comes with a link. */
struct join_word {
	char peer[HOST_NAME_LEN]; /* who is there, as proved by its key */
	uint32_t stream;
};

/*
 * The engine, when `listen` is readable: returns the link, which is the caller's; -ENODATA when the
 * other only wants this engine to give up; -errno when nothing usable has come. Waits for a second
 * at most.
 */
int join_take(struct join *j, struct join_word *word) WARN_UNUSED;

/* The other process: pass on a link (`link` < 0: give up). 0; -ENOENT when nobody builds it. */
int join_pass(const struct config *cfg, const uint8_t token[static RECORD_TOKEN_LEN],
	const struct join_word *word, int link) WARN_UNUSED;

#endif
