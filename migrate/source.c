/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define SAY_MS	 60000
#define HEAR_MS	 60000
#define CLEAN_MS 30000
#define ABORT_MS 10000

int source_init(struct source *s, const struct config *cfg)
{
	*s = (struct source){.cfg = cfg, .link = LINK_INIT, .engine = {.journal = JOURNAL_INIT}};
	return record_init(&s->rec);
}

void source_dispose(struct source *s)
{
	link_down(&s->link);
	engine_close(&s->engine);
	record_dispose(&s->rec);
}

int source_connect(struct source *s, struct error *err)
{
	return link_up(&s->link, s->cfg, s->peer, &s->rec, err);
}

int source_broken(struct source *s, struct link *l, int rc, struct error *err)
{
	if (rc == -ETIMEDOUT)
		return error_set(err, rc, "Check the network between the hosts",
			"the link to %s takes no data any more", s->peer->name);
	do {
		rc = link_read(l->sock, &s->rec, &l->stats, deadline_in(1000), err);
	} while (rc == 0);
	return rc;
}

int source_say(struct source *s, enum record_type type, struct error *err)
{
	int rc = record_write(s->link.sock, type, NULL, 0, deadline_in(SAY_MS));

	return rc ? source_broken(s, &s->link, rc, err) : 0;
}

static int rename_to(struct source *s, const char *suffix, struct error *err)
{
	char name[2 * DOMAIN_NAME_LEN];

	if (snprintf(name, sizeof(name), "%s%s", s->name, suffix) >= DOMAIN_NAME_LEN)
		return error_set(err, -ENAMETOOLONG, "Give the domain a shorter name",
			"the name %s is too long to be moved", s->name);
	return strcmp(s->dom.name, name) == 0 ? 0 : s->hv->rename(&s->dom, name, err);
}

/* What the hypervisor knows now: another process may have acted, or the host been restarted. */
static int look(struct source *s, struct error *err)
{
	struct domain now = s->dom;
	int rc = hypervisor_find_uuid(s->hv, s->engine.entry.uuid, &now, err);

	s->here = rc == 0;
	if (rc == 0)
		s->dom = now;
	return rc == -ENOENT ? 0 : rc;
}

/* All of its CPU again, whoever slowed it. A guest that stays slow is better than one that stands.
 */
static void unthrottle(struct source *s)
{
	struct error why = ERROR_INIT;

	if (s->hv->throttle(&s->dom, 100, &why))
		log_error("%s is still slowed: %s. %s", s->name, why.what, why.fix);
}

static int step_resume(struct source *s, struct error *err)
{
	int rc = look(s, err);

	if (rc || !s->here)
		return rc; /* it ended with this host: a cold start is no matter of the hand-over */
	unthrottle(s);
	rc = rename_to(s, "", err);
	if (rc == 0 && s->dom.state == DOMAIN_SUSPENDED)
		rc = s->hv->resume(&s->dom, err);
	return rc;
}

static int step_cede(struct source *s, struct error *err)
{
	return rename_to(s, SUFFIX_AWAY, err);
}

static int step_destroy(struct source *s, struct error *err)
{
	struct error quiet = ERROR_INIT;
	int rc = look(s, err);

	/* One that ran on here meanwhile has its disks, although no window is open any more. */
	if (rc == 0 && s->here && !s->window.nr && drbd_window_init(&s->window, &s->dom, &quiet))
		log_warn("%s: %s", s->name, quiet.what);
	if (rc == 0 && s->here)
		rc = s->hv->destroy(&s->dom, err);
	if (rc)
		return rc;
	s->here = false;
	drbd_window_demote(&s->window, deadline_in(CLEAN_MS));
	return 0;
}

static void close_window(struct source *s)
{
	bool mine = handover_may_run(engine_state(&s->engine));

	drbd_window_end(&s->window, !mine, deadline_in(CLEAN_MS), NULL);
}

static int step_go(struct source *s, struct error *err)
{
	if (s->resolving)
		return 0; /* asking said it */
	return source_say(s, RECORD_GO, err);
}

/* Before CLOSED the destination may say whether the guest is reached there. */
static int hear_closed(struct source *s, struct error *err)
{
	int64_t deadline = deadline_in(CLEAN_MS);
	int rc = link_read(s->link.sock, &s->rec, &s->link.stats, deadline, err);

	if (rc == 0 && s->rec.type == RECORD_PLACE) {
		if (!record_get_place(&s->rec, &s->place))
			return error_set(err, -EPROTO, NULL, "a bad PLACE");
		rc = link_read(s->link.sock, &s->rec, &s->link.stats, deadline, err);
	}
	if (rc == 0 && s->rec.type != RECORD_CLOSED)
		rc = error_set(err, -EPROTO, NULL, "%s came instead of CLOSED",
			record_type_name(s->rec.type));
	return rc;
}

/*
 * A courtesy: the journal says GONE already. Both hosts close their windows meanwhile: each takes
 * seconds on a slow one, and the less they differ the better for a connection that is lost just
 * then.
 */
static int step_gone(struct source *s, struct error *err)
{
	struct error why = ERROR_INIT;
	int rc = source_say(s, RECORD_GONE, &why);

	(void)err;
	close_window(s);
	s->confirmed = rc == 0 && hear_closed(s, &why) == 0;
	if (!s->confirmed)
		log_warn("%s did not confirm the end of the move: %s", s->peer->name, why.what);
	return 0;
}

/* A courtesy, too: a destination that only sees the link end asks for nothing more. */
static int step_abort(struct source *s, struct error *err)
{
	(void)err;
	if (s->heard || s->resolving || s->link.sock < 0)
		return 0;
	/* Behind a batch that a low bwlimit lets out slowly. */
	if (record_write(s->link.sock, RECORD_ABORT, NULL, 0, deadline_in(ABORT_MS)))
		log_debug("%s could not be told", s->peer->name);
	return 0;
}

/* The destination's domain gets its disks on this word: nothing may be on its way to ours. */
static int step_quiesced(struct source *s, struct error *err)
{
	uint8_t body[64];
	int rc = s->hv->quiesce(&s->dom, err);

	if (rc == 0)
		rc = drbd_window_whole(&s->window, DRBD_PROC, err);
	if (rc)
		return rc;
	rc = record_write(s->link.sock, RECORD_QUIESCED, body,
		record_put_quiesced(body, sizeof(body), &s->verify.sums), deadline_in(SAY_MS));
	return rc ? source_broken(s, &s->link, rc, err) : 0;
}

int source_step(void *ctx, enum handover_step step, struct error *err)
{
	static int (*const steps[HANDOVER_STEP_KINDS])(struct source *, struct error *) = {
		[STEP_RESUME] = step_resume,
		[STEP_CEDE] = step_cede,
		[STEP_DESTROY] = step_destroy,
		[STEP_SAY_QUIESCED] = step_quiesced,
		[STEP_SAY_GO] = step_go,
		[STEP_SAY_GONE] = step_gone,
		[STEP_SAY_ABORT] = step_abort,
	};

	if (!steps[step])
		return error_set(err, -EPROTO, NULL, "'%s' is no step of a source",
			handover_step_name(step));
	return steps[step](ctx, err);
}

/* Read until the destination's word, or the end of the link. */
static bool hear_refused(struct source *s)
{
	int64_t deadline = deadline_in(HEAR_MS);
	struct error why = ERROR_INIT;
	int rc;

	if (s->link.sock < 0)
		return false;
	do {
		rc = link_read(s->link.sock, &s->rec, &s->link.stats, deadline, &why);
	} while (rc == 0);
	return rc == -EREMOTEIO && s->rec.type == RECORD_REFUSED;
}

void source_give_up(struct source *s, int rc, struct error *why)
{
	struct error err = ERROR_INIT;

	s->heard = rc == -EREMOTEIO;
	if (engine_state(&s->engine) == HANDOVER_CEDED && !s->heard)
		return;
	if (engine_drive(&s->engine, s->heard ? EVENT_REFUSED : EVENT_FAILED, &err)) {
		log_error("%s: %s", s->name, err.what);
		error_fix(why, "%s could not be resumed here (%.200s)", s->name, err.what);
		return;
	}
	if (!s->heard)
		s->heard = hear_refused(s);
	err = ERROR_INIT;
	if (s->heard && engine_drive(&s->engine, EVENT_REFUSED, &err))
		log_warn("%s: %s", s->name, err.what);
	close_window(s);
}

static int ask(struct source *s, struct error *err)
{
	struct record_resolve resolve = {
		.ceded = engine_state(&s->engine) == HANDOVER_CEDED, .term = s->engine.entry.term};
	uint8_t body[64];
	size_t len;
	int rc;

	memcpy(resolve.uuid, s->engine.entry.uuid, sizeof(resolve.uuid));
	memcpy(resolve.token, s->engine.entry.token, sizeof(resolve.token));
	len = record_put_resolve(body, sizeof(body), &resolve);
	rc = record_write(s->link.sock, RECORD_RESOLVE, body, len, deadline_in(SAY_MS));
	return rc ? source_broken(s, &s->link, rc, err)
		  : link_read(s->link.sock, &s->rec, &s->link.stats, deadline_in(HEAR_MS), err);
}

int source_ask(struct source *s, struct error *err)
{
	struct error said = ERROR_INIT;
	int rc;

	s->resolving = true;
	rc = source_connect(s, err);
	if (rc)
		goto out;
	rc = ask(s, &said);
	if (rc == 0 && s->rec.type == RECORD_DONE)
		rc = engine_drive(&s->engine, EVENT_DONE, err);
	else if (rc == -EREMOTEIO && s->rec.type == RECORD_REFUSED)
		rc = engine_drive(&s->engine, EVENT_REFUSED, err);
	else
		rc = error_set(err, rc ? rc : -EPROTO, said.fix, "%s",
			rc ? said.what : "the other host gave no answer that fits");
	/* From CEDED the first REFUSED led to ABORTED; it also is the word that ends that. */
	if (rc == 0 && engine_state(&s->engine) == HANDOVER_ABORTED)
		rc = engine_drive(&s->engine, EVENT_REFUSED, err);
	if (rc == 0)
		close_window(s);
out:
	link_down(&s->link);
	s->resolving = false;
	return rc;
}
