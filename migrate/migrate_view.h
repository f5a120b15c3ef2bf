/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate_view: what lifeboatd says of a move, as migrate(8) shows it. */
#ifndef MIGRATE_MIGRATE_VIEW_H
#define MIGRATE_MIGRATE_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "migrate/migrate_check.h"

struct migrate_view {
	/* what was asked for */
	const char *domain, *host;
	bool json, quiet, check, estimate, force;
	bool terminal; /* standard output is one: progress is a line that is rewritten */
	/* what was shown so far */
	struct migrate_check found;
	bool line_open;
	int64_t last_plain;
	char last_phase[32];
	int last_round; /* begin with -1 */
};

/* Show one event of lifeboatd's. -1 = go on, else the exit status. */
int migrate_view_show(struct migrate_view *v, json_t *event);

/* Something else is about to be printed. */
void migrate_view_end_line(struct migrate_view *v);

#endif
