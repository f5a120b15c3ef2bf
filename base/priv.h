/* SPDX-License-Identifier: GPL-2.0-or-later */
/* priv: give up every power a process does not need, for good, before it reads a peer's bytes. */
#ifndef BASE_PRIV_H
#define BASE_PRIV_H

#include "base/error.h"
#include "base/io.h"

/* No core dumps, no ptrace by others: for a process that holds keys. */
void priv_hide_memory(void);

/*
 * Become `user` when root (with no supplementary groups), then confine to computing and to reading
 * and writing descriptors that are already open: no open, no socket, no exec, no fork. Whatever
 * else is tried kills the process. Irreversible.
 */
int priv_confine(const char *user, struct error *err) WARN_UNUSED;

#endif
