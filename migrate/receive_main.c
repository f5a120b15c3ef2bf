/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-receive: the destination's engine of one move. lifeboatd starts it with lifeboat-wire's
 * socket as descriptor 3 once the peer (argv[1]) has proved its key. Which record may come when is
 * a table; who owns the domain is the hand-over's (handover.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/network.h"
#include "migrate/receive.h"
#include "netfix/map.h"

#define OFFER_MS   60000
#define GONE_MS	   120000 /* the source has a domain to destroy and disks to demote */
#define VERDICT_MS 10000  /* on being reached, before the source is told that it is not known */
#define SILENCE_MS 60000  /* while the source of an estimate watches its domain */

static int on_resolve(struct receive *r)
{
	struct record_resolve ask;
	int rc;

	if (!record_get_resolve(&r->rec, &ask))
		return error_set(&r->err, -EPROTO, NULL, "%s asked what cannot be read", r->peer);
	rc = destination_resolve(&r->dst, r->peer, &ask, &r->err);
	/* A source that hears DONE says GONE. */
	r->phase = r->dst.said == RECORD_DONE && ask.ceded ? PHASE_OWNER : PHASE_END;
	return rc;
}

/*
 * A stream of a move that is under way: whoever builds the domain goes on with this link. When
 * nobody does any more, what is left of it is taken away, and that is the answer.
 */
static int on_join(struct receive *r)
{
	struct record_resolve ask;
	struct join_word word = {0};
	int rc;

	if (!record_get_join(&r->rec, &ask))
		return error_set(&r->err, -EPROTO, NULL, "%s asked what cannot be read", r->peer);
	snprintf(word.peer, sizeof(word.peer), "%s", r->peer);
	word.stream = ask.stream;
	rc = join_pass(&r->cfg, ask.token, &word, WIRE_FD);
	r->phase = PHASE_END;
	return rc ? destination_resolve(&r->dst, r->peer, &ask, &r->err) : 0;
}

static int on_head(struct receive *r)
{
	return r->dst.hv->restore_head(r->dst.restore, r->rec.body, r->rec.len, &r->err);
}

static int on_tail(struct receive *r)
{
	receive_streams_end(r);
	return r->dst.hv->restore_tail(r->dst.restore, r->rec.body, r->rec.len, &r->err);
}

typedef int apply_fn(struct receive *r, const struct page_batch *batch);

static int take_pages(struct receive *r, apply_fn *apply)
{
	struct stream *s = &r->stream[r->at];
	struct page_batch batch;
	int rc;

	if (link_get_pages(&r->rec, &s->lane, &batch))
		return error_set(&r->err, -EPROTO, NULL, "lifeboat-wire passed a bad page batch");
	s->pages += page_batch_contents(&batch);
	rc = apply(r, &batch);
	if (rc == 0)
		verify_batch(&r->verify, r->at, s->applied, &batch);
	/* When it has gone, the next that is read says so. */
	if (rc == 0 && link_done_pages(&r->rec, &s->lane))
		log_debug("lifeboat-wire has gone");
	return rc;
}

static int restore(struct receive *r, const struct page_batch *batch)
{
	return r->dst.hv->restore_pages(r->dst.restore, batch, &r->err);
}

static int on_pages(struct receive *r)
{
	return take_pages(r, restore);
}

/*
 * For an estimate: as many pages as a domain of this host would get, into fresh memory, as it
 * would, and all of that goes with this process. By a system call, since that is how a domain gets
 * them: touching new memory page by page can cost many times as much.
 */
static int keep_for_trial(struct receive *r, const struct page_batch *batch)
{
	uint32_t pages = page_batch_contents(batch);
	size_t len = (size_t)batch->nr_data * PAGE_BYTES;

	if (pages > TRIAL_PAGES_MAX - r->tried)
		return error_set(
			&r->err, -EPROTO, NULL, "%s sent more to try than it may", r->peer);
	if (r->scratch < 0)
		r->scratch = memfd_create("lifeboat-trial", MFD_CLOEXEC);
	if (r->scratch < 0 ||
		pwrite(r->scratch, batch->data, len, (off_t)r->tried * PAGE_BYTES) != (ssize_t)len)
		return error_set(&r->err, -ENOMEM, NULL, "no memory for an estimate");
	r->tried += pages;
	return 0;
}

static int on_trial_pages(struct receive *r)
{
	return take_pages(r, keep_for_trial);
}

static int count_round(struct receive *r)
{
	uint64_t pages = r->stream[r->at].pages;
	struct record_round round;

	if (!record_get_round(&r->rec, &round) || round.pages != pages)
		return error_set(&r->err, -EPROTO, NULL, "%s counted %llu pages where %llu came",
			r->peer, (unsigned long long)round.pages, (unsigned long long)pages);
	return 0;
}

static int promote(struct receive *r)
{
	struct destination *d = &r->dst;
	int rc = drbd_window_open(&d->window, &r->cfg, d->engine.entry.uuid, &r->err);

	return rc ? rc : drbd_window_promote(&d->window, &r->err);
}

/*
 * Its guest is about to stand still: before it does, our side of the disks becomes primary. Nobody
 * opens them here before libxl attaches them, which is after QUIESCED. The source does not come
 * back any more when its link is lost, and we must not stay primary for it.
 */
static int on_suspending(struct receive *r)
{
	join_close(&r->join);
	return promote(r);
}

/* The source's disks are at rest: ours may be attached, and only now. */
static int on_quiesced(struct receive *r)
{
	struct destination *d = &r->dst;
	int64_t start = clock_ns();
	struct verify_sums sums;
	int rc;

	if (!record_get_quiesced(&r->rec, &sums))
		return error_set(&r->err, -EPROTO, NULL, "%s sent a bad QUIESCED", r->peer);
	rc = verify_compare(&r->verify, &sums, d->name, &r->err);
	if (rc == 0)
		rc = promote(r);
	if (rc == 0)
		rc = d->hv->restore_finish(d->restore, &d->dom, &r->err);
	if (rc)
		return rc;
	d->restore = NULL; /* it stands on its own now */
	d->done.verify_us = r->verify.ns / 1000;
	d->done.finish_us = (uint64_t)(clock_ns() - start) / 1000;
	r->phase = PHASE_READY;
	return engine_drive(&d->engine, EVENT_COMPLETE, &r->err);
}

static int on_addresses(struct receive *r)
{
	if (!address_get(r->rec.body, r->rec.len, &r->addresses))
		return error_set(&r->err, -EPROTO, NULL, "%s sent bad ADDRESSES", r->peer);
	if (config_peer_by_name(&r->cfg, r->peer))
		map_addresses(config_peer_by_name(&r->cfg, r->peer), &r->addresses);
	return 0;
}

/* It runs here, and the source has been told: now the network is. */
static void announce(struct receive *r)
{
	r->verdict = network_announce(&r->cfg, &r->dst.dom, &r->addresses);
	r->verdict_by = deadline_in(VERDICT_MS);
}

static int say_place(struct receive *r)
{
	uint8_t body[256];
	struct record_place place;

	if (!network_verdict(&r->verdict, r->verdict_by, &place))
		return 0;
	log_info("%s on the network: %s%s%s", r->dst.name,
		place_state_name((enum place_state)place.state), place.what[0] ? ", " : "",
		place.what);
	return receive_reply(r, RECORD_PLACE, body, record_put_place(body, sizeof(body), &place));
}

static int on_go(struct receive *r)
{
	int rc = destination_go(&r->dst, &r->err);

	r->phase = engine_state(&r->dst.engine) == HANDOVER_OWNER ? PHASE_OWNER : PHASE_END;
	if (r->phase == PHASE_OWNER)
		announce(r);
	return rc;
}

static int on_gone(struct receive *r)
{
	int rc;

	destination_close_window(&r->dst);
	r->phase = PHASE_END;
	rc = say_place(r);
	engine_close(&r->dst.engine); /* who hears the end may begin anew at once */
	return rc ? rc : receive_reply(r, RECORD_CLOSED, NULL, 0);
}

static int (*const handlers[RECEIVE_PHASES][RECORD_TYPE_END])(struct receive *) = {
	[PHASE_WAITING] = {[RECORD_OFFER] = receive_offer,
		[RECORD_RESOLVE] = on_resolve,
		[RECORD_JOIN] = on_join},
	[PHASE_BUILDING] =
		{
			[RECORD_HEAD] = on_head,
			[RECORD_PAGES] = on_pages,
			[RECORD_TAIL] = on_tail,
			[RECORD_ROUND] = count_round,
			[RECORD_QUIESCED] = on_quiesced,
			[RECORD_ADDRESSES] = on_addresses,
			[RECORD_SUSPENDING] = on_suspending,
		},
	[PHASE_READY] = {[RECORD_GO] = on_go},
	[PHASE_OWNER] = {[RECORD_GONE] = on_gone},
	[PHASE_TRIAL] = {[RECORD_PAGES] = on_trial_pages, [RECORD_ROUND] = count_round},
};

/* Which records may come on a stream that is not the first. */
static bool only_pages(uint32_t type)
{
	return type == RECORD_PAGES || type == RECORD_ROUND;
}

static bool streaming(const struct receive *r)
{
	return r->phase == PHASE_BUILDING || r->phase == PHASE_TRIAL;
}

/* As receive_streams_hear. */
static int hear(struct receive *r)
{
	/* While it builds, a silent source is a slow guest; a dead one is noticed by the link. */
	static const int64_t patience_ms[RECEIVE_PHASES] = {
		[PHASE_WAITING] = OFFER_MS,
		[PHASE_OWNER] = GONE_MS,
		[PHASE_TRIAL] = SILENCE_MS,
	};
	int64_t ms = patience_ms[r->phase];

	if (streaming(r))
		return receive_streams_hear(r, ms);
	r->at = 0;
	return link_read(WIRE_FD, &r->rec, NULL, ms ? deadline_in(ms) : DEADLINE_NEVER, &r->err);
}

static int serve(struct receive *r)
{
	bool counted = streaming(r);
	uint32_t type;
	int rc = hear(r);

	if (rc)
		return rc == -EAGAIN && counted ? 0 : rc;
	type = r->rec.type == RECORD_SLOT ? (uint32_t)RECORD_PAGES : r->rec.type;
	if (type >= RECORD_TYPE_END || !handlers[r->phase][type] || (r->at && !only_pages(type)))
		return error_set(&r->err, -EPROTO, "Run the same lifeboat version on both hosts",
			"%s sent %s out of turn", r->peer, record_type_name(r->rec.type));
	rc = handlers[r->phase][type](r);
	if (rc == 0 && counted && type != RECORD_QUIESCED)
		receive_applied(r, type);
	return rc;
}

/*
 * It ended early. What was being built is taken away and the source told; a finished copy is held
 * (the source may have ceded, and this may be the last one), unless the source itself gave it up.
 */
static void end_early(struct receive *r, int rc)
{
	struct destination *d = &r->dst;
	struct error why = ERROR_INIT;
	enum handover_event event = rc == -EREMOTEIO ? EVENT_ABORT : EVENT_FAILED;

	log_warn("%s from %s: %s", d->name[0] ? d->name : "a domain", r->peer, r->err.what);
	d->why = r->err.what;
	d->fix = r->err.fix;
	if (r->phase == PHASE_WAITING) {
		engine_close(&d->engine); /* the answer may be followed by another try at once */
		/* The journal knows nothing of an offer; of what was asked it may, and REFUSED
		 * would lie. */
		destination_turn_away(d, r->offered);
	} else if (!engine_knows(&d->engine, event)) {
		log_info("%s stays %s", d->name, handover_state_name(engine_state(&d->engine)));
	} else if (engine_drive(&d->engine, event, &why)) {
		log_error("%s: %s", d->name, why.what);
	}
	/* As OWNER: the source may still be primary, and demotes when its own end is cleaned up. */
	if (engine_state(&d->engine) == HANDOVER_OWNER)
		destination_close_window(d);
}

int main(int argc, char **argv)
{
	static struct receive r;
	int rc;

	log_init("lifeboat-receive");
	signal(SIGPIPE, SIG_IGN);
	if (argc != 2) {
		fprintf(stderr, "lifeboat-receive is started by lifeboatd only\n");
		return 2;
	}
	r.peer = argv[1];
	r.verdict = r.scratch = -1;
	destination_init(&r.dst, &r.cfg, WIRE_FD);
	receive_streams_init(&r);
	rc = record_init(&r.rec);
	if (rc == 0)
		rc = config_load(&r.cfg, &r.err);
	if (rc == 0)
		rc = hypervisor_open(&r.cfg, &r.dst.hv, &r.err);
	while (rc == 0 && r.phase != PHASE_END)
		rc = serve(&r);
	/* An estimate ends when its source has heard enough. */
	if (rc && r.phase != PHASE_END && !(r.phase == PHASE_TRIAL && rc == -ECONNRESET))
		end_early(&r, rc);
	/* lifeboatd looks for what a failure left open; an offer that was refused leaves nothing.
	 */
	if (r.phase == PHASE_WAITING && r.offered)
		rc = 0;
	fd_close(&r.scratch);
	receive_streams_dispose(&r);
	destination_dispose(&r.dst);
	record_dispose(&r.rec);
	return rc ? 1 : 0;
}
