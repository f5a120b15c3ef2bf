/* SPDX-License-Identifier: GPL-2.0-or-later */
/* engine: carries out the hand-over's rules (handover.h) against a journal and this host. */
#ifndef MIGRATE_ENGINE_H
#define MIGRATE_ENGINE_H

#include "migrate/journal.h"

/* One step for this host; STEP_JOURNAL is the engine's own. 0 or -errno with `err`. */
typedef int engine_step_fn(void *ctx, enum handover_step step, struct error *err);

struct engine {
	struct journal journal;
	struct journal_entry entry; /* what the next record says: token, term, names */
	bool ceding;		    /* CEDED may be on disk although its write failed */
	engine_step_fn *step;
	void *ctx;
};

/* For how long a move waits for the journal; a look by lifeboatd is shorter. */
#define ENGINE_BUSY_MS 3000

/*
 * Open the domain's journal for this process alone. lifeboatd may look at it just now, so while
 * another process has it this waits, until `deadline` (0: not at all). Errors as journal_open.
 */
int engine_open(struct engine *e, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], engine_step_fn *step, void *ctx,
	int64_t deadline, struct error *err) WARN_UNUSED;
void engine_close(struct engine *e);

static inline enum handover_state engine_state(const struct engine *e)
{
	return e->journal.last.state;
}

/* Does `event` mean anything in this state? */
bool engine_knows(const struct engine *e, enum handover_event event);

/*
 * Do what `event` calls for: 0, the first step's failure, or -EPROTO when it calls for nothing.
 * What was not done may be done again by the same event, or after a restart.
 */
int engine_drive(struct engine *e, enum handover_event event, struct error *err) WARN_UNUSED;

/*
 * An operator claims the domain for this host: EVENT_CLAIM at a term that is one higher, which is
 * what the other host has to bow to. As engine_drive.
 */
int engine_claim(struct engine *e, struct error *err) WARN_UNUSED;

#endif
