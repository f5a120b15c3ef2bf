/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/event.h"
#include "migrate/send.h"
#include "netfix/announce.h"

static double mb_per_s(uint64_t pages_per_s)
{
	return (double)pages_per_s * PAGE_BYTES / 1e6;
}

/* How long the round still takes, in ms; null as long as nothing tells. */
static json_t *eta(uint64_t left, uint64_t rate)
{
	if (left && !rate)
		return json_null();
	return json_integer((json_int_t)(left ? left * 1000 / rate : 0));
}

void send_progress(struct send *s, const char *phase)
{
	uint64_t left = s->round_dirty > s->round_pages ? s->round_dirty - s->round_pages : 0;
	int64_t now = clock_ms();
	uint64_t rate = send_pages_per_s(s);

	if (!rate && now > s->at.round)
		rate = s->round_pages * 1000 / (uint64_t)(now - s->at.round);
	s->last_event = now;
	event_offer(s->client,
		json_pack("{s:s, s:s, s:i, s:I, s:f, s:I, s:o, s:I}", "event", "progress", "phase",
			phase, "round", (int)(s->rounds ? s->rounds - 1 : 0), "pages_left",
			(json_int_t)left, "mb_per_s", mb_per_s(rate), "dirty_pages_per_s",
			(json_int_t)s->dirty_per_s, "eta_ms", eta(left, rate), "elapsed_ms",
			(json_int_t)(now - s->at.start)));
}

void send_findings(struct send *s, bool can_move)
{
	for (unsigned i = 0; i < s->found.nr; i++)
		event_send_finding(s->client, &s->found.list[i]);
	if (s->found.dropped)
		log_warn("%u findings too many were left out", s->found.dropped);
	event_send(s->client, json_pack("{s:s, s:b}", "event", "preflight", "can_move", can_move));
}

void send_notice(struct send *s, const char *fmt, ...)
{
	char text[ERROR_TEXT_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_info("%s: %s", s->src.name, text);
	event_offer(s->client, json_pack("{s:s, s:s}", "event", "notice", "text", text));
}

/* What the destination announces, and how it was known. */
static json_t *addresses_json(const struct addresses *set)
{
	json_t *list = json_array();
	char text[ADDRESS_TEXT_LEN];

	for (unsigned i = 0; i < set->nr; i++) {
		const struct address *a = &set->list[i];

		if (a->family == ADDRESS_NONE)
			continue;
		address_text(a, text);
		json_array_append_new(
			list, json_pack("{s:i, s:s, s:s}", "vif", (int)a->vif, "address", text,
				      "from", address_origin_name(a->origin)));
	}
	return list;
}

/* NULL without a word from the destination: it has no vif, or does not announce. */
static json_t *place_json(const struct record_place *place, const struct addresses *known)
{
	json_t *o;

	if (!place->state)
		return json_null();
	o = json_pack("{s:s, s:I, s:s}", "state", place_state_name((enum place_state)place->state),
		"frames", (json_int_t)place->frames, "what", place->what);
	json_object_set_new(o, "reachable_ms",
		place->state == PLACE_REACHABLE ? json_integer(place->reachable_ms) : json_null());
	json_object_set_new(o, "forwarding_ms",
		place->state == PLACE_REACHABLE ? json_integer(place->forwarding_ms) : json_null());
	json_object_set_new(o, "addresses", addresses_json(known));
	return o;
}

static void send_summary(struct send *s)
{
	const struct send_times *t = &s->at;
	/* The last two are the destination's own account: parts of build and activate. */
	json_t *phases = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "suspend_ms",
		(json_int_t)(t->suspended - t->suspending), "last_round_ms",
		(json_int_t)(t->quiesced - t->suspended), "build_ms",
		(json_int_t)(t->ready - t->quiesced), "commit_ms", (json_int_t)(t->go - t->ready),
		"activate_ms", (json_int_t)(t->done - t->go), "destination_build_ms",
		(json_int_t)s->done.finish_us / 1000, "destination_activate_ms",
		(json_int_t)s->done.activate_us / 1000);
	json_t *verify = json_pack("{s:I, s:f, s:f}", "pages", (json_int_t)s->src.verify.sums.pages,
		"source_ms", (double)s->src.verify.ns / 1e6, "destination_ms",
		(double)s->done.verify_us / 1e3);

	event_send(s->client,
		json_pack(
			"{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:i, s:s, s:i, s:o, s:o, s:o}",
			"event", "summary", "domain", s->src.name, "from", s->cfg.host, "to",
			s->src.peer->name, "total_ms", (json_int_t)(clock_ms() - t->start),
			"downtime_ms", (json_int_t)(t->done - t->suspending), "predicted_ms",
			(json_int_t)s->predicted_ms, "rounds", (int)s->rounds + 1, "memory_bytes",
			(json_int_t)s->src.dom.memory_kb * 1024, "pages_sent", (json_int_t)s->pages,
			"wire_bytes", (json_int_t)send_wire_bytes(s), "streams", (int)s->streams,
			"cipher", s->src.link.cipher, "rejoins", (int)s->rejoins, "pause", phases,
			"network", place_json(&s->src.place, &s->learner.found), "verify", verify));
}

/* To those who asked for its end. */
static json_t *outcome(const struct send *s, int rc)
{
	char text[2 * ERROR_TEXT_LEN];

	if (rc == 0)
		snprintf(text, sizeof(text), "too late, %s runs on %s", s->src.name, s->host);
	else
		snprintf(text, sizeof(text), "%s", s->err->what);
	return json_pack("{s:s, s:s, s:b, s:s}", "event", "cancel", "domain", s->src.name,
		"cancelled", rc == -ECANCELED && !s->stopped, "what", text);
}

void send_result(struct send *s, int rc)
{
	const struct source *src = &s->src;

	steer_close(&s->steer, outcome(s, rc));
	if (rc && s->check_only && s->stopped) {
		event_send(s->client, json_pack("{s:s, s:s, s:s, s:b}", "event", "result", "domain",
					      src->name, "to", src->peer->name, "can_move", 0));
	} else if (rc) {
		if (!s->stopped)
			error_prefix(s->err, rc == -EREMOTEIO ? src->peer->name : s->cfg.host);
		log_error("%s to %s: %s", src->name, s->host, s->err->what);
		event_send_error(s->client, s->err);
	} else if (s->estimate) {
		log_debug("%s: estimated", src->name); /* send_estimate has said it */
	} else if (s->check_only) {
		event_send(s->client, json_pack("{s:s, s:s, s:s, s:b}", "event", "result", "domain",
					      src->name, "to", src->peer->name, "can_move", 1));
	} else {
		log_info("%s moved to %s in %lld ms, paused %lld ms", src->name, src->peer->name,
			(long long)(s->at.done - s->at.start),
			(long long)(s->at.done - s->at.suspending));
		send_summary(s);
	}
}
