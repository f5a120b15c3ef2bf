/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The answer to OFFER: everything that is looked at before a domain is built here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/network.h"
#include "migrate/receive.h"
#include "netfix/map.h"

#define REPLY_MS  30000
#define PROBED_MS 10000

int receive_reply(struct receive *r, uint32_t type, const void *body, size_t len)
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
	int rc = engine_open(e, &r->cfg, offer->uuid, destination_step, &r->dst,
		deadline_in(ENGINE_BUSY_MS), &r->err);

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
	rc = receive_reply(r, RECORD_PROBE, proof.token, sizeof(proof.token));
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
	rc = len ? receive_reply(r, RECORD_FINDINGS, body, len)
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
	return rc ? rc : d->hv->restore_begin(json, &d->restore, &r->err);
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

int receive_offer(struct receive *r)
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
		  : receive_reply(r, RECORD_ACCEPT, body,
			    record_put_accept(body, sizeof(body), r->dst.engine.entry.term));
}
