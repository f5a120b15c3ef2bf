/* SPDX-License-Identifier: GPL-2.0-or-later */
/* send: the parts of lifeboat-send, the source's engine of one move. */
#ifndef MIGRATE_SEND_H
#define MIGRATE_SEND_H

#include "migrate/policy.h"
#include "migrate/source.h"

/* Milestones of the move, clock_ms() values, 0 until reached. */
struct send_times {
	int64_t start, round, suspending, suspended, quiesced, ready, go, done;
};

struct send {
	struct source src;
	struct config cfg;
	int client; /* the program that asked */
	struct record_done done;
	struct send_times at;
	uint32_t max_downtime_ms;
	bool check_only;
	bool force;		  /* risks do not stop it */
	struct findings found;	  /* by both hosts */
	bool refused;		  /* among what the destination found is what it refused for */
	bool stopped;		  /* s->err is a finding, with its host */
	char host[HOST_NAME_LEN]; /* as asked for */

	/* progress */
	unsigned rounds;
	uint64_t pages, round_pages, round_dirty, previous_dirty, pages_per_s, dirty_per_s;
	uint32_t stalled_rounds;
	int64_t last_event;
	struct error *err;
};

/* send_check.c: this host's findings. 0 also when there are some. */
int send_look(struct send *s) WARN_UNUSED;
/* The answer to OFFER: what was found there, then ACCEPT, whose term is filled in, or REFUSED. */
int send_hear_accept(struct send *s, uint64_t *term) WARN_UNUSED;
/* s->err becomes one more blocker, found on `host`. */
void send_trouble(struct send *s, const char *code, const char *host);
/* Does anything found so far stop it? */
bool send_must_stop(const struct send *s);
/* Tell the client all of it. 0 = go on, -ECANCELED = stopped, with the worst of it in s->err. */
int send_verdict(struct send *s) WARN_UNUSED;

/* send_stream.c: run hv->save() into the link. On 0 the domain is suspended and all is sent. */
int send_stream(struct send *s) WARN_UNUSED;

/* send_report.c: what the client is told; none of it ever fails the move. */
void send_findings(struct send *s, bool can_move);
void send_progress(struct send *s, const char *phase);
void send_result(struct send *s, int rc);

#endif
