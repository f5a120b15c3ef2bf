/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hand-over's table, walked exhaustively: every reachable state of a source, a destination and
 * the messages between them, where at every point either engine may die between any two steps,
 * either host may lose its power, the link may fail, and messages are lost, repeated, delayed and
 * reordered (what is in flight is a set; delivering a message may leave it in). The space is
 * finite: no depth bound.
 *
 *   one_runs        the domain never runs on both hosts
 *   owner_only      it runs on the destination only with OWNER on its disk
 *   ready_waits     it never runs on the destination before CEDED is on the source's disk, unless
 * an operator has rightly claimed it there ceded_is_final  after CEDED it runs on the source only
 * with REFUSED on the destination's disk, or rightly claimed never_none      no step destroys the
 * last copy heals           from every state, without further faults, it ends with both journals
 * settled and exactly one copy left, running
 *
 * Then single rules are broken, and the walk must name the invariant that falls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/handover.h"

enum side { SOURCE, DESTINATION, SIDES };
enum place { ABSENT, STOPPED, RUNNING };

enum message {
	M_OFFER = 1,
	M_QUIESCED = 2,
	M_READY = 4,
	M_GO = 8,
	M_DONE = 16,
	M_REFUSED = 32,
	M_ABORT = 64
};
#define M_TO_SOURCE (M_READY | M_DONE | M_REFUSED)
#define M_ALL	    127u

struct half {
	uint8_t journal;     /* on disk */
	uint8_t from, event; /* the rule being carried out; event 0 = none */
	uint8_t step;	     /* its next step */
	uint8_t place;	     /* of the copy on this host */
	uint8_t alive;	     /* an engine runs */
};

/* Bytes only: compared and hashed as they lie in memory. */
struct world {
	struct half half[SIDES];
	uint8_t messages;
	uint8_t offered;   /* the move was begun */
	uint8_t ceded;	   /* CEDED was once written */
	uint8_t power_cut; /* a host lost its power, and with it what ran there */
	uint8_t claimed;   /* an operator has spoken */
};

typedef struct handover_rule rule_fn(enum handover_state, enum handover_event);

#define WORLDS_MAX (1u << 20)
#define TABLE_SIZE (1u << 22)

static struct {
	rule_fn *rule;
	struct world *list;
	uint32_t *table;
	uint32_t count;
	unsigned broken; /* invariants that fell, all at the same world */
	struct world at;
} walk;

enum { ONE_RUNS, OWNER_ONLY, READY_WAITS, CEDED_IS_FINAL, NEVER_NONE, HEALS, INVARIANTS };

static const char *const invariant_names[INVARIANTS] = {
	[ONE_RUNS] = "one_runs",
	[OWNER_ONLY] = "owner_only",
	[READY_WAITS] = "ready_waits",
	[CEDED_IS_FINAL] = "ceded_is_final",
	[NEVER_NONE] = "never_none",
	[HEALS] = "heals",
};

static void fell(unsigned invariant, const struct world *w)
{
	if (walk.broken && memcmp(&walk.at, w, sizeof(*w)) != 0)
		return;
	walk.broken |= 1u << invariant;
	walk.at = *w;
}

static void check(const struct world *w)
{
	const struct half *s = &w->half[SOURCE], *d = &w->half[DESTINATION];

	if (s->place == RUNNING && d->place == RUNNING)
		fell(ONE_RUNS, w);
	if (d->place == RUNNING && d->journal != HANDOVER_OWNER)
		fell(OWNER_ONLY, w);
	if (d->place == RUNNING && !w->ceded && !w->claimed)
		fell(READY_WAITS, w);
	if (w->ceded && s->place == RUNNING && d->journal != HANDOVER_REFUSED && !w->claimed)
		fell(CEDED_IS_FINAL, w);
	if (s->place == ABSENT && d->place == ABSENT && !w->power_cut)
		fell(NEVER_NONE, w);
}

static void visit(const struct world *w)
{
	const uint8_t *p = (const uint8_t *)w;
	uint32_t slot = 2166136261u;

	check(w);
	for (size_t i = 0; i < sizeof(*w); i++)
		slot = (slot ^ p[i]) * 16777619u;
	for (slot %= TABLE_SIZE; walk.table[slot]; slot = (slot + 1) % TABLE_SIZE)
		if (memcmp(&walk.list[walk.table[slot] - 1], w, sizeof(*w)) == 0)
			return;
	if (walk.count == WORLDS_MAX)
		fail_msg("more worlds than room for them");
	walk.list[walk.count] = *w;
	walk.table[slot] = ++walk.count;
}

static uint8_t message_of(enum handover_step step)
{
	static const uint8_t said[HANDOVER_STEP_KINDS] = {
		[STEP_SAY_QUIESCED] = M_QUIESCED,
		[STEP_SAY_READY] = M_READY,
		[STEP_SAY_GO] = M_GO,
		[STEP_SAY_DONE] = M_DONE,
		[STEP_SAY_REFUSED] = M_REFUSED,
		[STEP_SAY_ABORT] = M_ABORT,
	};

	return said[step];
}

static bool begin(struct world *w, enum side side, enum handover_event event)
{
	struct half *h = &w->half[side];

	if (!h->alive || h->event || !walk.rule((enum handover_state)h->journal, event).next)
		return false;
	h->from = h->journal;
	h->event = (uint8_t)event;
	h->step = 0;
	if (event == EVENT_SUSPENDED)
		h->place = STOPPED;
	if (event == EVENT_OFFER)
		w->offered = 1;
	if (event == EVENT_CLAIM)
		w->claimed = 1;
	return true;
}

/* One step of the rule under way. */
static bool advance(struct world *w, enum side side)
{
	struct half *h = &w->half[side];
	struct handover_rule rule;
	enum handover_step step = STEP_NONE;

	if (!h->alive || !h->event)
		return false;
	rule = walk.rule((enum handover_state)h->from, (enum handover_event)h->event);
	if (h->step < HANDOVER_STEPS_MAX)
		step = rule.step[h->step++];
	w->messages |= message_of(step);
	if (step == STEP_JOURNAL) {
		h->journal = (uint8_t)rule.next;
		w->ceded |= rule.next == HANDOVER_CEDED;
		if (h->event == EVENT_ACCEPT)
			h->place = STOPPED; /* building begins once it is written that it does */
	} else if (step == STEP_DESTROY) {
		h->place = ABSENT;
	} else if ((step == STEP_RESUME || step == STEP_ACTIVATE) && h->place == STOPPED) {
		h->place = RUNNING;
	} else if (step == STEP_NONE) {
		if (h->event == EVENT_OFFER)
			w->messages |= M_OFFER;
		h->event = h->from = h->step = 0;
	}
	return true;
}

static void die(struct world *w, enum side side, bool power)
{
	struct half *h = &w->half[side];

	h->alive = h->event = h->from = h->step = 0;
	if (power) {
		h->place = ABSENT;
		w->power_cut = 1;
	}
}

static void restart(struct world *w, enum side side)
{
	struct half *h = &w->half[side];

	h->alive = 1;
	if (side == DESTINATION && h->place == ABSENT && begin(w, side, EVENT_LOST))
		return;
	begin(w, side, EVENT_RESTART);
}

/* An operator who tells the truth: the other host is off, and what it had is not the only copy. */
static bool claim(struct world *w, enum side side)
{
	const struct half *other = &w->half[side == SOURCE ? DESTINATION : SOURCE];

	if (other->alive || other->place != ABSENT || other->journal == HANDOVER_OWNER ||
		!w->power_cut)
		return false;
	return begin(w, side, EVENT_CLAIM);
}

static enum handover_event event_of(uint8_t message)
{
	switch (message) {
	case M_OFFER:
		return EVENT_ACCEPT;
	case M_QUIESCED:
		return EVENT_COMPLETE;
	case M_READY:
		return EVENT_READY;
	case M_GO:
		return EVENT_GO;
	case M_DONE:
		return EVENT_DONE;
	case M_REFUSED:
		return EVENT_REFUSED;
	default:
		return EVENT_ABORT;
	}
}

/* True when the message was taken, even if it meant nothing. */
static bool deliver(struct world *w, uint8_t message)
{
	enum side to = message & M_TO_SOURCE ? SOURCE : DESTINATION;
	struct half *h = &w->half[to];

	if (!(w->messages & message) || !h->alive || h->event)
		return false;
	/* The token of this offer has been used: the engine takes it only once. */
	if (message != M_OFFER || h->journal == HANDOVER_NONE)
		begin(w, to, event_of(message));
	return true;
}

/* Everything that can happen next, faults included. */
static void expand(struct world w)
{
	static const enum handover_event alone[SIDES][5] = {
		[SOURCE] = {EVENT_SUSPENDED, EVENT_QUIESCED, EVENT_FAILED, EVENT_CONNECTED},
		[DESTINATION] = {EVENT_FAILED},
	};

	for (enum side side = SOURCE; side < SIDES; side++) {
		struct world n = w;

		if (advance(&n, side))
			visit(&n);
		for (const enum handover_event *event = alone[side]; *event; event++) {
			n = w;
			if (begin(&n, side, *event))
				visit(&n);
		}
		n = w;
		if (!w.half[side].alive)
			restart(&n, side);
		else
			die(&n, side, false);
		visit(&n);
		n = w;
		die(&n, side, true);
		visit(&n);
		n = w;
		if (claim(&n, side))
			visit(&n);
	}
	if (!w.offered) {
		struct world n = w;

		if (begin(&n, SOURCE, EVENT_OFFER))
			visit(&n);
	}
	for (uint8_t message = 1; message & M_ALL; message = (uint8_t)(message << 1)) {
		struct world n = w;

		if (!deliver(&n, message))
			continue;
		visit(&n); /* it may come again */
		n.messages &= (uint8_t)~message;
		visit(&n);
		n = w;
		n.messages &= (uint8_t)~message; /* lost */
		visit(&n);
	}
}

/* One thing that happens when nothing fails any more; false when there is nothing left. */
static bool calm_step(struct world *w)
{
	for (enum side side = SOURCE; side < SIDES; side++) {
		if (!w->half[side].alive) {
			restart(w, side);
			return true;
		}
		if (advance(w, side))
			return true;
	}
	for (uint8_t message = 1; message & M_ALL; message = (uint8_t)(message << 1))
		if (deliver(w, message)) {
			w->messages &= (uint8_t)~message;
			return true;
		}
	for (enum side side = SOURCE; side < SIDES; side++) {
		/* Nothing comes any more: the link is seen to be gone, and made anew. */
		if (!handover_settled((enum handover_state)w->half[side].journal) &&
			(begin(w, side, EVENT_FAILED) || begin(w, side, EVENT_CONNECTED)))
			return true;
	}
	return false;
}

static void check_heals(struct world w)
{
	const struct world start = w;
	const struct half *s = &w.half[SOURCE], *d = &w.half[DESTINATION];
	int steps = 0;

	while (steps++ < 200 && calm_step(&w))
		check(&w);
	if (!handover_settled((enum handover_state)s->journal) ||
		!handover_settled((enum handover_state)d->journal) || steps >= 200)
		fell(HEALS, &start);
	/* What ran on a host that lost its power is a matter for a cold start. */
	else if (!w.power_cut && s->place + d->place != RUNNING)
		fell(HEALS, &start);
}

static unsigned explore(rule_fn *rule)
{
	struct world first;

	walk.rule = rule;
	walk.count = 0;
	walk.broken = 0;
	walk.list = malloc(WORLDS_MAX * sizeof(*walk.list));
	walk.table = calloc(TABLE_SIZE, sizeof(*walk.table));
	assert_non_null(walk.list);
	assert_non_null(walk.table);
	memset(&first, 0, sizeof(first));
	first.half[SOURCE].place = RUNNING;
	first.half[SOURCE].alive = first.half[DESTINATION].alive = 1;
	visit(&first);
	for (uint32_t i = 0; i < walk.count && !walk.broken; i++) {
		expand(walk.list[i]);
		check_heals(walk.list[i]);
	}
	free(walk.list);
	free(walk.table);
	return walk.broken;
}

static void print_broken(const struct world *w)
{
	static const char *const places[] = {"absent", "stopped", "running"};

	for (unsigned i = 0; i < INVARIANTS; i++)
		if (walk.broken & 1u << i)
			print_message("  %s fell\n", invariant_names[i]);
	for (enum side side = SOURCE; side < SIDES; side++)
		print_message("  %s: %s, copy %s%s, in %s x %s step %u\n",
			side == SOURCE ? "source" : "destination",
			handover_state_name((enum handover_state)w->half[side].journal),
			places[w->half[side].place], w->half[side].alive ? "" : ", dead",
			handover_state_name((enum handover_state)w->half[side].from),
			handover_event_name((enum handover_event)w->half[side].event),
			w->half[side].step);
}

static void test_every_interleaving(void **state)
{
	(void)state;
	if (explore(handover_rule)) {
		print_broken(&walk.at);
		fail_msg("an invariant fell");
	}
	print_message("# %u worlds\n", walk.count);
	assert_true(walk.count > 1000); /* the walk did walk */
}

/* ---- mutations: one rule broken each ---- */

#define MUTANT(name, in_state, on_event, ...)                                                      \
	static struct handover_rule name(enum handover_state state, enum handover_event event)     \
	{                                                                                          \
		if (state == (in_state) && event == (on_event))                                    \
			return (struct handover_rule)__VA_ARGS__;                                  \
		return handover_rule(state, event);                                                \
	}

MUTANT(runs_before_its_journal, HANDOVER_READY, EVENT_GO,
	{HANDOVER_OWNER, {STEP_ACTIVATE, STEP_JOURNAL, STEP_SAY_DONE}})
MUTANT(ready_starts_itself, HANDOVER_READY, EVENT_FAILED,
	{HANDOVER_OWNER, {STEP_JOURNAL, STEP_ACTIVATE}})
MUTANT(starts_at_restart, HANDOVER_READY, EVENT_RESTART,
	{HANDOVER_OWNER, {STEP_JOURNAL, STEP_ACTIVATE}})
MUTANT(resumes_after_a_timeout, HANDOVER_CEDED, EVENT_FAILED,
	{HANDOVER_ABORTED, {STEP_JOURNAL, STEP_RESUME}})
MUTANT(says_go_before_its_journal, HANDOVER_QUIESCED, EVENT_READY,
	{HANDOVER_CEDED, {STEP_SAY_GO, STEP_JOURNAL}})
MUTANT(destroys_on_failure, HANDOVER_SUSPENDED, EVENT_FAILED,
	{HANDOVER_GONE, {STEP_DESTROY, STEP_JOURNAL}})
MUTANT(resumes_before_its_journal, HANDOVER_QUIESCED, EVENT_READY,
	{HANDOVER_CEDED, {STEP_JOURNAL, STEP_RESUME, STEP_SAY_GO}})
MUTANT(refuses_before_it_is_true, HANDOVER_READY, EVENT_ABORT,
	{HANDOVER_REFUSED, {STEP_JOURNAL, STEP_SAY_REFUSED, STEP_DESTROY}})
MUTANT(never_asks_again, HANDOVER_CEDED, EVENT_CONNECTED, {HANDOVER_NONE, {STEP_NONE}})
MUTANT(aborted_is_forgotten, HANDOVER_ABORTED, EVENT_CONNECTED, {HANDOVER_NONE, {STEP_NONE}})
MUTANT(refused_says_nothing, HANDOVER_REFUSED, EVENT_GO, {HANDOVER_NONE, {STEP_NONE}})

static void test_each_mutation_is_caught(void **state)
{
	static const struct {
		const char *name;
		rule_fn *rule;
		unsigned falls;
	} mutants[] = {
		{"runs_before_its_journal", runs_before_its_journal, OWNER_ONLY},
		{"ready_starts_itself", ready_starts_itself, READY_WAITS},
		{"starts_at_restart", starts_at_restart, READY_WAITS},
		{"resumes_after_a_timeout", resumes_after_a_timeout, CEDED_IS_FINAL},
		{"says_go_before_its_journal", says_go_before_its_journal, READY_WAITS},
		{"destroys_on_failure", destroys_on_failure, NEVER_NONE},
		{"resumes_before_its_journal", resumes_before_its_journal, CEDED_IS_FINAL},
		{"refuses_before_it_is_true", refuses_before_it_is_true, HEALS},
		{"never_asks_again", never_asks_again, HEALS},
		{"aborted_is_forgotten", aborted_is_forgotten, HEALS},
		{"refused_says_nothing", refused_says_nothing, HEALS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(mutants) / sizeof(mutants[0]); i++) {
		unsigned broken = explore(mutants[i].rule);

		if (broken & 1u << mutants[i].falls)
			continue;
		print_broken(&walk.at);
		fail_msg("%s was not caught by %s", mutants[i].name,
			invariant_names[mutants[i].falls]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_interleaving),
		cmocka_unit_test(test_each_mutation_is_caught),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
