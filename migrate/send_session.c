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

int send_session_begin(struct send *s)
{
	int rc = window_open(&s->window);

	if (rc == 0)
		rc = window_pass(&s->window, s->src.sock, deadline_in(STALL_MS));
	return rc ? error_sys(s->err, rc, NULL, "cannot share memory with lifeboat-wire") : 0;
}

void send_session_end(struct send *s)
{
	window_close(&s->window);
}

/* One try: a new link, what the destination has of the old one's, and the rest again. */
static int rejoin(struct send *s, struct error *err)
{
	struct source *src = &s->src;
	struct record_resolve join = {.term = src->engine.entry.term};
	uint8_t body[64];
	int rc = source_connect(src, err);

	memcpy(join.uuid, src->engine.entry.uuid, sizeof(join.uuid));
	memcpy(join.token, src->engine.entry.token, sizeof(join.token));
	if (rc == 0)
		rc = record_write(src->sock, RECORD_JOIN, body,
			record_put_resolve(body, sizeof(body), &join), deadline_in(JOINED_MS));
	if (rc == 0)
		rc = link_expect(src->sock, &src->rec, RECORD_JOINED, &src->stats,
			deadline_in(JOINED_MS), err);
	if (rc == 0)
		rc = window_applied(&s->window, &src->rec);
	if (rc == 0 && s->pace)
		rc = send_pace(s, s->pace);
	if (rc == 0)
		rc = window_pass(&s->window, src->sock, deadline_in(STALL_MS));
	return rc && !err->rc
		       ? error_sys(err, rc, NULL, "%s did not take it up again", src->peer->name)
		       : rc;
}

static int rejoin_until(struct send *s, int64_t deadline)
{
	for (;;) {
		struct error again = ERROR_INIT;
		int rc;

		source_disconnect(&s->src);
		rc = rejoin(s, &again);
		if (rc == -EREMOTEIO)
			*s->err = again; /* nothing of it is left there: the last word */
		if (rc == 0 || rc == -EREMOTEIO)
			return rc;
		log_debug("%s: %s", s->src.name, again.what);
		if (clock_ms() >= deadline)
			return -ECONNRESET;
		rc = steer_wait(&s->steer, -1, 0, deadline_in(AGAIN_MS), s->err);
		if (rc != -ETIMEDOUT)
			return rc;
	}
}

/*
 * The link failed with `rc` and the reason in s->err. 0 = it goes on, on another one. A guest that
 * stands still does not wait for that.
 */
static int lost(struct send *s, int rc)
{
	struct error why = *s->err;
	int64_t start = clock_ms();

	if ((rc != -ECONNRESET && rc != -ETIMEDOUT) || s->at.suspending || !s->cfg.resume_s)
		return rc;
	send_notice(s, "%s; trying again for up to %u s", why.what, s->cfg.resume_s);
	*s->err = ERROR_INIT;
	rc = rejoin_until(s, start + (int64_t)s->cfg.resume_s * 1000);
	if (rc == -ECONNRESET)
		*s->err = why;
	if (rc)
		return rc;
	s->rejoins++;
	send_notice(s, "went on after %.1f s", (double)(clock_ms() - start) / 1000);
	return 0;
}

/* One record is there, or the link's end: only APPLIED may come. */
static int hear_applied(struct send *s)
{
	struct source *src = &s->src;
	int rc = link_read(src->sock, &src->rec, &src->stats, deadline_in(STALL_MS), s->err);

	if (rc)
		return lost(s, rc);
	if (src->rec.type != RECORD_APPLIED || window_applied(&s->window, &src->rec))
		return error_set(s->err, -EPROTO, NULL, "%s sent %s out of turn", src->peer->name,
			record_type_name(src->rec.type));
	return 0;
}

int send_look_around(struct send *s)
{
	struct pollfd p = {.fd = s->src.sock, .events = POLLIN};
	int rc = steer_look(&s->steer, s->err);

	while (rc == 0 && poll(&p, 1, 0) > 0) {
		rc = hear_applied(s);
		p.fd = s->src.sock;
	}
	return rc;
}

/* Wait for the destination's next word, not for ever. */
static int await(struct send *s)
{
	int64_t stalled = deadline_in(STALL_MS);
	int rc;

	do {
		rc = steer_wait(&s->steer, s->src.sock, POLLIN, deadline_in(PROGRESS_MS), s->err);
	} while (rc == -ETIMEDOUT && clock_ms() < stalled);
	if (rc == -ETIMEDOUT)
		return lost(s, error_set(s->err, rc, "Check the network between the hosts",
				       "the link to %s takes no data any more", s->src.peer->name));
	return rc ? rc : hear_applied(s);
}

static int wait_for_room(struct send *s)
{
	int rc = 0;

	while (rc == 0 && !window_has_room(&s->window))
		rc = await(s);
	return rc;
}

uint8_t *send_room(struct send *s)
{
	return wait_for_room(s) ? NULL : window_room(&s->window);
}

/* It is in the window whatever came of it, so that another link begins with it. */
static int said(struct send *s, int rc)
{
	if (rc == 0 || rc == -ENOMEM || rc == -EMSGSIZE)
		return rc ? error_sys(s->err, rc, NULL, "cannot send the pages of %s", s->src.name)
			  : 0;
	return lost(s, source_broken(&s->src, rc, s->err));
}

int send_pages(struct send *s, const struct page_batch *batch)
{
	int rc = wait_for_room(s);

	return rc ? rc
		  : said(s, window_say_pages(
				    &s->window, s->src.sock, batch, deadline_in(STALL_MS)));
}

int send_say(struct send *s, uint32_t type, const void *body, size_t len)
{
	int rc = wait_for_room(s);

	return rc ? rc
		  : said(s, window_say(&s->window, s->src.sock, type, body, len,
				    deadline_in(STALL_MS)));
}

int send_settle(struct send *s)
{
	int rc = 0;

	while (rc == 0 && s->window.applied < s->window.said)
		rc = await(s);
	return rc;
}
