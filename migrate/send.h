/* SPDX-License-Identifier: GPL-2.0-or-later */
/* send: the parts of lifeboat-send, the source's engine of one move. */
#ifndef MIGRATE_SEND_H
#define MIGRATE_SEND_H

#include "migrate/policy.h"
#include "migrate/source.h"
#include "netfix/learn.h"
#include "migrate/steer.h"
#include "migrate/window.h"

/* Milestones of the move, clock_ms() values, 0 until reached. */
struct send_times {
	int64_t start, accepted, first, round;
	int64_t announced; /* SUSPENDING was said, or is not */
	int64_t suspending, suspended, quiesced, ready, go, done;
};

/* What the user asked for; the config has the defaults. */
struct send_wish {
	uint32_t max_downtime_ms;
	uint32_t timeout_s; /* 0 = as long as it takes */
	uint64_t bwlimit;   /* bytes a second, 0 = none */
	enum config_no_converge on_no_converge;
	bool still;	  /* not live: the guest stands still from the first page */
	uint32_t streams; /* at most; 1 with a bwlimit */
};

/*
 * Pages go on several streams, each on a link of its own with a lifeboat-wire at either end, so
 * that all of a host's cores encode and seal. All that is not pages goes on the first.
 */
struct stream {
	struct link *link; /* the first one's is the source's */
	struct link own;
	struct window window;
	uint64_t pages; /* with contents, said here */
};

/* Pages that the destination acknowledged, and the time they took. */
struct send_rate {
	uint64_t pages;
	double ms;
};

struct send {
	struct source src;
	struct config cfg;
	struct stream stream[RECORD_STREAMS_MAX];
	unsigned nr_streams; /* 0 = the session has not begun or is over */
	unsigned streams;    /* that it had at its end */
	unsigned turn;	     /* the one that the next batch goes on */
	uint64_t fence;	     /* so many records of the first one come before the next pages */
	unsigned rejoins;    /* how often one went on on another link */
	bool asked;    /* the link ended at the hand-over, so that the destination was asked */
	uint64_t pace; /* as last said */
	int client;    /* the program that asked */
	char *json;    /* the domain's configuration; NULL = not read yet */
	struct record_done done;
	struct send_times at;
	struct send_wish wish;
	struct steer steer;
	struct learner learner; /* of the guest's addresses */
	bool check_only, estimate;
	bool force;		  /* risks do not stop it */
	struct findings found;	  /* by both hosts */
	bool refused;		  /* among what the destination found is what it refused for */
	bool stopped;		  /* s->err is a finding, with its host */
	char host[HOST_NAME_LEN]; /* as asked for */

	/* progress */
	unsigned rounds;
	uint64_t pages, round_pages, round_dirty, previous_left, dirty_per_s;
	struct send_rate rate;
	uint32_t stalled_rounds, cpu_percent, fixed_ms;
	uint32_t promote_ms;   /* that the destination's disks took to become writable */
	uint64_t predicted_ms; /* of the pause, by the last decision */
	uint64_t pages_live;   /* sent before the guest stood still */
	unsigned barriers;
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

/*
 * send_estimate.c: the destination has accepted an OFFER with TRIAL: watch the domain, try the
 * link, and say how a move would go.
 */
int send_estimate(struct send *s) WARN_UNUSED;

/* Likewise, before a move that is not live: tell the client how long the guest will stand still. */
int send_announce(struct send *s) WARN_UNUSED;

/* send_stream.c: run hv->save() into the link. On 0 the domain is suspended and all is sent. */
int send_stream(struct send *s) WARN_UNUSED;

/*
 * send_session.c: what is said from ACCEPT to QUIESCED, on s->wish.streams links or as many of them
 * as can be had. Until SUSPENDING is said, a link that is lost is replaced within cfg.resume_s, and
 * nothing above notices; they fail when that is over, when the destination has given up, or with
 * -ECANCELED.
 *
 * Order: what is not pages is applied after all that was said before it and before all that is said
 * after it. Batches between two such records, or rounds, may be applied in any order.
 */
int send_session_begin(struct send *s) WARN_UNUSED;
void send_session_end(struct send *s);
/* Where the contents of this batch go, whose entries are known; waits. NULL: reason in s->err. */
uint8_t *send_room(struct send *s, const struct page_batch *batch);
/* The batch that room was asked for last. */
int send_pages(struct send *s, const struct page_batch *batch) WARN_UNUSED;
int send_say(struct send *s, uint32_t type, const void *body, size_t len) WARN_UNUSED;
/* Did the destination say something, or the user? Does not block. */
int send_look_around(struct send *s) WARN_UNUSED;
/* The end of a round: wait until all that was said is applied there. */
int send_round(struct send *s, uint32_t round) WARN_UNUSED;
/* Likewise amid a round of an estimate, of which each batch is answered. */
int send_settle(struct send *s) WARN_UNUSED;
/* So far, on all links that there were. */
uint64_t send_wire_bytes(const struct send *s);

/* Listen to the guest's frames from now on; it can be moved and announced without. */
void send_begin_learning(struct send *s);

/* The next record, or one that must be `type`; -ECANCELED when it is called off meanwhile. */
int send_hear(struct send *s, int64_t deadline) WARN_UNUSED;
int send_expect(struct send *s, uint32_t type, int64_t deadline) WARN_UNUSED;
/* Wait until all that was sent is applied there. */
int send_barrier(struct send *s) WARN_UNUSED;
/* How fast frames of the first stream may leave from now on; 0 = no limit. */
int send_pace(struct send *s, uint64_t bytes_per_s) WARN_UNUSED;
/* Acknowledged pages a second, 0 = not known yet. */
uint64_t send_pages_per_s(const struct send *s);

/* send_report.c: what the client is told; none of it ever fails the move. */
void send_findings(struct send *s, bool can_move);
void send_progress(struct send *s, const char *phase);
/* A sentence that the user should see in any case. */
void send_notice(struct send *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void send_result(struct send *s, int rc);

#endif
