/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate: the verbs of migrate(8) other than moving a domain. */
#ifndef MIGRATE_MIGRATE_H
#define MIGRATE_MIGRATE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/config.h"

/* Print who owns what, by this host's journals. */
int migrate_status(const struct config *cfg, bool json, struct error *err) WARN_UNUSED;

/* Print the event "estimate". */
void migrate_estimate_show(const json_t *estimate);

/*
 * Ask the move of `domain` to end, and print what came of it. 0 cancelled, 1 it had ended
 * otherwise, -errno. Blocks until the move has ended.
 */
int migrate_cancel(
	const struct config *cfg, const char *domain, bool json, struct error *err) WARN_UNUSED;

/*
 * Settle what is open (one domain, or all with NULL), with `claim` on the operator's word that the
 * other host is dead. Prints what came of it. 0 all settled, 1 something is still open, -errno.
 */
int migrate_resolve(const char *name, bool claim, bool json, struct error *err) WARN_UNUSED;

#endif
