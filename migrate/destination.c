/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/destination.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/join.h"

#define REPLY_MS 30000
#define CLEAN_MS 60000
#define END_MS	 15000 /* for a domain to be taken away */

void destination_init(struct destination *d, const struct config *cfg, int sock)
{
	*d = (struct destination){.cfg = cfg, .sock = sock, .engine = {.journal = JOURNAL_INIT}};
}

void destination_dispose(struct destination *d)
{
	if (d->hv)
		d->hv->restore_abort(d->restore);
	d->restore = NULL;
	engine_close(&d->engine);
}

static int say(struct destination *d, uint32_t type, const void *body, size_t len)
{
	d->said = type;
	return d->sock < 0 ? 0 : record_write(d->sock, type, body, len, deadline_in(REPLY_MS));
}

static int say_reason(struct destination *d, uint32_t type, const char *what, const char *fix)
{
	uint8_t body[2 * ERROR_TEXT_LEN + 8];
	struct error why = ERROR_INIT;

	error_set(&why, -ECANCELED, fix, "%s", what);
	return say(d, type, body, record_put_reason(body, sizeof(body), &why));
}

void destination_close_window(struct destination *d)
{
	bool mine = handover_may_run(engine_state(&d->engine));

	drbd_window_end(&d->window, !mine, deadline_in(CLEAN_MS), NULL);
}

/* The finished copy, under whatever name, or -ENOENT. */
static int look(struct destination *d, struct error *err)
{
	return hypervisor_find_uuid(d->hv, d->engine.entry.uuid, &d->dom, err);
}

/*
 * Only what this hand-over has brought: never a domain that runs here for another reason. Once it
 * is this host's, that is whatever runs under its UUID.
 */
static bool is_ours(const struct destination *d)
{
	return engine_state(&d->engine) == HANDOVER_OWNER || strstr(d->dom.name, SUFFIX_INCOMING);
}

static int step_destroy(struct destination *d, struct error *err)
{
	struct error quiet = ERROR_INIT;
	int rc;

	d->hv->restore_abort(d->restore);
	d->restore = NULL;
	rc = look(d, err);
	if (rc == 0 && is_ours(d)) {
		if (!d->window.nr && drbd_window_init(&d->window, &d->dom, &quiet))
			log_warn("%s: %s", d->name, quiet.what);
		rc = d->hv->destroy(&d->dom, err);
	}
	if (rc && rc != -ENOENT)
		return rc;
	if (!d->window.open && engine_state(&d->engine) == HANDOVER_OWNER)
		drbd_window_demote(&d->window, deadline_in(CLEAN_MS));
	drbd_window_end(&d->window, true, deadline_in(CLEAN_MS), NULL);
	return 0;
}

static int step_activate(struct destination *d, struct error *err)
{
	int64_t start = clock_ns();
	int rc = look(d, err);

	if (rc == -ENOENT) {
		log_warn("%s was handed over to this host and is not here any more", d->name);
		return 0;
	}
	if (rc == 0)
		rc = d->hv->activate(&d->dom, d->name, err);
	d->done.activate_us = (uint64_t)(clock_ns() - start) / 1000;
	if (rc == 0)
		log_info("%s runs here", d->name);
	return rc;
}

static int step_done(struct destination *d, struct error *err)
{
	uint8_t body[32];
	int rc = say(d, RECORD_DONE, body, record_put_done(body, sizeof(body), &d->done));

	return rc ? error_sys(err, rc, NULL, "the source could not be told") : 0;
}

static int step_ready(struct destination *d, struct error *err)
{
	int rc = say(d, RECORD_READY, NULL, 0);

	return rc ? error_sys(err, rc, NULL, "the source could not be told") : 0;
}

/* A source that did not hear it asks again. */
static int step_refused(struct destination *d, struct error *err)
{
	(void)err;
	if (say_reason(d, RECORD_REFUSED, d->why ? d->why : "the move was called off", d->fix))
		log_debug("the source of %s could not be told", d->name);
	return 0;
}

int destination_step(void *ctx, enum handover_step step, struct error *err)
{
	static int (*const steps[HANDOVER_STEP_KINDS])(struct destination *, struct error *) = {
		[STEP_DESTROY] = step_destroy,
		[STEP_ACTIVATE] = step_activate,
		[STEP_SAY_READY] = step_ready,
		[STEP_SAY_DONE] = step_done,
		[STEP_SAY_REFUSED] = step_refused,
	};

	if (!steps[step])
		return error_set(err, -EPROTO, NULL, "'%s' is no step of a destination",
			handover_step_name(step));
	return steps[step](ctx, err);
}

/* What the engine that is gone knew. */
static int take_over(struct destination *d, struct error *err)
{
	memcpy(d->name, d->engine.entry.name, sizeof(d->name));
	return drbd_window_load(&d->window, d->cfg, d->engine.entry.uuid, err);
}

int destination_recover(struct destination *d, struct error *err)
{
	enum handover_event event;
	int rc = take_over(d, err);

	if (rc)
		return rc;
	rc = look(d, err);
	if (rc && rc != -ENOENT)
		return rc;
	event = rc == 0 ? EVENT_RESTART : EVENT_LOST;
	d->why = "its engine there ended in the middle of the move";
	if (!engine_knows(&d->engine, event))
		return 0;
	rc = engine_drive(&d->engine, event, err);
	if (rc == 0)
		log_info("%s from %s: recovered, now %s", d->name, d->engine.entry.peer,
			handover_state_name(engine_state(&d->engine)));
	return rc;
}

int destination_go(struct destination *d, struct error *err)
{
	int rc = look(d, err);

	if (rc == -ENOENT && engine_state(&d->engine) == HANDOVER_READY) {
		d->why = "its copy there has vanished";
		rc = engine_drive(&d->engine, EVENT_LOST, err);
		return rc ? rc
			  : error_set(err, -ENOENT, NULL, "the copy of %s has vanished", d->name);
	}
	if (rc && rc != -ENOENT)
		return rc;
	return engine_drive(&d->engine, EVENT_GO, err);
}

void destination_turn_away(struct destination *d, bool offer)
{
	if (say_reason(d, offer ? RECORD_REFUSED : RECORD_UNKNOWN, d->why, d->fix))
		log_debug("the source could not be told");
}

static int cannot_tell(struct destination *d, const char *what)
{
	return say_reason(d, RECORD_UNKNOWN, what,
		"Ask again; if it stays so, look at 'migrate status' on both hosts");
}

/* A hand-over that this host's journal has gone past, or never knew. */
static int answer_from_past(
	struct destination *d, const char *peer, const struct record_resolve *ask)
{
	struct error why = ERROR_INIT;
	struct journal_entry past;
	int rc = journal_answer(d->cfg, ask->uuid, ask->token, &past, &why);

	if (rc == -ENOENT && ask->ceded)
		return cannot_tell(d, "this host's journal does not know that hand-over");
	/* It is past or never came: either way nothing of it is here. */
	if (rc == -ENOENT)
		return say_reason(d, RECORD_REFUSED, "nothing of it is here", NULL);
	if (rc)
		return cannot_tell(d, why.what);
	if (strcmp(past.peer, peer) != 0)
		return cannot_tell(d, "that hand-over was with another host");
	if (past.state == HANDOVER_OWNER)
		return destination_step(d, STEP_SAY_DONE, &why);
	return say_reason(d, RECORD_REFUSED, "it was called off", NULL);
}

/*
 * What the question means to this host. Two operators may have claimed it, one on each host: then
 * it stays here, unless this host's copy has vanished meanwhile.
 */
static enum handover_event event_of(struct destination *d, const struct record_resolve *ask)
{
	const struct journal_entry *last = &d->engine.journal.last;

	if (ask->ceded)
		return EVENT_GO;
	if (ask->term > last->term)
		return EVENT_OVERRULED;
	return ask->term == last->term && last->state == HANDOVER_OWNER && look(d, NULL) == -ENOENT
		       ? EVENT_OVERRULED
		       : EVENT_ABORT;
}

/* What an engine that died left undone comes first, unless it is to be undone. */
static int answer_now(struct destination *d, const struct record_resolve *ask, struct error *err)
{
	struct engine *e = &d->engine;
	enum handover_event event = event_of(d, ask);
	struct error why = ERROR_INIT;
	int sock = d->sock, rc;

	d->sock = -1; /* recovery speaks to nobody */
	rc = event == EVENT_OVERRULED ? take_over(d, &why) : destination_recover(d, &why);
	d->sock = sock;
	if (rc)
		return cannot_tell(d, why.what);
	if (!engine_knows(e, event))
		return cannot_tell(d, "the hand-over cannot be ended in its state there");
	if (event == EVENT_GO)
		return destination_go(d, err);
	if (event == EVENT_OVERRULED && engine_state(e) == HANDOVER_OWNER) {
		log_warn(
			"%s was claimed at %s; the copy here is destroyed", d->name, e->entry.peer);
		d->why = "it was claimed";
		e->entry.term = ask->term;
	}
	return engine_drive(e, event, err);
}

/* An engine that waits for its source's link to come back gives up when the source asks. */
static int open_journal(struct destination *d, const char *peer, const struct record_resolve *ask,
	struct error *why)
{
	struct join_word word = {0};
	int rc = engine_open(&d->engine, d->cfg, ask->uuid, destination_step, d, 0, why);

	snprintf(word.peer, sizeof(word.peer), "%s", peer);
	if (rc != -EBUSY || join_pass(d->cfg, ask->token, &word, -1))
		return rc;
	*why = ERROR_INIT;
	return engine_open(
		&d->engine, d->cfg, ask->uuid, destination_step, d, deadline_in(END_MS), why);
}

int destination_resolve(struct destination *d, const char *peer, const struct record_resolve *ask,
	struct error *err)
{
	struct engine *e = &d->engine;
	struct error why = ERROR_INIT;
	int rc;

	rc = open_journal(d, peer, ask, &why);
	if (rc)
		return cannot_tell(d, why.what);
	if (memcmp(e->entry.token, ask->token, sizeof(e->entry.token)) != 0)
		return answer_from_past(d, peer, ask);
	if (strcmp(e->entry.peer, peer) != 0)
		return cannot_tell(d, "that hand-over was with another host");
	rc = answer_now(d, ask, err);
	if (rc == 0)
		destination_close_window(d);
	return rc;
}
