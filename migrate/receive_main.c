/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-receive: the destination's engine of one move. lifeboatd starts it with lifeboat-wire's
 * socket as descriptor 3 once the peer (argv[1]) has proved its key. Which record may come when is
 * a table; who owns the domain is the hand-over's (handover.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/network.h"
#include "migrate/receive.h"
#include "netfix/map.h"

#define OFFER_MS   60000
#define GONE_MS	   120000 /* the source has a domain to destroy and disks to demote */
#define REPLY_MS   30000
#define PROBED_MS  10000
#define VERDICT_MS 4000	 /* on being reached, before the source is told that it is not known */
#define SILENCE_MS 60000 /* while the source of an estimate watches its domain */

static int reply(struct receive *r, uint32_t type, const void *body, size_t len)
{
	int rc = record_write(WIRE_FD, type, body, len, deadline_in(REPLY_MS));

	return rc ? error_sys(&r->err, rc, NULL, "%s could not be answered", r->peer) : 0;
}

static int check_offer(struct receive *r, struct record_offer *offer)
{
	if (!record_get_offer(&r->rec, offer) || !domain_name_valid(offer->name))
		return error_set(&r->err, -EPROTO, "Run the same lifeboat version on both hosts",
			"%s made an offer that cannot be read", r->peer);
	if (offer->version != RECORD_VERSION || offer->flags & ~OFFER_FLAGS ||
		((offer->flags & OFFER_TRIAL) && !(offer->flags & OFFER_CHECK_ONLY)))
		return error_set(&r->err, -EPROTO, "Run the same lifeboat version on both hosts",
			"%s made an offer of version %u", r->peer, offer->version);
	if (strcmp(offer->backend, r->dst.hv->name) != 0)
		return error_set(&r->err, -EOPNOTSUPP, "Move it to a host with the same hypervisor",
			"this host runs %s, the domain is of %.15s", r->dst.hv->name,
			offer->backend);
	if (strlen(offer->name) + strlen(SUFFIX_AWAY) >= DOMAIN_NAME_LEN)
		return error_set(&r->err, -ENAMETOOLONG, "Give the domain a shorter name",
			"the name %s is too long to be moved", offer->name);
	return 0;
}

/* A peer that offers a domain anew has it: what an earlier try left here is in the way. */
static int supersede(struct receive *r)
{
	struct engine *e = &r->dst.engine;
	int rc;

	if (engine_knows(e, EVENT_ACCEPT) || strcmp(e->entry.peer, r->peer) != 0)
		return 0;
	r->dst.sock = -1; /* the offer is what will be answered */
	rc = destination_recover(&r->dst, &r->err);
	if (rc == 0 && engine_state(e) == HANDOVER_READY)
		rc = engine_drive(e, EVENT_ABORT, &r->err);
	r->dst.sock = WIRE_FD;
	return rc;
}

static int open_journal(struct receive *r, const struct record_offer *offer)
{
	struct engine *e = &r->dst.engine;
	int rc = engine_open(e, &r->cfg, offer->uuid, destination_step, &r->dst, &r->err);

	if (rc == 0 && !(offer->flags & OFFER_CHECK_ONLY))
		rc = supersede(r);
	if (rc)
		return rc;
	if (!engine_knows(e, EVENT_ACCEPT))
		return error_set(&r->err, -EBUSY,
			"Run 'migrate resolve' there, and see 'migrate status'",
			"an earlier hand-over of %s with %s is still open there (%s)",
			e->entry.name, e->entry.peer, handover_state_name(engine_state(e)));
	if (memcmp(e->entry.token, offer->token, sizeof(e->entry.token)) == 0)
		return error_set(&r->err, -EPROTO, NULL, "%s made the same offer twice", r->peer);
	memcpy(e->entry.token, offer->token, sizeof(e->entry.token));
	e->entry.term = offer->term > e->entry.term ? offer->term : e->entry.term + 1;
	snprintf(e->entry.name, sizeof(e->entry.name), "%s", offer->name);
	snprintf(e->entry.peer, sizeof(e->entry.peer), "%s", r->peer);
	memcpy(r->dst.name, e->entry.name, sizeof(r->dst.name));
	return 0;
}

/* Everything that stands in the way here. Changes nothing. */
static int look_at(struct receive *r, const struct record_offer *offer, const char *json)
{
	struct destination *d = &r->dst;
	int rc = d->hv->restore_check(json, &d->dom, &r->found, &r->err);

	if (rc == 0 && (strcmp(d->dom.name, offer->name) != 0 ||
			       memcmp(d->dom.uuid, offer->uuid, sizeof(offer->uuid)) != 0))
		rc = error_set(&r->err, -EPROTO, NULL, "the offer names two domains, %s and %s",
			offer->name, d->dom.name);
	if (rc == 0)
		drbd_window_find(&d->window, &d->dom, d->hv->name, &r->found);
	return rc;
}

/* What cannot even be looked at is one more finding. */
static void look(struct receive *r, const struct record_offer *offer, const char *json, int journal)
{
	if (journal)
		findings_add_error(&r->found, FINDING_BLOCKER, "open", &r->err);
	r->err = ERROR_INIT;
	if (look_at(r, offer, json))
		findings_add_error(&r->found, FINDING_BLOCKER, "check", &r->err);
	r->err = ERROR_INIT;
}

/* Are the bridges here those of the source? Only its frames prove it. */
static int prove(struct receive *r, bool all)
{
	struct network_proof proof;
	struct record_probed probed;
	int rc;

	if (findings_stop(&r->found, true) ||
		network_proof_begin(&proof, &r->dst.dom, all, &r->found) == 0)
		return 0;
	rc = reply(r, RECORD_PROBE, proof.token, sizeof(proof.token));
	if (rc == 0)
		rc = link_expect(
			WIRE_FD, &r->rec, RECORD_PROBED, NULL, deadline_in(PROBED_MS), &r->err);
	if (rc == 0 && (!record_get_probed(&r->rec, &probed) || probed.nr != proof.nr))
		rc = error_set(&r->err, -EPROTO, NULL, "%s sent a bad PROBED", r->peer);
	if (rc == 0)
		network_proof_end(&proof, &probed, r->peer, &r->found);
	network_proof_dispose(&proof);
	return rc;
}

/* Tell it all, and refuse for what stops it; of a check alone the source judges the risks. */
static int tell(struct receive *r, uint32_t flags)
{
	const struct finding *stop =
		findings_stop(&r->found, flags & (OFFER_CHECK_ONLY | OFFER_FORCE));
	size_t len;
	uint8_t *body;
	int rc;

	if (!r->found.nr)
		return 0;
	body = malloc(RECORD_FINDINGS_MAX);
	len = body ? record_put_findings(body, RECORD_FINDINGS_MAX, &r->found) : 0;
	rc = len ? reply(r, RECORD_FINDINGS, body, len)
		 : error_set(&r->err, -ENOMEM, NULL, "no memory for the findings");
	free(body);
	if (rc == 0 && stop)
		rc = error_set(&r->err, -ECANCELED, stop->fix, "%s", stop->what);
	return rc;
}

static int begin(struct receive *r, const char *json)
{
	struct destination *d = &r->dst;
	int rc = engine_drive(&d->engine, EVENT_ACCEPT, &r->err);

	if (rc)
		return rc;
	r->phase = PHASE_BUILDING;
	verify_init(&r->verify, d->engine.entry.token);
	log_info("%s comes from %s", d->name, r->peer);
	rc = receive_streams_begin(r);
	if (rc == 0)
		rc = d->hv->restore_begin(json, &d->restore, &r->err);
	return rc ? rc : drbd_window_open(&d->window, &r->cfg, d->engine.entry.uuid, &r->err);
}

/* What the peer calls its bridges and addresses may be called otherwise here. */
static int translate(struct receive *r, char **json)
{
	const struct config_peer *peer = config_peer_by_name(&r->cfg, r->peer);
	struct map_changes changes;
	int rc;

	if (!peer || (!peer->nr_bridges && !peer->nr_moved))
		return 0;
	rc = map_config(peer, json, &changes);
	if (rc)
		return error_set(&r->err, rc, NULL,
			"%s offered a configuration that cannot be read", r->peer);
	for (unsigned i = 0; i < changes.nr; i++) {
		findings_add(&r->found, FINDING_WARNING, "network-map", NULL,
			"vif %u: %s %s of %s is %s here", changes.list[i].vif, changes.list[i].key,
			changes.list[i].there, r->peer, changes.list[i].here);
		findings_fix(&r->found, "If it is not meant: lifeboat.conf, peer %s", r->peer);
		log_info("vif %u: %s %s of %s is %s here", changes.list[i].vif, changes.list[i].key,
			changes.list[i].there, r->peer, changes.list[i].here);
	}
	return 0;
}

static int on_offer(struct receive *r)
{
	struct record_offer offer;
	uint8_t body[16];
	char *json = NULL;
	int rc = check_offer(r, &offer);

	r->offered = true;
	if (rc)
		return rc;
	json = strndup(offer.json, offer.json_len);
	if (!json)
		return error_set(&r->err, -ENOMEM, NULL, "no memory for the offer");
	rc = translate(r, &json);
	if (rc) {
		free(json);
		return rc;
	}
	look(r, &offer, json, open_journal(r, &offer));
	rc = prove(r, offer.flags & OFFER_CHECK_ONLY);
	findings_sort(&r->found);
	if (rc == 0)
		rc = tell(r, offer.flags);
	if (rc == 0 && offer.flags & OFFER_CHECK_ONLY) {
		r->phase = offer.flags & OFFER_TRIAL ? PHASE_TRIAL : PHASE_END;
		engine_close(&r->dst.engine); /* the answer may be followed by a move at once */
		verify_init(&r->verify, r->dst.engine.entry.token);
		if (offer.flags & OFFER_TRIAL)
			rc = receive_streams_begin(r);
	} else if (rc == 0) {
		rc = begin(r, json);
	}
	free(json);
	return rc ? rc
		  : reply(r, RECORD_ACCEPT, body,
			    record_put_accept(body, sizeof(body), r->dst.engine.entry.term));
}

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

static int on_pages(struct receive *r)
{
	struct stream *s = &r->stream[r->at];
	struct page_batch batch;
	int rc;

	if (link_get_pages(&r->rec, &s->lane, &batch))
		return error_set(&r->err, -EPROTO, NULL, "lifeboat-wire passed a bad page batch");
	s->pages += page_batch_contents(&batch);
	rc = r->dst.hv->restore_pages(r->dst.restore, &batch, &r->err);
	if (rc == 0 && verify_batch(&r->verify, &batch))
		rc = error_set(&r->err, -ENOMEM, NULL, "no memory to verify the domain's pages");
	/* When it has gone, the next that is read says so. */
	if (rc == 0 && link_done_pages(&r->rec, &s->lane))
		log_debug("lifeboat-wire has gone");
	return rc;
}

/*
 * For an estimate: as many pages as a domain of this host would get, into fresh memory, as it
 * would, and all of that goes with this process.
 */
static int on_trial_pages(struct receive *r)
{
	struct stream *s = &r->stream[r->at];
	struct page_batch batch;
	size_t len;

	if (link_get_pages(&r->rec, &s->lane, &batch))
		return error_set(&r->err, -EPROTO, NULL, "lifeboat-wire passed a bad page batch");
	if (batch.nr_data > TRIAL_PAGES_MAX - r->tried)
		return error_set(
			&r->err, -EPROTO, NULL, "%s sent more to try than it may", r->peer);
	len = (size_t)batch.nr_data * PAGE_BYTES;
	if (!r->scratch)
		r->scratch = malloc((size_t)TRIAL_PAGES_MAX * PAGE_BYTES);
	if (!r->scratch)
		return error_set(&r->err, -ENOMEM, NULL, "no memory for an estimate");
	memcpy(r->scratch + (size_t)r->tried * PAGE_BYTES, batch.data, len);
	r->tried += batch.nr_data;
	s->pages += page_batch_contents(&batch);
	/* Of pages that are numbered as they come, which is no more than may come. */
	for (uint32_t i = 0; i < batch.nr; i++)
		if (page_pfn(batch.entry[i]) >= TRIAL_PAGES_MAX)
			return error_set(&r->err, -EPROTO, NULL,
				"%s sent a page to try that it may not", r->peer);
	if (verify_batch(&r->verify, &batch))
		return error_set(&r->err, -ENOMEM, NULL, "no memory for an estimate");
	if (link_done_pages(&r->rec, &s->lane))
		log_debug("lifeboat-wire has gone");
	return 0;
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

/* The source's disks are at rest: ours may become writable, and only now. */
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
		rc = drbd_window_promote(&d->window, &r->err);
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
	return reply(r, RECORD_PLACE, body, record_put_place(body, sizeof(body), &place));
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
	return rc ? rc : reply(r, RECORD_CLOSED, NULL, 0);
}

static int (*const handlers[RECEIVE_PHASES][RECORD_TYPE_END])(struct receive *) = {
	[PHASE_WAITING] =
		{[RECORD_OFFER] = on_offer, [RECORD_RESOLVE] = on_resolve, [RECORD_JOIN] = on_join},
	[PHASE_BUILDING] =
		{
			[RECORD_HEAD] = on_head,
			[RECORD_PAGES] = on_pages,
			[RECORD_TAIL] = on_tail,
			[RECORD_ROUND] = count_round,
			[RECORD_QUIESCED] = on_quiesced,
			[RECORD_ADDRESSES] = on_addresses,
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
	r.verdict = -1;
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
	free(r.scratch);
	verify_dispose(&r.verify);
	receive_streams_dispose(&r);
	destination_dispose(&r.dst);
	record_dispose(&r.rec);
	return rc ? 1 : 0;
}
