/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * handover: who owns the domain while it moves. A pure table of state x event; the engines carry
 * out its steps in order, and a model test walks every interleaving of a source and a destination
 * with crashes and with lost, repeated, delayed and reordered messages.
 *
 *   source       PREP --> SUSPENDED --> QUIESCED ---> CEDED* --DONE--> GONE
 *                  \__________\____________\___> ABORTED <--REFUSED-- /\--claim--> CLAIMED
 *                                                   \--REFUSED--> KEPT <--REFUSED--/
 *   destination  BUILDING --> READY --GO--> OWNER
 *                  \____________\__ABORT__> REFUSED
 *
 * * The commit point: from CEDED only the destination's word leads out. A destination that is READY
 * holds its copy, which may be the last one, until the source or an operator has spoken.
 *
 * An operator's claim has a term of its own, one higher. When the other host comes back, the higher
 * term stands, at the same term the destination's; the other destroys what it has.
 *
 * Each state is on disk before the message that tells of it. Every rule may be run again after a
 * crash in the middle of it, so every step must be idempotent.
 */
#ifndef MIGRATE_HANDOVER_H
#define MIGRATE_HANDOVER_H

#include <stdbool.h>

/* The values are what the journal holds: append only. */
enum handover_state {
	HANDOVER_NONE = 0,
	HANDOVER_PREP,
	HANDOVER_SUSPENDED,
	HANDOVER_QUIESCED,
	HANDOVER_CEDED,
	HANDOVER_GONE,
	HANDOVER_ABORTED,
	HANDOVER_BUILDING,
	HANDOVER_READY,
	HANDOVER_OWNER,
	HANDOVER_REFUSED,
	HANDOVER_KEPT,	  /* source: ABORTED or CLAIMED, and the destination has nothing left */
	HANDOVER_CLAIMED, /* source: an operator took it back after CEDED, at a higher term */
	HANDOVER_STATES,
};

enum handover_event {
	EVENT_OFFER = 1, /* source: about to offer the domain. */
	EVENT_ACCEPT,	 /* destination: the offer was checked, building begins */
	EVENT_SUSPENDED, /* source: the guest stands still */
	EVENT_QUIESCED,	 /* source: all is sent and the disks are at rest */
	EVENT_COMPLETE,	 /* destination: after QUIESCED, the domain is complete and paused */
	EVENT_READY,	 /* source: the destination's READY came */
	EVENT_GO,	 /* destination: the source's GO came */
	EVENT_DONE,	 /* source: the destination's DONE came */
	EVENT_REFUSED,	 /* source: the destination's REFUSED came */
	EVENT_ABORT,	 /* destination: the source's ABORT came */
	EVENT_FAILED,	 /* something went wrong here, or the link was lost */
	EVENT_RESTART,	 /* the engine or the host died, and the journal was read again */
	EVENT_LOST,	 /* destination: as RESTART, and the copy is no longer there */
	EVENT_CONNECTED, /* source, after a loss: the destination can be asked again */
	EVENT_CLAIM,	 /* an operator vouches that the other host is dead and its copy with it */
	EVENT_OVERRULED, /* destination: the source has it back, at a higher term than ours */
	HANDOVER_EVENTS,
};

enum handover_step {
	STEP_NONE = 0,
	STEP_JOURNAL,  /* make the next state durable */
	STEP_RESUME,   /* source: its name again, and running if it was suspended */
	STEP_CEDE,     /* source: NAME--migratedaway, so that nobody starts it by its name */
	STEP_DESTROY,  /* no copy is left on this host */
	STEP_ACTIVATE, /* destination: its name, and running */
	STEP_SAY_QUIESCED,
	STEP_SAY_READY,
	STEP_SAY_GO,
	STEP_SAY_DONE,
	STEP_SAY_GONE,
	STEP_SAY_REFUSED,
	STEP_SAY_ABORT,
	STEP_SAY_CLAIM,
	HANDOVER_STEP_KINDS,
};

#define HANDOVER_STEPS_MAX 3

struct handover_rule {
	enum handover_state next;		     /* HANDOVER_NONE: no such rule, stay */
	enum handover_step step[HANDOVER_STEPS_MAX]; /* in order, STEP_NONE fills up */
};

/* What to do when `event` comes in `state`. A rule whose `next` is HANDOVER_NONE means: nothing. */
struct handover_rule handover_rule(enum handover_state state, enum handover_event event);

/* May the domain run on the host whose journal ends in this state? */
bool handover_may_run(enum handover_state state);

/* May the host whose journal ends in this state still need two DRBD primaries? */
bool handover_needs_window(enum handover_state state);

enum handover_role { HANDOVER_NEITHER = 0, HANDOVER_SOURCE, HANDOVER_DESTINATION };

/* Which side of the hand-over the host is whose journal ends in this state. */
enum handover_role handover_role(enum handover_state state);

/* Is the hand-over over for the host whose journal ends in this state? */
bool handover_settled(enum handover_state state);

const char *handover_state_name(enum handover_state state);
const char *handover_event_name(enum handover_event event);
const char *handover_step_name(enum handover_step step);

#endif
