/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/handover.h"

/* clang-format off */

/* Before CEDED the source takes the domain back, whatever happened; ABORT is a courtesy. */
#define TAKE_BACK {HANDOVER_ABORTED, {STEP_JOURNAL, STEP_RESUME, STEP_SAY_ABORT}}

/* REFUSED says that nothing is left here: it is written, and said, once that is true. */
#define TAKE_AWAY {HANDOVER_REFUSED, {STEP_DESTROY, STEP_JOURNAL, STEP_SAY_REFUSED}}

static const struct handover_rule rules[HANDOVER_STATES][HANDOVER_EVENTS] = {
	/*
	 * A host may send and take the same domain again and again: what is settled can begin anew,
	 * under a new token.
	 */
#define MAY_BEGIN                                              \
	[EVENT_OFFER]     = {HANDOVER_PREP, {STEP_JOURNAL}},   \
	[EVENT_ACCEPT]    = {HANDOVER_BUILDING, {STEP_JOURNAL}}

	[HANDOVER_NONE] = {
		MAY_BEGIN,
		/* Its offer never came, and must not come any more. */
		[EVENT_ABORT]     = {HANDOVER_REFUSED, {STEP_JOURNAL, STEP_SAY_REFUSED}},
		[EVENT_OVERRULED] = {HANDOVER_REFUSED, {STEP_JOURNAL, STEP_SAY_REFUSED}},
	},

	/* ---- source ---- */
	[HANDOVER_PREP] = {
		[EVENT_SUSPENDED] = {HANDOVER_SUSPENDED, {STEP_JOURNAL}},
		[EVENT_REFUSED]   = TAKE_BACK,
		[EVENT_FAILED]    = TAKE_BACK,
		[EVENT_RESTART]   = TAKE_BACK,
	},
	[HANDOVER_SUSPENDED] = {
		[EVENT_QUIESCED]  = {HANDOVER_QUIESCED, {STEP_JOURNAL, STEP_SAY_QUIESCED}},
		[EVENT_REFUSED]   = TAKE_BACK,
		[EVENT_FAILED]    = TAKE_BACK,
		[EVENT_RESTART]   = TAKE_BACK,
	},
	[HANDOVER_QUIESCED] = {
		[EVENT_READY]     = {HANDOVER_CEDED, {STEP_CEDE, STEP_JOURNAL, STEP_SAY_GO}},
		[EVENT_REFUSED]   = TAKE_BACK,
		[EVENT_FAILED]    = TAKE_BACK,
		[EVENT_RESTART]   = TAKE_BACK,
	},
	[HANDOVER_CEDED] = {
		[EVENT_DONE]      = {HANDOVER_GONE, {STEP_DESTROY, STEP_JOURNAL, STEP_SAY_GONE}},
		[EVENT_REFUSED]   = {HANDOVER_ABORTED, {STEP_JOURNAL, STEP_RESUME}},
		[EVENT_CONNECTED] = {HANDOVER_CEDED, {STEP_SAY_GO}},
		[EVENT_CLAIM]     = {HANDOVER_CLAIMED, {STEP_JOURNAL, STEP_RESUME}},
	},
	[HANDOVER_GONE] = {
		MAY_BEGIN,
	},
	[HANDOVER_ABORTED] = {
		MAY_BEGIN,
		/* It may have died between the journal and the resume. */
		[EVENT_RESTART]   = {HANDOVER_ABORTED, {STEP_RESUME}},
		[EVENT_CONNECTED] = {HANDOVER_ABORTED, {STEP_SAY_ABORT}},
		[EVENT_REFUSED]   = {HANDOVER_KEPT, {STEP_RESUME, STEP_JOURNAL}},
		/* Claimed there while this host was thought dead: it is no longer ours. */
		[EVENT_DONE]      = {HANDOVER_GONE, {STEP_DESTROY, STEP_JOURNAL}},
	},
	[HANDOVER_CLAIMED] = {
		MAY_BEGIN,
		[EVENT_RESTART]   = {HANDOVER_CLAIMED, {STEP_RESUME}},
		[EVENT_CONNECTED] = {HANDOVER_CLAIMED, {STEP_SAY_CLAIM}},
		[EVENT_REFUSED]   = {HANDOVER_KEPT, {STEP_RESUME, STEP_JOURNAL}},
		/* An operator there has claimed it as well. */
		[EVENT_DONE]      = {HANDOVER_GONE, {STEP_DESTROY, STEP_JOURNAL}},
	},
	[HANDOVER_KEPT] = {
		MAY_BEGIN,
	},

	/* ---- destination ---- */
	[HANDOVER_BUILDING] = {
		[EVENT_COMPLETE]  = {HANDOVER_READY, {STEP_JOURNAL, STEP_SAY_READY}},
		[EVENT_GO]        = TAKE_AWAY, /* before READY: it is not whole */
		[EVENT_ABORT]     = TAKE_AWAY,
		[EVENT_FAILED]    = TAKE_AWAY,
		[EVENT_RESTART]   = TAKE_AWAY,
		[EVENT_LOST]      = TAKE_AWAY,
		[EVENT_OVERRULED] = TAKE_AWAY,
	},
	[HANDOVER_READY] = {
		[EVENT_GO]        = {HANDOVER_OWNER, {STEP_JOURNAL, STEP_ACTIVATE, STEP_SAY_DONE}},
		[EVENT_ABORT]     = TAKE_AWAY,
		[EVENT_LOST]      = TAKE_AWAY,
		[EVENT_OVERRULED] = TAKE_AWAY,
		[EVENT_CLAIM]     = {HANDOVER_OWNER, {STEP_JOURNAL, STEP_ACTIVATE}},
	},
	[HANDOVER_OWNER] = {
		MAY_BEGIN,
		[EVENT_GO]        = {HANDOVER_OWNER, {STEP_ACTIVATE, STEP_SAY_DONE}},
		[EVENT_RESTART]   = {HANDOVER_OWNER, {STEP_ACTIVATE}},
		[EVENT_ABORT]     = {HANDOVER_OWNER, {STEP_SAY_DONE}},
		[EVENT_OVERRULED] = TAKE_AWAY,
	},
	[HANDOVER_REFUSED] = {
		MAY_BEGIN,
		[EVENT_GO]        = {HANDOVER_REFUSED, {STEP_SAY_REFUSED}},
		[EVENT_ABORT]     = {HANDOVER_REFUSED, {STEP_SAY_REFUSED}},
		[EVENT_OVERRULED] = {HANDOVER_REFUSED, {STEP_SAY_REFUSED}},
	},
};

static const struct {
	const char *name;
	enum handover_role role;
	bool may_run, settled, needs_window;
} facts[HANDOVER_STATES] = {
	[HANDOVER_NONE]      = {"NONE",      HANDOVER_NEITHER,     true,  true,  false},
	[HANDOVER_PREP]      = {"PREP",      HANDOVER_SOURCE,      true,  false, true},
	[HANDOVER_SUSPENDED] = {"SUSPENDED", HANDOVER_SOURCE,      true,  false, true},
	[HANDOVER_QUIESCED]  = {"QUIESCED",  HANDOVER_SOURCE,      true,  false, true},
	[HANDOVER_CEDED]     = {"CEDED",     HANDOVER_SOURCE,      false, false, true},
	[HANDOVER_GONE]      = {"GONE",      HANDOVER_SOURCE,      false, true,  false},
	[HANDOVER_ABORTED]   = {"ABORTED",   HANDOVER_SOURCE,      true,  false, false},
	[HANDOVER_BUILDING]  = {"BUILDING",  HANDOVER_DESTINATION, false, false, true},
	[HANDOVER_READY]     = {"READY",     HANDOVER_DESTINATION, false, false, true},
	[HANDOVER_OWNER]     = {"OWNER",     HANDOVER_DESTINATION, true,  true,  false},
	[HANDOVER_REFUSED]   = {"REFUSED",   HANDOVER_DESTINATION, false, true,  false},
	[HANDOVER_KEPT]      = {"KEPT",      HANDOVER_SOURCE,      true,  true,  false},
	[HANDOVER_CLAIMED]   = {"CLAIMED",   HANDOVER_SOURCE,      true,  false, false},
};

static const char *const event_names[HANDOVER_EVENTS] = {
	[EVENT_OFFER] = "OFFER",         [EVENT_ACCEPT] = "ACCEPT",   [EVENT_SUSPENDED] = "SUSPENDED",
	[EVENT_QUIESCED] = "QUIESCED",   [EVENT_COMPLETE] = "COMPLETE", [EVENT_READY] = "READY",
	[EVENT_GO] = "GO",               [EVENT_DONE] = "DONE",       [EVENT_REFUSED] = "REFUSED",
	[EVENT_ABORT] = "ABORT",         [EVENT_FAILED] = "FAILED",   [EVENT_RESTART] = "RESTART",
	[EVENT_LOST] = "LOST",           [EVENT_CONNECTED] = "CONNECTED", [EVENT_CLAIM] = "CLAIM",
	[EVENT_OVERRULED] = "OVERRULED",
};

static const char *const step_names[HANDOVER_STEP_KINDS] = {
	[STEP_JOURNAL] = "journal",      [STEP_RESUME] = "resume",    [STEP_CEDE] = "cede",
	[STEP_DESTROY] = "destroy",      [STEP_ACTIVATE] = "activate", [STEP_SAY_QUIESCED] = "say QUIESCED",
	[STEP_SAY_READY] = "say READY",  [STEP_SAY_GO] = "say GO",    [STEP_SAY_DONE] = "say DONE",
	[STEP_SAY_GONE] = "say GONE",    [STEP_SAY_REFUSED] = "say REFUSED", [STEP_SAY_ABORT] = "say ABORT",
	[STEP_SAY_CLAIM] = "say CLAIM",
};
/* clang-format on */

struct handover_rule handover_rule(enum handover_state state, enum handover_event event)
{
	return rules[state][event];
}

bool handover_may_run(enum handover_state state)
{
	return facts[state].may_run;
}

enum handover_role handover_role(enum handover_state state)
{
	return facts[state].role;
}

bool handover_needs_window(enum handover_state state)
{
	return facts[state].needs_window;
}

bool handover_settled(enum handover_state state)
{
	return facts[state].settled;
}

const char *handover_state_name(enum handover_state state)
{
	return state < HANDOVER_STATES ? facts[state].name : "?";
}

const char *handover_event_name(enum handover_event event)
{
	return event < HANDOVER_EVENTS && event_names[event] ? event_names[event] : "?";
}

const char *handover_step_name(enum handover_step step)
{
	return step < HANDOVER_STEP_KINDS && step_names[step] ? step_names[step] : "?";
}
