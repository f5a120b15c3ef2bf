/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * announce: tell the network where a guest is now, and prove that it has understood. Every frame
 * leaves the way the guest's own would, and only once its port forwards. The proof: somebody on the
 * network is asked in the guest's name, and the answer arrives at the guest's vif on this host.
 */
#ifndef NETFIX_ANNOUNCE_H
#define NETFIX_ANNOUNCE_H

#include "netfix/learn.h"

#define ANNOUNCE_ROUNDS	    7 /* over some three seconds */
#define ANNOUNCE_ROUNDS_MAX 20
#define PLACE_TEXT_LEN	    160

enum place_state {
	PLACE_REACHABLE = 1, /* an answer to the guest's MAC arrived at its vif */
	PLACE_UNKNOWN,	     /* announced, but there was nobody to ask */
	PLACE_SILENT,	     /* announced; nobody of those asked answered */
	PLACE_BLOCKED,	     /* its port does not forward: nothing could be sent */
	PLACE_FAILED,	     /* netfix itself could not do it */
	PLACE_STATES,
};

/* What came of it, in all or for a vif. */
struct place {
	enum place_state state;
	uint32_t forwarding_ms;	   /* since the start, until its port forwarded */
	uint32_t reachable_ms;	   /* since the start, until the first answer */
	uint32_t frames;	   /* sent as announcements */
	int fdb_rc;		   /* why its own bridge's table could not be corrected; 0 */
	char what[PLACE_TEXT_LEN]; /* a sentence without its full stop */
};

struct announce_job {
	struct netfix_vif vif[ADDRESS_VIFS_MAX];
	unsigned nr_vifs;
	struct addresses known; /* settled; a vif without an entry gets RARP */
	struct addresses ask;	/* who must answer; empty: gateways, or neighbours of this host */
	unsigned rounds;	/* 0: announce nothing, only ask */
	int64_t forward_ms;	/* how long a port may take to forward */
	int64_t answer_ms;	/* how long an answer may take after that */
	int64_t start;		/* clock_ms() that times count from */
	bool keep_fdb;		/* leave the local bridge's table alone */

	/* Called once, when the verdict over all vifs is known, before the last rounds. */
	void (*verdict)(void *ctx, const struct place *all);
	void *ctx;
};

/* Pause before this round, in ms; doubles from 50. Pure. */
int announce_pause_ms(unsigned round);

/* The announcements of one vif, in their order; at most `max`. Pure. */
struct announcement {
	struct frame frame;
	uint16_t vlan;
};
#define ANNOUNCEMENTS_MAX (2 * ADDRESSES_MAX)
unsigned announce_frames(const struct netfix_vif *vif, const struct addresses *known,
	struct announcement *out, unsigned max);

/* One answer for all vifs: the worst of them, the latest of them. Pure. */
void announce_verdict(const struct place *vif, unsigned nr, struct place *all);

const char *place_state_name(enum place_state state);

/*
 * Do it; blocks for all rounds. place[nr_vifs] is filled in any case. 0, or -errno with `err` when
 * it could not even begin (no CAP_NET_RAW).
 */
int announce_run(struct announce_job *job, struct place *place, struct error *err) WARN_UNUSED;

#endif
