/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/send.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define STALL_MS    60000 /* a link that takes nothing for so long is given up */
#define PROGRESS_MS 250
#define JOINED_MS   10000
#define AGAIN_MS    500

/* A link for stream `k`: what the destination has of it, and the rest again. */
static int join(struct send *s, unsigned k, struct error *err)
{
	struct source *src = &s->src;
	struct stream *stream = &s->stream[k];
	struct link *link = stream->link;
	struct record_resolve word = {.term = src->engine.entry.term, .stream = k};
	uint8_t body[64];
	int rc = link_up(link, &s->cfg, src->peer, &src->rec, err);

	memcpy(word.uuid, src->engine.entry.uuid, sizeof(word.uuid));
	memcpy(word.token, src->engine.entry.token, sizeof(word.token));
	if (rc == 0)
		rc = record_write(link->sock, RECORD_JOIN, body,
			record_put_join(body, sizeof(body), &word), deadline_in(JOINED_MS));
	if (rc == 0)
		rc = link_expect(link->sock, &src->rec, RECORD_JOINED, &link->stats,
			deadline_in(JOINED_MS), err);
	if (rc == 0)
		rc = window_applied(&stream->window, &src->rec);
	if (rc == 0 && s->pace) /* then there is but one */
		rc = send_pace(s, s->pace);
	if (rc == 0)
		rc = window_pass(&stream->window, link->sock, deadline_in(STALL_MS));
	return rc && !err->rc
		       ? error_sys(err, rc, NULL, "%s did not take it up again", src->peer->name)
		       : rc;
}

/* One more stream; a move goes on without. */
static bool add_stream(struct send *s)
{
	struct stream *stream = &s->stream[s->nr_streams];
	struct error why = ERROR_INIT;
	int rc;

	*stream = (struct stream){.own = LINK_INIT, .link = &stream->own};
	rc = window_open(&stream->window);
	if (rc == 0)
		rc = join(s, s->nr_streams, &why);
	if (rc) {
		log_warn("%s: %u streams only: %s", s->src.name, s->nr_streams,
			why.rc ? why.what : strerror(-rc));
		link_down(stream->link);
		window_close(&stream->window);
		return false;
	}
	s->nr_streams++;
	return true;
}

void send_session_end(struct send *s)
{
	if (!s->nr_streams)
		return; /* it has not begun */
	s->streams = s->nr_streams;
	for (; s->nr_streams > 1; s->nr_streams--) {
		struct stream *stream = &s->stream[s->nr_streams - 1];

		link_down(stream->link);
		s->src.link.past.bytes_out += stream->link->past.bytes_out;
		s->src.link.past.bytes_in += stream->link->past.bytes_in;
		window_close(&stream->window);
	}
	window_close(&s->stream[0].window);
	s->nr_streams = 0;
}

uint64_t send_wire_bytes(const struct send *s)
{
	uint64_t sum = link_bytes_out(&s->src.link);

	for (unsigned k = 1; k < s->nr_streams; k++)
		sum += link_bytes_out(s->stream[k].link);
	return sum;
}

static int rejoin_until(struct send *s, unsigned k, int64_t deadline)
{
	for (;;) {
		struct error again = ERROR_INIT;
		int rc;

		link_down(s->stream[k].link);
		rc = join(s, k, &again);
		if (rc == -EREMOTEIO)
			*s->err = again; /* nothing of it is left there: the last word */
		if (rc == 0 || rc == -EREMOTEIO)
			return rc;
		log_debug("%s: %s", s->src.name, again.what);
		if (clock_ms() >= deadline)
			return -ECONNRESET;
		rc = steer_wait(&s->steer, NULL, 0, deadline_in(AGAIN_MS), s->err);
		if (rc != -ETIMEDOUT)
			return rc;
	}
}

/*
 * The link of stream `k` failed with `rc` and the reason in s->err. 0 = it goes on, on another one.
 * A guest that stands still, or is about to, does not wait for that.
 */
static int lost(struct send *s, unsigned k, int rc)
{
	struct error why = *s->err;
	int64_t start = clock_ms();

	if ((rc != -ECONNRESET && rc != -ETIMEDOUT) || s->at.announced || !s->cfg.resume_s)
		return rc;
	send_notice(s, "%s; trying again for up to %u s", why.what, s->cfg.resume_s);
	*s->err = ERROR_INIT;
	rc = rejoin_until(s, k, start + (int64_t)s->cfg.resume_s * 1000);
	if (rc == -ECONNRESET)
		*s->err = why;
	if (rc)
		return rc;
	s->rejoins++;
	send_notice(s, "went on after %.1f s", (double)(clock_ms() - start) / 1000);
	return 0;
}

/* One record is there, or the link's end: only APPLIED may come. */
static int hear_applied(struct send *s, unsigned k)
{
	struct source *src = &s->src;
	struct link *link = s->stream[k].link;
	int rc = link_read(link->sock, &src->rec, &link->stats, deadline_in(STALL_MS), s->err);

	if (rc)
		return lost(s, k, rc);
	if (src->rec.type != RECORD_APPLIED || window_applied(&s->stream[k].window, &src->rec))
		return error_set(s->err, -EPROTO, NULL, "%s sent %s out of turn", src->peer->name,
			record_type_name(src->rec.type));
	return 0;
}

/* Hear each stream that has something to say, until `deadline` if none has. 0 or -ETIMEDOUT. */
static int hear_any(struct send *s, int64_t deadline)
{
	struct pollfd p[RECORD_STREAMS_MAX];
	int rc;

	for (unsigned k = 0; k < s->nr_streams; k++)
		p[k] = (struct pollfd){.fd = s->stream[k].link->sock, .events = POLLIN};
	rc = steer_wait(&s->steer, p, s->nr_streams, deadline, s->err);
	for (unsigned k = 0; rc == 0 && k < s->nr_streams; k++)
		if (p[k].revents)
			rc = hear_applied(s, k);
	return rc;
}

int send_look_around(struct send *s)
{
	int rc;

	do {
		rc = hear_any(s, clock_ms());
	} while (rc == 0);
	return rc == -ETIMEDOUT ? 0 : rc;
}

/* Wait for the destination's next word, which is due on stream `k`, not for ever. */
static int await(struct send *s, unsigned k)
{
	int64_t stalled = deadline_in(STALL_MS);
	int rc;

	do {
		rc = hear_any(s, deadline_in(PROGRESS_MS));
	} while (rc == -ETIMEDOUT && clock_ms() < stalled);
	if (rc == -ETIMEDOUT)
		return lost(s, k,
			error_set(s->err, rc, "Check the network between the hosts",
				"the link to %s takes no data any more", s->src.peer->name));
	return rc;
}

static int settle(struct send *s, unsigned k, uint64_t count)
{
	int rc = 0;

	while (rc == 0 && s->stream[k].window.applied < count)
		rc = await(s, k);
	return rc;
}

static int wait_for_room(struct send *s, unsigned k)
{
	int rc = 0;

	while (rc == 0 && !window_has_room(&s->stream[k].window))
		rc = await(s, k);
	return rc;
}

/* It is in the window whatever came of it, so that another link begins with it. */
static int said(struct send *s, unsigned k, int rc)
{
	if (rc == 0)
		return 0;
	if (rc == -ENOMEM || rc == -EMSGSIZE)
		return error_sys(s->err, rc, NULL, "cannot send the pages of %s", s->src.name);
	return lost(s, k, source_broken(&s->src, s->stream[k].link, rc, s->err));
}

int send_session_begin(struct send *s)
{
	struct stream *first = &s->stream[0];
	int rc;

	*first = (struct stream){.link = &s->src.link};
	s->fence = 0;
	rc = window_open(&first->window);
	if (rc)
		return error_sys(s->err, rc, NULL, "cannot share memory with lifeboat-wire");
	rc = said(s, 0, window_pass(&first->window, first->link->sock, deadline_in(STALL_MS)));
	if (rc) {
		window_close(&first->window);
		return rc;
	}
	s->nr_streams = 1;
	while (s->nr_streams < s->wish.streams && add_stream(s))
		;
	return 0;
}

/*
 * In the first round, and for an estimate, the one that has most room. Later always the same for
 * the same page, since that is where its last version is kept, of which only the difference is
 * sent.
 */
static unsigned choose(const struct send *s, const struct page_batch *batch)
{
	unsigned best = 0;

	if (s->barriers && !s->check_only)
		return (unsigned)(page_region(batch->entry[0]) % s->nr_streams);
	for (unsigned k = 1; k < s->nr_streams; k++)
		if (s->stream[k].window.lane.in_use < s->stream[best].window.lane.in_use)
			best = k;
	return best;
}

uint8_t *send_room(struct send *s, const struct page_batch *batch)
{
	int rc;

	s->turn = choose(s, batch);
	rc = wait_for_room(s, s->turn);
	/* What came before the pages, on the first stream, must be there before them. */
	if (rc == 0 && s->turn)
		rc = settle(s, 0, s->fence);
	return rc ? NULL : window_room(&s->stream[s->turn].window);
}

int send_pages(struct send *s, const struct page_batch *batch)
{
	struct stream *stream = &s->stream[s->turn];

	stream->pages += page_batch_contents(batch);
	verify_batch(&s->src.verify, s->turn, stream->window.said, batch);
	return said(s, s->turn,
		window_say_pages(
			&stream->window, stream->link->sock, batch, deadline_in(STALL_MS)));
}

static int say(struct send *s, unsigned k, uint32_t type, const void *body, size_t len)
{
	struct stream *stream = &s->stream[k];
	int rc = wait_for_room(s, k);

	return rc ? rc
		  : said(s, k,
			    window_say(&stream->window, stream->link->sock, type, body, len,
				    deadline_in(STALL_MS)));
}

/* What came on stream `k` is a round, or the part of one that must be there before what follows. */
static int mark(struct send *s, unsigned k, uint32_t round)
{
	const struct record_round mark = {.round = round, .pages = s->stream[k].pages};
	uint8_t body[32];

	return say(s, k, RECORD_ROUND, body, record_put_round(body, sizeof(body), &mark));
}

static int settle_from(struct send *s, unsigned first)
{
	int rc = 0;

	for (unsigned k = first; rc == 0 && k < s->nr_streams; k++)
		rc = settle(s, k, s->stream[k].window.said);
	return rc;
}

int send_round(struct send *s, uint32_t round)
{
	int rc = 0;

	for (unsigned k = 0; rc == 0 && k < s->nr_streams; k++)
		rc = mark(s, k, round);
	return rc ? rc : settle_from(s, 0);
}

int send_settle(struct send *s)
{
	return settle_from(s, 0);
}

int send_say(struct send *s, uint32_t type, const void *body, size_t len)
{
	int rc = 0;

	/* On the first stream the order is that of what is said. */
	for (unsigned k = 1; rc == 0 && k < s->nr_streams; k++)
		if (s->stream[k].window.applied < s->stream[k].window.said)
			rc = mark(s, k, s->barriers);
	if (rc == 0)
		rc = settle_from(s, 1);
	if (rc == 0)
		rc = say(s, 0, type, body, len);
	s->fence = s->stream[0].window.said;
	return rc;
}
