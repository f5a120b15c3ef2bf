/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/receive.h"
#include "migrate/window.h"

#define DESTINATION_SLOTS 4 /* lifeboat-wire decodes one while another is applied */
#define SAY_MS		  30000

void receive_streams_init(struct receive *r)
{
	r->join = JOIN_INIT;
	for (unsigned i = 0; i < RECORD_STREAMS_MAX; i++)
		r->stream[i] = (struct stream){.sock = -1, .lane = LANE_INIT};
	r->stream[0].sock = WIRE_FD;
	r->stream[0].began = true;
}

static void close_stream(struct stream *s)
{
	lane_dispose(&s->lane);
	fd_close(&s->sock);
}

void receive_streams_end(struct receive *r)
{
	join_close(&r->join);
	for (unsigned i = 1; i < RECORD_STREAMS_MAX; i++)
		close_stream(&r->stream[i]);
}

void receive_streams_dispose(struct receive *r)
{
	receive_streams_end(r);
	lane_dispose(&r->stream[0].lane);
}

/* A link may be lost at any time, also while it begins: the next that is read of it says so. */
static void leave_to_hearing(
	const struct receive *r, const struct stream *s, const char *what, int rc)
{
	log_debug("%s: stream %td: %s: %s", r->dst.name, s - r->stream, what, strerror(-rc));
}

static int share_lane(struct receive *r, struct stream *s)
{
	int rc = lane_create(&s->lane, DESTINATION_SLOTS);

	if (rc)
		return error_sys(&r->err, rc, NULL, "no memory to share with lifeboat-wire");
	rc = lane_pass(&s->lane, s->sock, deadline_in(SAY_MS));
	if (rc)
		leave_to_hearing(r, s, "no lane", rc);
	return 0;
}

int receive_streams_begin(struct receive *r)
{
	int rc = share_lane(r, &r->stream[0]);

	if (rc == 0 && join_open(&r->join, &r->cfg, r->dst.engine.entry.token))
		log_warn("%s: no other link can come, nor one that is lost come back", r->dst.name);
	return rc;
}

/* What may be lost with the link: the source asks for it when it comes back. */
static void say_applied(const struct receive *r, const struct stream *s, enum record_type type)
{
	uint8_t body[16];
	int rc = record_write(s->sock, type, body,
		record_put_applied(body, sizeof(body), s->applied), deadline_in(SAY_MS));

	if (rc)
		leave_to_hearing(r, s, record_type_name(type), rc);
}

/* Counted on both hosts: what is applied is not said again. */
void receive_applied(struct receive *r, uint32_t type)
{
	struct stream *s = &r->stream[r->at];

	s->applied++;
	if (s->sock < 0 || (type == RECORD_PAGES && r->phase == PHASE_BUILDING &&
				   s->applied % WINDOW_SAY_EVERY))
		return;
	say_applied(r, s, RECORD_APPLIED);
}

/* Stream 0 keeps its descriptor, which others know. */
static int place(struct stream *s, bool first, int link)
{
	lane_dispose(&s->lane);
	if (!first) {
		fd_close(&s->sock);
		s->sock = link;
		return 0;
	}
	if (dup2(link, WIRE_FD) < 0) {
		int rc = -errno;

		fd_close(&link);
		return rc;
	}
	fd_close(&link);
	return 0;
}

/* A link of our source: a stream begins, or goes on. */
static int join_stream(struct receive *r, unsigned number, int link)
{
	struct stream *s = &r->stream[number];
	int rc = place(s, number == 0, link);

	if (rc)
		return error_sys(&r->err, rc, NULL, "no descriptor for a link");
	say_applied(r, s, RECORD_JOINED);
	rc = share_lane(r, s);
	if (s->began)
		log_info("%s: %s came back on another link, after %llu records", r->dst.name,
			r->peer, (unsigned long long)s->applied);
	s->began = true;
	if (number == 0)
		r->lost = 0;
	return rc;
}

static int take_link(struct receive *r)
{
	struct join_word word;
	int link = join_take(&r->join, &word);

	if ((link >= 0 || link == -ENODATA) && strcmp(word.peer, r->peer) == 0)
		return link >= 0 ? join_stream(r, word.stream, link)
				 : error_set(&r->err, -EREMOTEIO, NULL,
					   "the source called the move off");
	log_warn("%s: a link that is not its source's was turned away", r->dst.name);
	fd_close(&link);
	return 0;
}

/* Wait for something: a stream's record (r->at), or a link. 0 or -EAGAIN. */
static int await(struct receive *r, int64_t deadline)
{
	struct pollfd p[RECORD_STREAMS_MAX + 1];
	unsigned turn = r->at;
	int n, rc;

	for (unsigned i = 0; i < RECORD_STREAMS_MAX; i++)
		p[i] = (struct pollfd){
			.fd = i == 0 && r->lost ? -1 : r->stream[i].sock, .events = POLLIN};
	p[RECORD_STREAMS_MAX] = (struct pollfd){.fd = r->join.listen, .events = POLLIN};
	n = poll(p, RECORD_STREAMS_MAX + 1, deadline_poll_ms(r->lost ? r->lost : deadline));
	if (n < 0 && errno != EINTR)
		return error_sys(&r->err, -errno, NULL, "cannot wait");
	if (r->lost && clock_ms() >= r->lost)
		return error_set(&r->err, -ECONNRESET, NULL,
			"the link to %s was lost and did not come back within %u s", r->peer,
			r->cfg.resume_s);
	if (n == 0 && clock_ms() >= deadline)
		return error_set(&r->err, -ETIMEDOUT, NULL, "%s says nothing any more", r->peer);
	if (n > 0 && p[RECORD_STREAMS_MAX].revents) {
		rc = take_link(r);
		return rc ? rc : -EAGAIN;
	}
	for (unsigned i = 1; n > 0 && i <= RECORD_STREAMS_MAX; i++) {
		r->at = (turn + i) % RECORD_STREAMS_MAX; /* each in its turn */
		if (p[r->at].revents)
			return 0;
	}
	return -EAGAIN;
}

/* Stream r->at ended with `rc`. -EAGAIN = another link may take its place. */
static int lost(struct receive *r, int rc)
{
	struct stream *s = &r->stream[r->at];

	if (rc != -ECONNRESET)
		return rc;
	if (r->at > 0) {
		log_debug("%s: stream %u: %s", r->dst.name, r->at, r->err.what);
		close_stream(s);
		r->err = ERROR_INIT;
		return -EAGAIN;
	}
	if (r->join.listen < 0 || !r->cfg.resume_s || r->phase != PHASE_BUILDING)
		return rc;
	log_warn("%s: %s; waiting up to %u s for another link", r->dst.name, r->err.what,
		r->cfg.resume_s);
	r->err = ERROR_INIT;
	r->lost = deadline_in((int64_t)r->cfg.resume_s * 1000);
	return -EAGAIN;
}

int receive_streams_hear(struct receive *r, int64_t patience_ms)
{
	int rc = await(r, patience_ms ? deadline_in(patience_ms) : DEADLINE_NEVER);

	if (rc)
		return rc;
	rc = link_read(r->stream[r->at].sock, &r->rec, NULL, DEADLINE_NEVER, &r->err);
	return rc ? lost(r, rc) : 0;
}
