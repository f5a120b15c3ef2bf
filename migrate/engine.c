/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/engine.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define BUSY_LOOK_MS 100
#define FIX_DISK     "Check that the file system of state_dir is sound, writable and not full"

int engine_open(struct engine *e, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], engine_step_fn *step, void *ctx,
	int64_t deadline, struct error *err)
{
	int rc;

	for (;;) {
		struct error why = ERROR_INIT;

		rc = journal_open(&e->journal, cfg, uuid, &why);
		if (rc == 0)
			break;
		if (rc != -EBUSY || clock_ms() >= deadline) {
			*err = why;
			return rc;
		}
		clock_pause(BUSY_LOOK_MS);
	}
	e->entry = e->journal.last;
	memcpy(e->entry.uuid, uuid, DOMAIN_UUID_LEN);
	e->ceding = false;
	e->step = step;
	e->ctx = ctx;
	return 0;
}

void engine_close(struct engine *e)
{
	journal_close(&e->journal);
}

bool engine_knows(const struct engine *e, enum handover_event event)
{
	return handover_rule(engine_state(e), event).next != HANDOVER_NONE;
}

/* `fault`: of a test, in place of the disk's. */
static int write_state(struct engine *e, enum handover_state next, int fault, struct error *err)
{
	struct error why = ERROR_INIT;
	int rc;

	e->entry.state = next;
	e->ceding |= next == HANDOVER_CEDED;
	rc = fault ? error_sys(
			     &why, fault, FIX_DISK, "cannot write the journal of %s", e->entry.name)
		   : journal_append(&e->journal, &e->entry, &why);
	if (rc == 0)
		return 0;
	/*
	 * The guest must not stand still for a bad disk: while the journal cannot say CEDED,
	 * reading it again comes to the same end as what we failed to write.
	 */
	if (next == HANDOVER_ABORTED && !e->ceding) {
		log_error("%s; %s is taken back all the same", why.what, e->entry.name);
		return 0;
	}
	return error_set(err, rc, why.fix, "%s", why.what);
}

/*
 * For tests of what a death leaves behind: when the file that LIFEBOAT_FAULT names, or that name
 * with "." and the domain's, says "STATE.STEP kill" (or stop, or full) of this point, it is removed
 * and this process gets the signal, or the step is as if the disk was full. Once, so that recovery
 * goes on.
 */
static bool fault_in(const char *path, const char *here, int *rc)
{
	static const struct {
		const char *name;
		int sig, rc;
	} faults[] = {{"kill", SIGKILL, 0}, {"stop", SIGSTOP, 0}, {"full", 0, -ENOSPC}};
	char text[64], *want = NULL;

	if (io_read_file(path, sizeof(text), &want, NULL))
		return false;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		snprintf(text, sizeof(text), "%s %s", here, faults[i].name);
		if (strcmp(want, text) != 0 || unlink(path) < 0)
			continue;
		free(want);
		if (faults[i].sig)
			raise(faults[i].sig);
		*rc = faults[i].rc;
		return true;
	}
	free(want);
	return false;
}

static int fault_point(const struct engine *e, enum handover_state next, int step)
{
	const char *path = getenv("LIFEBOAT_FAULT");
	char here[48], named[PATH_MAX];
	int rc = 0;

	if (!path)
		return 0;
	snprintf(here, sizeof(here), "%s.%d", handover_state_name(next), step);
	if (!fault_in(path, here, &rc) &&
		snprintf(named, sizeof(named), "%s.%s", path, e->entry.name) < (int)sizeof(named))
		fault_in(named, here, &rc);
	return rc;
}

int engine_drive(struct engine *e, enum handover_event event, struct error *err)
{
	enum handover_state from = engine_state(e);
	struct handover_rule rule = handover_rule(from, event);

	if (rule.next == HANDOVER_NONE)
		return error_set(err, -EPROTO, NULL, "%s came while the hand-over of %s is %s",
			handover_event_name(event), e->entry.name, handover_state_name(from));
	log_debug("%s: %s x %s -> %s", e->entry.name, handover_state_name(from),
		handover_event_name(event), handover_state_name(rule.next));
	for (int i = 0; i < HANDOVER_STEPS_MAX && rule.step[i] != STEP_NONE; i++) {
		int rc = fault_point(e, rule.next, i);

		if (rule.step[i] == STEP_JOURNAL)
			rc = write_state(e, rule.next, rc, err);
		else
			rc = e->step(e->ctx, rule.step[i], err);
		if (rc)
			return rc;
	}
	fault_point(e, rule.next, HANDOVER_STEPS_MAX);
	return 0;
}

int engine_claim(struct engine *e, struct error *err)
{
	int rc;

	e->entry.term = e->journal.last.term + 1;
	rc = engine_drive(e, EVENT_CLAIM, err);
	e->entry.term = e->journal.last.term;
	return rc;
}
