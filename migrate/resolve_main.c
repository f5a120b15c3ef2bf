/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-resolve: finish or roll back every hand-over that a crash or a cut left open, from this
 * host's journals and the peers' answers. lifeboatd runs it at its start and while something is
 * open; 'migrate resolve' runs it for a person. One that is under way is left alone.
 *
 * lifeboat-resolve [--quiet] [--claim] [NAME]
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/destination.h"
#include "migrate/source.h"

#define BUSY_MS	     15000
#define BUSY_LOOK_MS 100

struct resolve {
	struct config cfg;
	const struct hypervisor *hv;
	const char *name; /* only this one; NULL = all */
	bool claim, quiet;
	unsigned seen, open;
};

static bool is_source(enum handover_state state)
{
	return state == HANDOVER_PREP || state == HANDOVER_SUSPENDED ||
	       state == HANDOVER_QUIESCED || state == HANDOVER_CEDED || state == HANDOVER_ABORTED;
}

static bool is_destination(enum handover_state state)
{
	return state == HANDOVER_BUILDING || state == HANDOVER_READY || state == HANDOVER_OWNER;
}

static void report(struct resolve *r, const struct engine *e, const struct error *why)
{
	const struct journal_entry *last = &e->journal.last;

	r->open += !handover_settled(last->state);
	if (r->quiet)
		return;
	if (handover_settled(last->state)) {
		printf("%s: settled with %s, %s\n", last->name, last->peer,
			handover_may_run(last->state) ? "it is this host's"
						      : "it is not this host's");
		return;
	}
	printf("%s: open with %s (%s)%s%s\n", last->name, last->peer,
		handover_state_name(last->state), why->rc ? ": " : "", why->rc ? why->what : "");
	if (why->fix[0])
		printf("  %s.\n", why->fix);
}

/* First what this host can do alone, then what only the destination can tell. */
static int resolve_source(struct resolve *r, struct source *s, struct error *err)
{
	struct engine *e = &s->engine;
	struct error quiet = ERROR_INIT;
	int rc = 0;

	s->peer = config_peer_by_name(&r->cfg, e->entry.peer);
	memcpy(s->name, e->entry.name, sizeof(s->name));
	if (hypervisor_find_uuid(s->hv, e->entry.uuid, &s->dom, NULL) == 0) {
		s->here = true;
		/* A guest must not stand still because drbdadm does not answer. */
		if (drbd_window_init(&s->window, &s->dom, &quiet))
			log_warn("%s: %s", s->name, quiet.what);
		s->window.open =
			s->window.nr > 0; /* it may be: closing a closed one does no harm */
	}
	if (rc == 0 && engine_knows(e, EVENT_RESTART))
		rc = engine_drive(e, EVENT_RESTART, err);
	if (rc == 0 && r->claim && engine_knows(e, EVENT_CLAIM))
		return engine_drive(e, EVENT_CLAIM, err);
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
		rc = engine_drive(&d->engine, EVENT_CLAIM, err);
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
	int64_t deadline = deadline_in(r->quiet ? 0 : BUSY_MS);
	int rc;

	for (;;) {
		*err = ERROR_INIT;
		rc = engine_open(e, &r->cfg, entry->uuid, step, ctx, err);
		if (rc != -EBUSY || clock_ms() >= deadline)
			break;
		clock_pause(BUSY_LOOK_MS);
	}
	if (rc == 0)
		return 0;
	r->open++;
	if (!r->quiet)
		printf("%s: %s\n", entry->name, err->what);
	return rc;
}

static void source_one(struct resolve *r, const struct journal_entry *entry)
{
	struct error err = ERROR_INIT;
	struct source src;

	if (source_init(&src, &r->cfg) == 0 &&
		open_journal(r, &src.engine, entry, source_step, &src, &err) == 0) {
		src.hv = r->hv;
		if (is_source(engine_state(&src.engine)) && resolve_source(r, &src, &err))
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
		if (is_destination(engine_state(&dst.engine)) && resolve_destination(r, &dst, &err))
			log_debug("%s: %s", entry->name, err.what);
		report(r, &dst.engine, &err);
	}
	destination_dispose(&dst);
}

static void resolve_one(struct resolve *r, const struct journal_entry *entry)
{
	if (is_source(entry->state))
		source_one(r, entry);
	else if (is_destination(entry->state))
		destination_one(r, entry);
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
	return 0;
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
		else if (strcmp(argv[i], "--quiet") == 0)
			r.quiet = true;
		else
			r.name = argv[i];
	}
	rc = config_load(&r.cfg, &err);
	if (rc == 0)
		rc = hypervisor_open(&r.cfg, &r.hv, &err);
	if (rc == 0)
		rc = resolve_all(&r, &err);
	if (rc) {
		error_print("lifeboat-resolve", &err);
		return 1;
	}
	return r.open ? 1 : 0;
}
