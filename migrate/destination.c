/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/destination.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define REPLY_MS 30000
#define CLEAN_MS 60000

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

static int say(const struct destination *d, uint32_t type, const void *body, size_t len)
{
	return d->sock < 0 ? 0 : record_write(d->sock, type, body, len, deadline_in(REPLY_MS));
}

static int say_reason(const struct destination *d, uint32_t type, const char *what, const char *fix)
{
	uint8_t body[2 * ERROR_TEXT_LEN + 8];
	struct error why = ERROR_INIT;

	error_set(&why, -ECANCELED, fix, "%s", what);
	return say(d, type, body, record_put_reason(body, sizeof(body), &why));
}

void destination_close_window(struct destination *d)
{
	struct error why = ERROR_INIT;

	if (drbd_window_close(&d->window, deadline_in(CLEAN_MS), &why))
		log_warn("%s", why.what);
}

/* The finished copy, under whatever name, or -ENOENT. */
static int look(struct destination *d, struct error *err)
{
	return hypervisor_find_uuid(d->hv, d->engine.entry.uuid, &d->dom, err);
}

static int step_destroy(struct destination *d, struct error *err)
{
	struct error why = ERROR_INIT;
	int rc;

	d->hv->restore_abort(d->restore);
	d->restore = NULL;
	rc = look(d, err);
	/* Only what this hand-over has brought: never a domain that runs here for another reason.
	 */
	if (rc == 0 && strstr(d->dom.name, SUFFIX_INCOMING))
		rc = d->hv->destroy(&d->dom, err);
	if (rc && rc != -ENOENT)
		return rc;
	if (d->window.open && drbd_window_demote(&d->window, deadline_in(CLEAN_MS), &why))
		log_warn("%s", why.what);
	destination_close_window(d);
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

/* What an engine that died may have left open: found again through the domain's disks. */
static void find_window(struct destination *d)
{
	struct error quiet = ERROR_INIT;

	if (drbd_window_init(&d->window, &d->dom, &quiet) == 0)
		d->window.open = d->window.nr > 0;
}

int destination_recover(struct destination *d, struct error *err)
{
	enum handover_event event;
	int rc;

	memcpy(d->name, d->engine.entry.name, sizeof(d->name));
	rc = look(d, err);
	if (rc && rc != -ENOENT)
		return rc;
	event = rc == 0 ? EVENT_RESTART : EVENT_LOST;
	if (rc == 0)
		find_window(d);
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

void destination_turn_away(const struct destination *d, bool offer)
{
	if (say_reason(d, offer ? RECORD_REFUSED : RECORD_UNKNOWN, d->why, d->fix))
		log_debug("the source could not be told");
}

static int cannot_tell(const struct destination *d, const char *what)
{
	return say_reason(d, RECORD_UNKNOWN, what,
		"Ask again; if it stays so, look at 'migrate status' on both hosts");
}

int destination_resolve(struct destination *d, const struct record_resolve *ask, struct error *err)
{
	struct engine *e = &d->engine;
	enum handover_event event = ask->ceded ? EVENT_GO : EVENT_ABORT;
	struct error why = ERROR_INIT;
	int sock = d->sock, rc;

	rc = engine_open(e, d->cfg, ask->uuid, destination_step, d, &why);
	if (rc)
		return cannot_tell(d, why.what);
	if (memcmp(e->entry.token, ask->token, sizeof(e->entry.token)) != 0) {
		if (ask->ceded)
			return cannot_tell(d, "this host's journal does not know that hand-over");
		/* It is past or never came: either way nothing of it is here. */
		return say_reason(d, RECORD_REFUSED, "nothing of it is here", NULL);
	}
	d->sock = -1; /* recovery speaks to nobody */
	rc = destination_recover(d, &why);
	d->sock = sock;
	if (rc)
		return cannot_tell(d, why.what);
	if (!engine_knows(e, event))
		return cannot_tell(d, "the hand-over cannot be ended in its state there");
	rc = ask->ceded ? destination_go(d, err) : engine_drive(e, event, err);
	if (rc == 0)
		destination_close_window(d);
	return rc;
}
