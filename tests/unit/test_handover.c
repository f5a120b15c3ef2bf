/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hand-over's table, walked exhaustively: every reachable state of a source, a destination and
 * the messages between them. The space is finite: no depth bound. At every point there may be
 *
 *   a crash, between any two steps of an engine, or of a host with all that runs there;
 *   a restart, at once or later: a host that froze and wakes up is one of these;
 *   a message lost, repeated, delayed, or reordered: what is in flight is a set, any of it may be
 *   delivered or not, now or after anything else, and stay in flight after it was;
 *   an operator's claim, rightly (the other host is off) or wrongly (it only does not answer).
 *
 * The invariants:
 *
 *   one_runs         the domain never runs on both hosts, unless an operator was wrong
 *   owner_only       it runs on the destination only with OWNER on its disk
 *   ready_waits      it never runs on the destination before CEDED is on the source's disk, unless
 *                    claimed there
 *   ceded_is_final   after CEDED it runs on the source only with REFUSED on the destination's disk,
 *                    or claimed
 *   never_none       no step destroys the last copy
 *   runs_by_journal  where it runs, the journal says that it may
 *   heals            from every state, without further faults, it ends with both journals settled
 *                    and exactly one copy left, running, also when an operator was wrong
 *
 * Then single rules are broken, and the walk must name the invariant that falls. Then each kind of
 * fault is left out, and the walk must become smaller: it is really there.
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
	M_ABORT = 64,
	M_CLAIM = 128,	     /* it was claimed at the source */
	M_DONE_CLAIMED = 256 /* DONE in answer to CLAIM: claimed at the destination as well */
};
#define M_TO_SOURCE (M_READY | M_DONE | M_DONE_CLAIMED | M_REFUSED)
#define M_ALL	    511u

struct half {
	uint8_t journal;     /* on disk */
	uint8_t from, event; /* the rule being carried out; event 0 = none */
	uint8_t step;	     /* its next step */
	uint8_t place;	     /* of the copy on this host */
	uint8_t alive;	     /* an engine runs */
	uint8_t claimed;     /* by an operator: the term is one higher */
	uint8_t answering;   /* the rule was begun by CLAIM */
};

/* Bytes only: compared and hashed as they lie in memory. */
struct world {
	struct half half[SIDES];
	uint16_t messages;
	uint8_t offered;   /* the move was begun */
	uint8_t ceded;	   /* CEDED was once written */
	uint8_t power_cut; /* a host lost its power, and with it what ran there; not since a claim
			    */
	uint8_t claimed;   /* an operator has spoken */
	uint8_t wrong;	   /* and the other host was not dead */
	uint8_t unused;	   /* so that there is no padding */
};

typedef struct handover_rule rule_fn(enum handover_state, enum handover_event);

#define WORLDS_MAX (1u << 20)
#define TABLE_SIZE (1u << 22)

static struct {
	rule_fn *rule;
	struct world *list;
	uint32_t *table;
	uint32_t count;
	unsigned without; /* kinds of faults that are left out */
	unsigned broken;  /* invariants that fell, all at the same world */
	struct world at;
} walk;

enum {
	CRASH = 1,
	POWER_CUT = 2,
	RESTART = 4,
	LOSS = 8,
	REPETITION = 16,
	DELAY = 32,
	REORDERING = 64,
	LINK_FAILURE = 128,
	CLAIM = 256,
	FAULT_KINDS = 9
};

enum {
	ONE_RUNS,
	OWNER_ONLY,
	READY_WAITS,
	CEDED_IS_FINAL,
	NEVER_NONE,
	RUNS_BY_JOURNAL,
	HEALS,
	INVARIANTS
};

static const char *const invariant_names[INVARIANTS] = {
	[ONE_RUNS] = "one_runs",
	[OWNER_ONLY] = "owner_only",
	[READY_WAITS] = "ready_waits",
	[CEDED_IS_FINAL] = "ceded_is_final",
	[NEVER_NONE] = "never_none",
	[RUNS_BY_JOURNAL] = "runs_by_journal",
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

	if (s->place == RUNNING && d->place == RUNNING && !w->wrong)
		fell(ONE_RUNS, w);
	for (enum side side = SOURCE; side < SIDES; side++)
		if (w->half[side].place == RUNNING &&
			!handover_may_run((enum handover_state)w->half[side].journal))
			fell(RUNS_BY_JOURNAL, w);
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

static uint16_t message_of(enum handover_step step, bool answering)
{
	static const uint16_t said[HANDOVER_STEP_KINDS] = {
		[STEP_SAY_QUIESCED] = M_QUIESCED,
		[STEP_SAY_READY] = M_READY,
		[STEP_SAY_GO] = M_GO,
		[STEP_SAY_DONE] = M_DONE,
		[STEP_SAY_REFUSED] = M_REFUSED,
		[STEP_SAY_ABORT] = M_ABORT,
		[STEP_SAY_CLAIM] = M_CLAIM,
	};

	return step == STEP_SAY_DONE && answering ? M_DONE_CLAIMED : said[step];
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
	w->messages |= message_of(step, h->answering);
	if (step == STEP_JOURNAL) {
		h->journal = (uint8_t)rule.next;
		w->ceded |= rule.next == HANDOVER_CEDED;
		if (h->event == EVENT_CLAIM) {
			w->claimed = h->claimed = 1;
			w->power_cut = 0; /* what was lost before is made good by this copy */
		}
		if (h->event == EVENT_ACCEPT)
			h->place = STOPPED; /* building begins once it is written that it does */
	} else if (step == STEP_DESTROY) {
		h->place = ABSENT;
	} else if ((step == STEP_RESUME || step == STEP_ACTIVATE) && h->place == STOPPED) {
		h->place = RUNNING;
	} else if (step == STEP_NONE) {
		if (h->event == EVENT_OFFER)
			w->messages |= M_OFFER;
		h->event = h->from = h->step = h->answering = 0;
	}
	return true;
}

static void die(struct world *w, enum side side, bool power)
{
	struct half *h = &w->half[side];

	h->alive = h->event = h->from = h->step = h->answering = 0;
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

/* The other host does not answer. That it is off, and its copy with it, is the operator's word. */
static bool claim(struct world *w, enum side side)
{
	const struct half *other = &w->half[side == SOURCE ? DESTINATION : SOURCE];

	/* Where there is no copy there is nothing to claim. */
	if (other->alive || w->half[side].place == ABSENT || !begin(w, side, EVENT_CLAIM))
		return false;
	w->wrong |= other->place != ABSENT;
	return true;
}

/* What the engine of `h` makes of it: terms are compared there, not in the table. */
static enum handover_event event_of(uint16_t message, const struct half *h)
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
	case M_DONE_CLAIMED:
		return EVENT_DONE;
	case M_CLAIM:
		return h->claimed && h->place != ABSENT ? EVENT_ABORT : EVENT_OVERRULED;
	case M_REFUSED:
		return EVENT_REFUSED;
	default:
		return EVENT_ABORT;
	}
}

/* Of which the engine knows that it is old: it asks on a connection of its own, under its term. */
static bool outdated(const struct half *h, uint16_t message)
{
	return (message == M_OFFER && h->journal != HANDOVER_NONE) ||
	       (message == M_DONE && h->journal == HANDOVER_CLAIMED);
}

/* True when the message was taken, even if it meant nothing. */
static bool deliver(struct world *w, uint16_t message)
{
	enum side to = message & M_TO_SOURCE ? SOURCE : DESTINATION;
	struct half *h = &w->half[to];

	if (!(w->messages & message) || !h->alive || h->event)
		return false;
	if (!outdated(h, message) && begin(w, to, event_of(message, h)))
		h->answering = message == M_CLAIM;
	return true;
}

/* The engine's next step, or what its side of the link tells it; or it dies, or comes back. */
static void expand_side(const struct world *w, enum side side)
{
	static const enum handover_event alone[SIDES][5] = {
		[SOURCE] = {EVENT_SUSPENDED, EVENT_QUIESCED, EVENT_FAILED, EVENT_CONNECTED},
		[DESTINATION] = {EVENT_FAILED},
	};
	bool alive = w->half[side].alive;
	struct world n = *w;

	if (advance(&n, side))
		visit(&n);
	for (const enum handover_event *event = alone[side]; *event; event++) {
		n = *w;
		if (!(*event == EVENT_FAILED && walk.without & LINK_FAILURE) &&
			begin(&n, side, *event))
			visit(&n);
	}
	n = *w;
	if (!alive && !(walk.without & RESTART)) {
		restart(&n, side);
		visit(&n);
	} else if (alive && !(walk.without & CRASH)) {
		die(&n, side, false);
		visit(&n);
	}
	n = *w;
	if (!(walk.without & POWER_CUT)) {
		die(&n, side, true);
		visit(&n);
	}
	n = *w;
	if (!(walk.without & CLAIM) && claim(&n, side))
		visit(&n);
}

/* Is there an older message than this one in flight, by the order in which they are first said? */
static bool overtakes(const struct world *w, uint16_t message)
{
	return walk.without & REORDERING && w->messages & (uint16_t)(message - 1);
}

static void expand_message(const struct world *w, uint16_t message)
{
	struct world n = *w;

	if (!(w->messages & message))
		return;
	n.messages &= (uint16_t)~message;
	if (!(walk.without & LOSS))
		visit(&n);
	n = *w;
	if (overtakes(w, message) || !deliver(&n, message))
		return;
	if (!(walk.without & REPETITION))
		visit(&n);
	n.messages &= (uint16_t)~message;
	visit(&n);
}

/* Everything that can happen next, faults included. */
static void expand(struct world w)
{
	uint32_t before = walk.count;

	for (uint16_t message = 1; message & M_ALL; message = (uint16_t)(message << 1))
		expand_message(&w, message);
	/* Without delay, what is in flight comes before anything else happens. */
	if (walk.without & DELAY && walk.count != before)
		return;
	for (enum side side = SOURCE; side < SIDES; side++)
		expand_side(&w, side);
	if (!w.offered && begin(&w, SOURCE, EVENT_OFFER))
		visit(&w);
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
	for (uint16_t message = 1; message & M_ALL; message = (uint16_t)(message << 1))
		if (deliver(w, message)) {
			w->messages &= (uint16_t)~message;
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
	else if (s->place + d->place != RUNNING &&
		 !(w.power_cut && s->place == ABSENT && d->place == ABSENT))
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
MUTANT(claim_is_taken_for_gone, HANDOVER_CLAIMED, EVENT_DONE, {HANDOVER_GONE, {STEP_JOURNAL}})
MUTANT(claim_is_not_told, HANDOVER_CLAIMED, EVENT_CONNECTED, {HANDOVER_NONE, {STEP_NONE}})
MUTANT(claim_says_only_abort, HANDOVER_CLAIMED, EVENT_CONNECTED,
	{HANDOVER_CLAIMED, {STEP_SAY_ABORT}})
MUTANT(overruled_keeps_its_copy, HANDOVER_OWNER, EVENT_OVERRULED,
	{HANDOVER_REFUSED, {STEP_JOURNAL, STEP_SAY_REFUSED}})
MUTANT(overruled_goes_on, HANDOVER_OWNER, EVENT_OVERRULED, {HANDOVER_OWNER, {STEP_SAY_DONE}})
MUTANT(claimed_away_runs_on, HANDOVER_ABORTED, EVENT_DONE, {HANDOVER_GONE, {STEP_JOURNAL}})

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
		{"claim_is_taken_for_gone", claim_is_taken_for_gone, RUNS_BY_JOURNAL},
		{"claim_is_not_told", claim_is_not_told, HEALS},
		{"claim_says_only_abort", claim_says_only_abort, HEALS},
		{"overruled_keeps_its_copy", overruled_keeps_its_copy, RUNS_BY_JOURNAL},
		{"overruled_goes_on", overruled_goes_on, NEVER_NONE},
		{"claimed_away_runs_on", claimed_away_runs_on, RUNS_BY_JOURNAL},
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

/* The walk really has them all: without any one of them it comes to fewer worlds. */
static void test_each_fault_is_there(void **state)
{
	static const char *const names[FAULT_KINDS] = {"crash", "power cut", "restart", "loss",
		"repetition", "delay", "reordering", "link failure", "claim"};
	uint32_t all;

	(void)state;
	assert_int_equal(explore(handover_rule), 0);
	all = walk.count;
	for (unsigned i = 0; i < FAULT_KINDS; i++) {
		walk.without = 1u << i;
		assert_int_equal(explore(handover_rule), 0);
		print_message("# %u worlds without %s\n", walk.count, names[i]);
		if (walk.count >= all)
			fail_msg("%s makes no difference", names[i]);
	}
	walk.without = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_interleaving),
		cmocka_unit_test(test_each_mutation_is_caught),
		cmocka_unit_test(test_each_fault_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
