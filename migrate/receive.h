/* SPDX-License-Identifier: GPL-2.0-or-later */
/* receive: the parts of lifeboat-receive, the destination's engine of one move. */
#ifndef MIGRATE_RECEIVE_H
#define MIGRATE_RECEIVE_H

#include "migrate/destination.h"
#include "migrate/join.h"
#include "migrate/link.h"
#include "netfix/address.h"

#define WIRE_FD 3 /* lifeboat-wire of the link that the offer was made on */

enum receive_phase {
	PHASE_WAITING = 0,
	PHASE_BUILDING,
	PHASE_READY,
	PHASE_OWNER,
	PHASE_TRIAL,
	PHASE_END,
	RECEIVE_PHASES
};

/*
 * Pages come on several streams, each on a link of its own. Stream 0 is the one that the offer was
 * made on; all that is not pages comes there, and the source makes sure of the order.
 */
struct stream {
	int sock;   /* -1 = none just now; the source's business, but for stream 0 */
	bool began; /* there was a link */
	struct lane lane;
	uint64_t pages, applied; /* pages with contents; records */
};

struct receive {
	struct config cfg;
	const char *peer;
	enum receive_phase phase;
	struct record rec;
	struct stream stream[RECORD_STREAMS_MAX];
	unsigned at; /* the stream of the record in hand */
	struct destination dst;
	struct join join;     /* where links may come; closed when they may not any more */
	int64_t lost;	      /* stream 0 is, until then another link may come; 0 = it stands */
	struct verify verify; /* of what the domain was built from */
	int scratch;	      /* memory for an estimate's pages; -1 = none yet */
	uint32_t tried;	      /* pages in it, with holes for those of zeros */
	struct findings found;
	bool offered;		    /* what began it was an OFFER */
	struct addresses addresses; /* the guest's, as the source learned them */
	int verdict;		    /* of announcing it; -1 = none is to come */
	int64_t verdict_by;
	struct error err;
};

/* receive_offer.c: the handler of OFFER; on 0 r->phase is what follows from it. */
int receive_offer(struct receive *r) WARN_UNUSED;
/* Say something on the first stream: 0 or -errno with the reason in r->err. */
int receive_reply(struct receive *r, uint32_t type, const void *body, size_t len) WARN_UNUSED;

/* receive_stream.c: the links of a domain that is being built. */
void receive_streams_init(struct receive *r);
void receive_streams_dispose(struct receive *r);
/* Stream 0 begins, and others may come. 0 or -errno with the reason in r->err. */
int receive_streams_begin(struct receive *r) WARN_UNUSED;
/* Its guest stands still: a source whose link is lost now would not wait, and needs but one. */
void receive_streams_end(struct receive *r);
/*
 * Waits for `patience_ms` at most, 0 = as long as the links stand. The next record, from whichever
 * stream has one: 0 and r->at; -EAGAIN when there is none yet, but a link came or went; else -errno
 * with the reason in r->err.
 */
int receive_streams_hear(struct receive *r, int64_t patience_ms) WARN_UNUSED;
/* A record of r->at was applied: count it, and tell the source now and then. */
void receive_applied(struct receive *r, uint32_t type);

#endif
