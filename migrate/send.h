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
	char host[HOST_NAME_LEN]; /* as asked for */

	/* progress */
	unsigned rounds;
	uint64_t pages, round_pages, round_dirty, previous_dirty, pages_per_s, dirty_per_s;
	uint32_t stalled_rounds;
	int64_t last_event;
	struct error *err;
};

/* send_stream.c: run hv->save() into the link. On 0 the domain is suspended and all is sent. */
int send_stream(struct send *s) WARN_UNUSED;

/* send_report.c: what the client is told; none of it ever fails the move. */
void send_progress(struct send *s, const char *phase);
void send_result(struct send *s, int rc);

#endif
