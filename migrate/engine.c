/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/engine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

int engine_open(struct engine *e, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], engine_step_fn *step, void *ctx,
	struct error *err)
{
	int rc = journal_open(&e->journal, cfg, uuid, err);

	if (rc)
		return rc;
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

static int write_state(struct engine *e, enum handover_state next, struct error *err)
{
	struct error why = ERROR_INIT;
	int rc;

	e->entry.state = next;
	e->ceding |= next == HANDOVER_CEDED;
	rc = journal_append(&e->journal, &e->entry, &why);
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
 * For tests of what a death leaves behind: when the file that LIFEBOAT_FAULT names says
 * "STATE.STEP kill" (or stop) of this point, it is removed and this process gets the signal. Once,
 * so that recovery goes on.
 */
static void fault_point(enum handover_state next, int step)
{
	static const struct {
		const char *name;
		int sig;
	} faults[] = {{"kill", SIGKILL}, {"stop", SIGSTOP}};
	const char *path = getenv("LIFEBOAT_FAULT");
	char here[64], *want = NULL;

	if (!path || io_read_file(path, sizeof(here), &want, NULL))
		return;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		snprintf(here, sizeof(here), "%s.%d %s", handover_state_name(next), step,
			faults[i].name);
		if (strcmp(want, here) == 0 && unlink(path) == 0)
			raise(faults[i].sig);
	}
	free(want);
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
		int rc;

		fault_point(rule.next, i);
		rc = rule.step[i] == STEP_JOURNAL ? write_state(e, rule.next, err)
						  : e->step(e->ctx, rule.step[i], err);
		if (rc)
			return rc;
	}
	fault_point(rule.next, HANDOVER_STEPS_MAX);
	return 0;
}
