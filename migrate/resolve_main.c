/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-resolve: finish or roll back every hand-over that a crash or a cut left open, from this
 * host's journals and the peers' answers. lifeboatd runs it at its start and while something is
 * open; 'migrate resolve' runs it for a person. One that is under way is left alone.
 *
 * lifeboat-resolve [--events] [--claim] [NAME]
 *
 * With --events descriptor 3 is 'migrate': it is told of each hand-over, with an "error" as the
 * last event when there is one (event.h). Exit status 0: all is settled.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/destination.h"
#include "migrate/event.h"
#include "migrate/source.h"

#define CLIENT_FD 3
#define BUSY_MS	  15000
#define WINDOW_MS 10000 /* lifeboatd's own try makes one attempt, and comes again */

struct resolve {
	struct config cfg;
	const struct hypervisor *hv;
	const char *name; /* only this one; NULL = all */
	bool claim, told; /* somebody is told, and waits for it */
	unsigned seen, open;
};

static void tell(const struct resolve *r, const struct journal_entry *last, const struct error *why)
{
	if (!r->told)
		return;
	event_send(CLIENT_FD,
		json_pack("{s:s, s:s, s:s, s:I, s:s, s:b, s:b, s:s, s:s}", "event", "handover",
			"name", last->name, "state", handover_state_name(last->state), "term",
			(json_int_t)last->term, "peer", last->peer, "settled",
			(int)handover_settled(last->state), "here",
			(int)handover_may_run(last->state), "what", why->what, "fix", why->fix));
}

static void report(struct resolve *r, const struct engine *e, const struct error *why)
{
	const struct journal_entry *last = &e->journal.last;

	r->open += !handover_settled(last->state);
	tell(r, last, why);
}

/* A claim makes the other host's copy give way: never for one that is not there. */
static int claim_source(struct source *s, struct error *err)
{
	struct engine *e = &s->engine;
	int rc = hypervisor_find_uuid(s->hv, e->entry.uuid, &s->dom, err);

	if (rc == -ENOENT) {
		*err = ERROR_INIT;
		error_set(err, rc, NULL, "there is no copy of %s on this host to claim", s->name);
		error_fix(err, "Start it from its disks ('hv create'), then claim it");
	}
	return rc ? rc : engine_claim(e, err);
}

/* First what this host can do alone, then what only the destination can tell. */
static int resolve_source(struct resolve *r, struct source *s, struct error *err)
{
	struct engine *e = &s->engine;
	int rc;

	s->peer = config_peer_by_name(&r->cfg, e->entry.peer);
	memcpy(s->name, e->entry.name, sizeof(s->name));
	rc = drbd_window_load(&s->window, s->cfg, e->entry.uuid, err);
	if (rc == 0 && engine_knows(e, EVENT_RESTART))
		rc = engine_drive(e, EVENT_RESTART, err);
	if (rc == 0 && r->claim && engine_knows(e, EVENT_CLAIM))
		return claim_source(s, err);
	if (rc)
		return rc;
	if (!s->peer)
		return error_set(err, -ENOENT, "Add the peer to the config again",
			"no peer '%s' is configured any more", e->entry.peer);
	return source_ask(s, err);
}

static int resolve_destination(struct resolve *r, struct destination *d, struct error *err)
{
	int rc = destination_recover(d, err);

	if (rc == 0 && r->claim && engine_knows(&d->engine, EVENT_CLAIM))
		rc = engine_claim(&d->engine, err);
	if (rc == 0 && engine_state(&d->engine) == HANDOVER_OWNER)
		destination_close_window(d);
	if (rc == 0 && engine_state(&d->engine) == HANDOVER_READY)
		error_set(err, -EAGAIN, NULL, "a complete copy waits here for the source's word");
	return rc;
}

/*
 * The journal for ourselves. lifeboatd's own try may be at it just now: a person's waits for that
 * to end, so that its word is about what came of it.
 */
static int open_journal(struct resolve *r, struct engine *e, const struct journal_entry *entry,
	engine_step_fn *step, void *ctx, struct error *err)
{
	int rc = engine_open(
		e, &r->cfg, entry->uuid, step, ctx, r->told ? deadline_in(BUSY_MS) : 0, err);

	if (rc == 0)
		return 0;
	r->open++;
	tell(r, entry, err);
	return rc;
}

static void source_one(struct resolve *r, const struct journal_entry *entry)
{
	struct error err = ERROR_INIT;
	struct source src;

	if (source_init(&src, &r->cfg) == 0 &&
		open_journal(r, &src.engine, entry, source_step, &src, &err) == 0) {
		src.hv = r->hv;
		if (!handover_settled(engine_state(&src.engine)) &&
			handover_role(engine_state(&src.engine)) == HANDOVER_SOURCE &&
			resolve_source(r, &src, &err))
			log_debug("%s: %s", entry->name, err.what);
		report(r, &src.engine, &err);
	}
	source_dispose(&src);
}

static void destination_one(struct resolve *r, const struct journal_entry *entry)
{
	struct error err = ERROR_INIT;
	struct destination dst;

	destination_init(&dst, &r->cfg, -1);
	dst.hv = r->hv;
	if (open_journal(r, &dst.engine, entry, destination_step, &dst, &err) == 0) {
		if (handover_role(engine_state(&dst.engine)) == HANDOVER_DESTINATION &&
			resolve_destination(r, &dst, &err))
			log_debug("%s: %s", entry->name, err.what);
		report(r, &dst.engine, &err);
	}
	destination_dispose(&dst);
}

static void resolve_one(struct resolve *r, const struct journal_entry *entry)
{
	static void (*const one[])(struct resolve *, const struct journal_entry *) = {
		[HANDOVER_SOURCE] = source_one,
		[HANDOVER_DESTINATION] = destination_one,
	};

	if (one[handover_role(entry->state)])
		one[handover_role(entry->state)](r, entry);
}

/* The window of a hand-over that came to an end here, but whose engine did not. */
static void close_window(struct resolve *r, const uint8_t uuid[static DOMAIN_UUID_LEN])
{
	struct journal j = JOURNAL_INIT;
	struct error err = ERROR_INIT;
	struct drbd_window window;
	int rc = journal_open(&j, &r->cfg, uuid, &err);

	if (rc == -EBUSY)
		return; /* it is under way, and closes its own */
	if (rc == 0)
		rc = drbd_window_load(&window, &r->cfg, uuid, &err);
	if (rc == 0 && !handover_needs_window(j.last.state))
		rc = drbd_window_end(&window, !handover_may_run(j.last.state),
			deadline_in(r->told ? WINDOW_MS : 0), &err);
	if (rc) {
		r->open++;
		tell(r, &j.last, &err);
	}
	journal_close(&j);
}

static int close_windows(struct resolve *r, struct error *err)
{
	uint8_t(*uuids)[DOMAIN_UUID_LEN];
	size_t nr;
	int rc = drbd_window_list(&r->cfg, &uuids, &nr, err);

	for (size_t i = 0; rc == 0 && i < nr; i++)
		close_window(r, uuids[i]);
	free(uuids);
	return rc;
}

static int resolve_all(struct resolve *r, struct error *err)
{
	struct journal_entry *list;
	size_t nr;
	int rc = journal_list(&r->cfg, &list, &nr, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < nr; i++) {
		if (r->name && strcmp(list[i].name, r->name) != 0)
			continue;
		r->seen++;
		resolve_one(r, &list[i]);
	}
	free(list);
	if (r->name && !r->seen)
		return error_set(err, -ENOENT, "'migrate status' shows them",
			"this host has no journal of a domain '%s'", r->name);
	return close_windows(r, err);
}

int main(int argc, char **argv)
{
	static struct resolve r;
	struct error err = ERROR_INIT;
	int rc;

	log_init("lifeboat-resolve");
	signal(SIGPIPE, SIG_IGN);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--claim") == 0)
			r.claim = true;
		else if (strcmp(argv[i], "--events") == 0)
			r.told = true;
		else
			r.name = argv[i];
	}
	rc = config_load(&r.cfg, &err);
	if (rc == 0)
		rc = hypervisor_open(&r.cfg, &r.hv, &err);
	if (rc == 0)
		rc = resolve_all(&r, &err);
	if (rc) {
		if (r.told)
			event_send_error(CLIENT_FD, &err);
		else
			log_error("%s", err.what);
		return 1;
	}
	return r.open ? 1 : 0;
}
