/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/forecast.h"

/*
 * Behind the last point: when the second half of the time brought nearly as many new pages as the
 * first, it goes on like that; otherwise it comes near a working set as 1 - exp(-t) does. With
 * q = 1 - (what the second half brought / what the first did) of each half as long as what was
 * watched, what is missing from the working set shrinks by the same factor each time.
 */
static double beyond(const struct hv_watch *w, double ms)
{
	double t = w->at[w->nr - 1].ms, d = (double)w->at[w->nr - 1].dirty_pages, half, shrink, set,
	       missing;

	half = forecast_dirty(w, t / 2);
	if (half <= 0 || d - half >= 0.97 * half)
		return d * ms / t;
	shrink = (d - half) / half; /* in half the time */
	set = half / (1 - shrink);
	missing = set - d;
	for (; ms >= t + t / 2; ms -= t / 2)
		missing *= shrink;
	return set - missing * (1 - (1 - shrink) * (ms - t) / (t / 2));
}

double forecast_dirty(const struct hv_watch *w, double ms)
{
	double t = 0, d = 0, total = (double)w->total_pages, pages;

	if (w->nr == 0 || ms <= 0)
		return 0;
	for (unsigned i = 0; i < w->nr; i++) {
		double next = w->at[i].ms, found = (double)w->at[i].dirty_pages;

		if (ms <= next && next > t)
			return d + (found - d) * (ms - t) / (next - t);
		t = next;
		d = found;
	}
	if (t <= 0)
		return d;
	pages = beyond(w, ms);
	pages = pages < d ? d : pages;
	return pages < total ? pages : total;
}

static double dirtied(const struct forecast_input *in, double ms)
{
	return forecast_dirty(&in->watch, ms * in->dirty_factor);
}

static double live_rate(const struct forecast_input *in, const struct forecast_pages *p)
{
	double limit = in->bwlimit ? (double)in->bwlimit / p->bytes : p->pages_per_s;

	return limit < p->pages_per_s ? limit : p->pages_per_s;
}

static struct forecast not_live(const struct forecast_input *in)
{
	double pages = (double)in->watch.first_pages;
	struct forecast out = {.end = HV_STOP, .rounds = 1, .cpu_percent = 100};

	out.downtime_ms = in->fixed_ms + (uint64_t)(pages * 1000 / in->all.pages_per_s);
	out.converges = out.downtime_ms <= in->max_downtime_ms;
	out.total_ms = in->rest_ms + out.downtime_ms;
	out.wire_bytes = (uint64_t)(pages * in->all.bytes);
	return out;
}

struct state {
	struct forecast_input in; /* dirty_factor changes when the guest is slowed */
	struct policy_input policy;
	double ms, bytes, seen_pages, seen_ms;
};

/* The rate as send_stream.c knows it: the last round counts as much as all before it. */
static void acknowledge(struct state *s, double pages, double ms)
{
	double weight = pages > 2048 ? pages : 2048;

	if (pages < 1)
		return;
	if (s->seen_pages > weight) {
		s->seen_ms *= weight / s->seen_pages;
		s->seen_pages = weight;
	}
	s->seen_pages += pages;
	s->seen_ms += ms;
	s->policy.pages_per_s = (uint64_t)(s->seen_pages * 1000 / s->seen_ms);
}

/* Send `pages` live; how long it takes. */
static double send_round(struct state *s, double pages, const struct forecast_pages *kind)
{
	double ms = pages * 1000 / live_rate(&s->in, kind) + s->in.rtt_ms;

	s->ms += ms;
	s->bytes += pages * kind->bytes;
	acknowledge(s, pages, ms);
	return ms;
}

static struct forecast finish(struct state *s, struct forecast out, double left)
{
	out.rounds = s->policy.round + 1 + (out.end == HV_LAST);
	out.downtime_ms = s->in.fixed_ms + (uint64_t)(left * 1000 / s->in.dirty.pages_per_s);
	out.total_ms = s->in.rest_ms + (uint64_t)s->ms + out.downtime_ms;
	out.wire_bytes = (uint64_t)(s->bytes + left * s->in.dirty.bytes);
	return out;
}

static struct state start(const struct forecast_input *in)
{
	return (struct state){.in = *in,
		.policy = {.dirty_pages = in->watch.first_pages,
			.fixed_ms = in->fixed_ms,
			.max_downtime_ms = in->max_downtime_ms,
			.cpu_percent = 100,
			.on_no_converge = in->on_no_converge}};
}

struct forecast forecast_move(const struct forecast_input *in)
{
	struct state s = start(in);
	struct forecast out = {.converges = true, .cpu_percent = 100};
	double left = (double)in->watch.first_pages, ms;

	if (in->paused)
		return not_live(in);
	for (;; s.policy.round++) {
		struct policy_output said = policy_decide(&s.policy);

		out.end = said.decision;
		out.converges &= !said.no_converge;
		if (said.cpu_percent < out.cpu_percent)
			s.in.dirty_factor = in->dirty_factor * said.cpu_percent / 100;
		out.cpu_percent = s.policy.cpu_percent = said.cpu_percent;
		if (said.decision == HV_STOP || said.decision == HV_ABORT)
			/* What it dirties until it stands still has been there before, mostly. */
			return finish(&s, out, left);
		ms = send_round(&s, left, s.policy.round ? &s.in.dirty : &s.in.all);
		s.policy.previous_left = (uint64_t)left;
		left = dirtied(&s.in, ms);
		s.policy.dirty_pages = (uint64_t)left;
		s.policy.dirty_per_s = (uint64_t)(left * 1000 / ms);
		s.policy.stalled_rounds = said.stalled_rounds;
		if (said.decision == HV_LAST)
			return finish(&s, out, left);
	}
}

static bool would(struct forecast_input in)
{
	in.on_no_converge = NO_CONVERGE_STOP;
	return forecast_move(&in).converges;
}

static uint32_t helpful_downtime(struct forecast_input in)
{
	static const uint32_t most = 3600000;

	in.on_no_converge = NO_CONVERGE_STOP;
	for (int i = 0; i < 40 && in.max_downtime_ms < most; i++) {
		uint64_t pause = forecast_move(&in).downtime_ms;

		/* A tenth of room: a guest is not so regular. */
		pause += pause / 10 + 1;
		in.max_downtime_ms = pause > in.max_downtime_ms + in.max_downtime_ms / 10
					     ? (pause < most ? (uint32_t)pause : most)
					     : in.max_downtime_ms + in.max_downtime_ms / 10 + 1;
		if (would(in))
			return in.max_downtime_ms;
	}
	return 0;
}

static uint64_t helpful_link(struct forecast_input in)
{
	const struct forecast_pages all = in.all, dirty = in.dirty;
	double factor = 1;

	in.bwlimit = 0;
	for (int i = 0; i < 60; i++) {
		if (would(in))
			return (uint64_t)(in.dirty.pages_per_s * in.dirty.bytes);
		factor *= 1.25;
		in.all.pages_per_s = all.pages_per_s * factor;
		in.dirty.pages_per_s = dirty.pages_per_s * factor;
	}
	return 0;
}

static uint32_t helpful_cpu(struct forecast_input in)
{
	uint32_t percent = 100;
	const double whole = in.dirty_factor;

	while (policy_slower(percent) < percent) {
		percent = policy_slower(percent);
		in.dirty_factor = whole * percent / 100;
		if (would(in))
			return percent;
	}
	return 0;
}

struct forecast_help forecast_help(const struct forecast_input *in)
{
	struct forecast_help help = {.max_downtime_ms = helpful_downtime(*in)};

	if (in->paused)
		return help;
	help.bytes_per_s = helpful_link(*in);
	help.cpu_percent = helpful_cpu(*in);
	return help;
}
