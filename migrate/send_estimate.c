/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 'migrate --estimate': what the guest dirties is watched while it runs, then pages of it go to the
 * destination as they would in a move, and the forecast (forecast.h) makes a move out of both.
 */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/event.h"
#include "migrate/fixed.h"
#include "migrate/forecast.h"
#include "migrate/send.h"

#define FIRST_PAGES   256
#define ENOUGH_MS     200 /* a try that takes so long tells the rate */
#define REST_AFTER_MS 10  /* while no move to this peer has shown what comes after its pages */

/* Likewise what a pause costs besides them: on Xen, devices that are attached by scripts. */
#define FIXED_XEN_MS	  1000
#define FIXED_EMBEDDED_MS 6

/* Pages of the guest, as they were a moment ago. */
struct sample {
	uint8_t *data; /* HV_SAMPLE_PAGES */
	uint32_t nr;
};

struct estimate {
	struct send *s;
	struct sample all, dirty;
	struct forecast_input in;
	bool fixed_known;
	double bytes_per_s; /* of the link, with the pages that a first round sends */
};

/* What a guest dirties that will stand still does not matter: then only its pages are looked at. */
static int on_wait(void *ctx, uint32_t ms)
{
	struct estimate *e = ctx;
	int rc = e->in.paused ? steer_look(&e->s->steer, e->s->err)
			      : steer_wait(&e->s->steer, NULL, 0, deadline_in(ms), e->s->err);

	return rc == -ETIMEDOUT ? 0 : rc;
}

static int on_sample(void *ctx, bool dirty, const struct page_batch *batch)
{
	struct estimate *e = ctx;
	struct sample *sample = dirty ? &e->dirty : &e->all;
	uint32_t data = 0;

	for (uint32_t i = 0; i < batch->nr && sample->nr < HV_SAMPLE_PAGES; i++) {
		if (!page_has_data(batch->entry[i]))
			continue;
		memcpy(sample->data + (size_t)sample->nr * PAGE_BYTES,
			batch->data + (size_t)data++ * PAGE_BYTES, PAGE_BYTES);
		sample->nr++;
	}
	return 0;
}

/* A batch of the sample's pages from `at` on, as a move would send it. */
static int send_piece(struct send *s, const struct sample *sample, uint32_t at, uint32_t nr)
{
	struct page_batch batch = {.nr = nr, .nr_data = nr};
	int rc;

	/* Numbers of their own: a page that came before would be told by what changed. */
	for (uint32_t i = 0; i < nr; i++)
		batch.entry[i] = s->pages + i;
	batch.data = send_room(s, &batch);
	if (!batch.data)
		return s->err->rc;
	memcpy(batch.data, sample->data + (size_t)at * PAGE_BYTES, (size_t)nr * PAGE_BYTES);
	page_batch_mark_zero(&batch);
	rc = send_pages(s, &batch);
	s->pages += nr;
	return rc ? rc : send_look_around(s);
}

/* Send `nr` pages of the sample, round and round, until the destination has them: milliseconds. */
static int send_sample(struct estimate *e, const struct sample *sample, uint32_t nr, double *ms)
{
	struct send *s = e->s;
	int64_t start = clock_ns();
	uint32_t at = 0;
	int rc = 0;

	while (nr && !rc) {
		uint32_t piece = nr < PAGE_BATCH_MAX ? nr : PAGE_BATCH_MAX;

		if (piece > sample->nr - at)
			piece = sample->nr - at;
		rc = send_piece(s, sample, at, piece);
		nr -= piece;
		at = (at + piece) % sample->nr;
	}
	if (!rc)
		rc = send_settle(s);
	*ms = (double)(clock_ns() - start) / 1e6;
	return rc;
}

/*
 * More and more until it takes long enough to be told from the way there and back. The last and
 * largest counts.
 */
static int try_link(
	struct estimate *e, const struct sample *sample, uint64_t most, struct forecast_pages *out)
{
	uint64_t sent = 0, before;
	uint32_t nr = FIRST_PAGES;
	double ms = 0;
	int rc = 0;

	do {
		before = send_wire_bytes(e->s);
		rc = send_sample(e, sample, nr, &ms);
		if (rc)
			return rc;
		sent += nr;
		ms = ms > e->in.rtt_ms + 0.1 ? ms - e->in.rtt_ms : 0.1;
		out->pages_per_s = nr * 1000 / ms;
		out->bytes = (double)(send_wire_bytes(e->s) - before) / nr;
		nr *= 2;
	} while (ms < ENOUGH_MS && nr <= most - sent);
	return 0;
}

/* Nothing is known of its pages: as if nothing could be made of them. */
static void fill_noise(struct sample *sample)
{
	sample->nr = FIRST_PAGES;
	randombytes_buf(sample->data, (size_t)sample->nr * PAGE_BYTES);
}

/* Said once, a limit has every page compressed (adapt.h), also in the pause without it. */
static int say_limit(struct send *s)
{
	int rc = send_pace(s, s->wish.bwlimit);

	return rc ? rc : send_pace(s, 0);
}

static int measure_link(struct estimate *e)
{
	struct send *s = e->s;
	double ms = 0;
	int rc;

	if (!e->all.nr)
		fill_noise(&e->all);
	rc = s->wish.bwlimit ? say_limit(s) : 0;
	if (!rc)
		rc = send_sample(e, &e->all, 1, &ms);
	if (!rc)
		rc = send_sample(e, &e->all, 1, &ms); /* the first one found everything cold */
	if (rc)
		return rc;
	e->in.rtt_ms = (uint32_t)(ms + 0.5);
	/* Half of what the destination takes for each kind. */
	rc = try_link(e, &e->all, TRIAL_PAGES_MAX / 2 - 2, &e->in.all);
	e->in.dirty = e->in.all;
	/* From the second round on versions are kept, which costs something. */
	if (!rc)
		rc = send_barrier(s);
	if (!rc && e->dirty.nr)
		rc = try_link(e, &e->dirty, TRIAL_PAGES_MAX / 2, &e->in.dirty);
	return rc;
}

static int watch(struct estimate *e)
{
	static const struct hv_watch_hooks hooks = {.wait = on_wait, .sample = on_sample};
	struct send *s = e->s;
	struct error why = ERROR_INIT;
	int rc = s->src.hv->watch(&s->src.dom, &hooks, e, &e->in.watch, &why);

	if (rc && e->in.paused && rc != -ECANCELED) {
		/* A domain that cannot be watched is what --pause is for. */
		log_debug("%s", why.what);
		e->in.watch.first_pages = s->src.dom.memory_kb / (PAGE_BYTES / 1024);
		rc = 0;
	}
	if (rc)
		*s->err = why;
	return rc;
}

static void fill(struct estimate *e)
{
	struct send *s = e->s;
	const char *peer = s->src.peer->name;
	uint32_t fixed = fixed_load(&s->cfg, FIXED_PAUSE, peer, &s->src.dom);
	uint32_t rest = fixed_load(&s->cfg, FIXED_REST, peer, &s->src.dom);

	e->fixed_known = fixed != 0;
	if (!fixed)
		fixed = (s->src.dom.type == DOMAIN_EMBEDDED ? FIXED_EMBEDDED_MS : FIXED_XEN_MS) +
			3 * e->in.rtt_ms;
	e->in.fixed_ms = fixed;
	e->in.rest_ms = rest ? rest : (uint32_t)(s->at.accepted - s->at.start) + REST_AFTER_MS;
	e->in.dirty_factor = 1;
	e->in.bwlimit = s->wish.bwlimit;
	e->in.max_downtime_ms = s->wish.max_downtime_ms;
	e->in.on_no_converge = s->wish.on_no_converge;
}

static json_t *curve(const struct hv_watch *w)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < w->nr; i++)
		json_array_append_new(list, json_pack("{s:I, s:I}", "ms", (json_int_t)w->at[i].ms,
						    "pages", (json_int_t)w->at[i].dirty_pages));
	return list;
}

static const char *end_name(const struct forecast *f)
{
	return f->end == HV_ABORT ? "called off" : "moves";
}

static json_t *describe(const struct estimate *e)
{
	const struct forecast f = forecast_move(&e->in);
	struct forecast_help help = {0};
	const struct send *s = e->s;
	json_t *out;

	if (!f.converges)
		help = forecast_help(&e->in);
	out = json_pack(
		"{s:s, s:s, s:s, s:b, s:s, s:I, s:I, s:I, s:I, s:b, s:I, s:i, s:I, s:I, s:i}",
		"event", "estimate", "domain", s->src.name, "to", s->src.peer->name, "converges",
		f.converges, "end", end_name(&f), "total_ms", (json_int_t)f.total_ms, "downtime_ms",
		(json_int_t)f.downtime_ms, "max_downtime_ms", (json_int_t)e->in.max_downtime_ms,
		"fixed_ms", (json_int_t)e->in.fixed_ms, "fixed_measured", e->fixed_known,
		"wire_bytes", (json_int_t)f.wire_bytes, "rounds", (int)f.rounds, "pages",
		(json_int_t)e->in.watch.first_pages, "dirty_pages_per_s",
		(json_int_t)forecast_dirty(&e->in.watch, 1000), "cpu_percent", (int)f.cpu_percent);
	json_object_set_new(out, "dirty", curve(&e->in.watch));
	json_object_set_new(out, "link",
		json_pack("{s:I, s:I, s:f, s:I}", "pages_per_s",
			(json_int_t)e->in.dirty.pages_per_s, "bytes_per_s",
			(json_int_t)(e->in.dirty.pages_per_s * e->in.dirty.bytes), "bytes_per_page",
			e->in.dirty.bytes, "rtt_ms", (json_int_t)e->in.rtt_ms));
	json_object_set_new(out, "help",
		json_pack("{s:I, s:I, s:i}", "max_downtime_ms", (json_int_t)help.max_downtime_ms,
			"bytes_per_s", (json_int_t)help.bytes_per_s, "cpu_percent",
			(int)help.cpu_percent));
	return out;
}

static void estimate_dispose(struct estimate *e)
{
	free(e->all.data);
	free(e->dirty.data);
}

static int measure(struct estimate *e, struct send *s)
{
	int rc;

	*e = (struct estimate){.s = s, .in.paused = s->wish.still};
	e->all.data = malloc((size_t)HV_SAMPLE_PAGES * PAGE_BYTES);
	e->dirty.data = malloc((size_t)HV_SAMPLE_PAGES * PAGE_BYTES);
	if (!e->all.data || !e->dirty.data)
		return error_sys(s->err, -ENOMEM, NULL, "cannot watch %s", s->src.name);
	rc = watch(e);
	verify_init(&s->src.verify, s->src.engine.entry.token);
	if (rc == 0)
		rc = send_session_begin(s);
	if (rc == 0)
		rc = measure_link(e);
	send_session_end(s);
	if (rc == 0)
		fill(e);
	return rc;
}

int send_estimate(struct send *s)
{
	static struct estimate e;
	int rc = measure(&e, s);

	if (rc == 0)
		event_send(s->client, describe(&e));
	estimate_dispose(&e);
	return rc;
}

int send_announce(struct send *s)
{
	static struct estimate e;
	struct forecast f;
	int rc = measure(&e, s);

	if (rc == 0) {
		f = forecast_move(&e.in);
		s->predicted_ms = f.downtime_ms;
		send_notice(s,
			"it will stand still for about %.1f s: %llu MiB to send at %.0f MB/s, and %u ms besides",
			(double)f.downtime_ms / 1000,
			(unsigned long long)(e.in.watch.first_pages * PAGE_BYTES >> 20),
			e.in.all.pages_per_s * PAGE_BYTES / 1e6, e.in.fixed_ms);
	}
	estimate_dispose(&e);
	return rc;
}
