/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate_check: what the preflight found, as migrate(8) shows it. */
#ifndef MIGRATE_MIGRATE_CHECK_H
#define MIGRATE_MIGRATE_CHECK_H

#include <jansson.h>
#include <stdbool.h>

/* All zero is an empty one. */
struct migrate_check {
	json_t *list; /* findings, worst first; NULL = none */
	unsigned blockers, risks, warnings;
	bool stopped; /* they stop the move */
};

void migrate_check_dispose(struct migrate_check *c);

/* Take a "finding" or "preflight" event in. False: it is neither. */
bool migrate_check_take(struct migrate_check *c, const json_t *event);

/* The list goes into the event that is printed as JSON, as "findings". */
void migrate_check_join(const struct migrate_check *c, json_t *event);

/* migrate --check: all on standard output, the verdict last. */
void migrate_check_report(
	const struct migrate_check *c, const char *domain, const char *host, bool force);

/* A move: on standard error, and when it is stopped by more than one blocker, a line to close. */
void migrate_check_warn(const struct migrate_check *c, const char *domain);

#endif
