/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboat-send: the source's engine of one move. lifeboatd starts it with the client's connection
 * as descriptor 3; it reads the request, moves the domain, reports, and ends.
 */
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/event.h"
#include "migrate/fixed.h"
#include "migrate/network.h"
#include "migrate/send.h"

#define CLIENT_FD    3
#define REQUEST_MS   5000
#define ACCEPT_MS    60000
#define READY_MS     180000 /* devices there, with the slowest hotplug scripts */
#define DONE_MS	     60000
#define ASK_MS	     60000 /* after a loss at the hand-over; then lifeboatd goes on asking */
#define ASK_PAUSE_MS 1000

/* By itself half of the cores, in which a lifeboat-wire each is busy; the others are the guests'.
 */
static uint32_t stream_count(int wanted)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (wanted <= 0)
		wanted = cores < 4 ? 1 : cores > 8 ? 4 : (int)cores / 2;
	return wanted < (int)RECORD_STREAMS_MAX ? (uint32_t)wanted : RECORD_STREAMS_MAX;
}

static int parse_request(struct send *s, const json_t *request)
{
	const char *domain = NULL, *to = NULL, *no_converge = NULL;
	int max_downtime = 0, timeout = 0, check = 0, force = 0, estimate = 0, still = 0;
	int streams = (int)s->cfg.streams;
	json_int_t bwlimit = (json_int_t)s->cfg.bwlimit;
	json_error_t why;

	if (json_unpack_ex((json_t *)(uintptr_t)request, &why, JSON_STRICT,
		    "{s:s, s:s, s?i, s?b, s?b, s?i, s?I, s?s, s?b, s?b, s?i}", "domain", &domain,
		    "host", &to, "max_downtime_ms", &max_downtime, "check_only", &check, "force",
		    &force, "timeout_s", &timeout, "bwlimit", &bwlimit, "on_no_converge",
		    &no_converge, "estimate", &estimate, "pause", &still, "streams", &streams) != 0)
		return error_set(s->err, -EINVAL, NULL, "bad request: %s", why.text);
	snprintf(s->host, sizeof(s->host), "%s", to);
	if (!domain_name_valid(domain))
		return error_set(s->err, -EINVAL, "'hv list' shows the domains",
			"'%s' is no domain name", domain);
	snprintf(s->src.name, sizeof(s->src.name), "%s", domain);
	s->check_only = check || estimate;
	s->force = force;
	s->estimate = estimate;
	s->wish = (struct send_wish){
		.max_downtime_ms =
			max_downtime > 0 ? (uint32_t)max_downtime : s->cfg.max_downtime_ms,
		.timeout_s = timeout > 0 ? (uint32_t)timeout : 0,
		.bwlimit = bwlimit > 0 ? (uint64_t)bwlimit : 0,
		.on_no_converge =
			no_converge ? config_no_converge(no_converge) : s->cfg.on_no_converge,
		.still = still,
		.streams = bwlimit > 0 ? 1 : stream_count(streams),
	};
	if (!s->wish.on_no_converge)
		return error_set(s->err, -EINVAL, NULL, "bad request: on_no_converge");
	return 0;
}

static int read_request(struct send *s)
{
	struct event_reader *reader = calloc(1, sizeof(*reader));
	json_t *request = NULL;
	int rc = -ENOMEM;

	if (reader) {
		reader->fd = s->client;
		rc = event_next(reader, &request, deadline_in(REQUEST_MS));
	}
	rc = rc ? error_sys(s->err, rc, NULL, "no readable request") : parse_request(s, request);
	/* Ctrl-C may be as quick as we are: whatever follows the request calls it off. */
	if (rc == 0 && reader->used)
		rc = error_set(s->err, -ECANCELED, NULL, "cancelled; %s runs on here", s->src.name);
	json_decref(request);
	free(reader);
	return rc;
}

static int find_peer(struct send *s)
{
	s->src.peer = config_peer_by_name(&s->cfg, s->host);
	if (s->src.peer)
		return 0;
	error_set(s->err, -ENOENT, NULL, "no peer '%s' is configured on this host", s->host);
	error_fix(s->err, "Add it to %s with its address and its key, or correct the name",
		s->cfg.path);
	return -ENOENT;
}

static int find_domain(struct send *s)
{
	struct source *src = &s->src;
	int rc = hypervisor_open(&s->cfg, &src->hv, s->err);

	if (rc == 0)
		rc = src->hv->find(src->name, &src->dom, s->err);
	src->here = rc == 0;
	return rc ? rc : send_look(s);
}

/* From here on the move is in the journal, under a token of its own. */
static int open_journal(struct send *s)
{
	struct source *src = &s->src;
	struct engine *e = &src->engine;
	char move[PATH_MAX];
	int64_t deadline;
	int rc;

	/* A look by lifeboatd is waited for; another move is not. */
	steer_path(&s->cfg, src->name, move, sizeof(move));
	deadline = access(move, F_OK) == 0 ? 0 : deadline_in(ENGINE_BUSY_MS);
	rc = engine_open(e, &s->cfg, src->dom.uuid, source_step, src, deadline, s->err);

	/* What had the journal may have moved it meanwhile. */
	if (rc == 0)
		rc = src->hv->find(src->name, &src->dom, s->err);
	if (rc)
		return rc;
	if (memcmp(e->entry.uuid, src->dom.uuid, sizeof(e->entry.uuid)) != 0)
		return error_set(
			s->err, -EAGAIN, "Try again", "%s is another domain by now", src->name);
	if (!engine_knows(e, EVENT_OFFER)) {
		error_set(s->err, -EBUSY, NULL,
			"an earlier hand-over of %s with %s is still open (%s)", src->name,
			e->entry.peer, handover_state_name(engine_state(e)));
		error_fix(s->err, "migrate resolve %s", src->name);
		return -EBUSY;
	}
	randombytes_buf(e->entry.token, sizeof(e->entry.token));
	e->entry.term++;
	snprintf(e->entry.name, sizeof(e->entry.name), "%s", src->name);
	memcpy(e->entry.peer, src->peer->name, sizeof(e->entry.peer));
	return 0;
}

/*
 * What is slow on a busy host comes before the link: the other one closes a connection on which
 * nothing is said at first, since it may be a stranger's.
 */
static int reach(struct send *s)
{
	struct source *src = &s->src;
	int rc;

	free(s->json);
	s->json = NULL;
	rc = src->hv->config(&src->dom, &s->json, s->err);
	return rc ? rc : source_connect(src, s->err);
}

/* Ask the destination, which was reached. */
static int offer(struct send *s, uint32_t flags)
{
	struct source *src = &s->src;
	struct journal_entry *entry = &src->engine.entry;
	struct record_offer offer = {.version = RECORD_VERSION,
		.flags = flags | (s->force ? OFFER_FORCE : 0),
		.term = entry->term,
		.json = s->json,
		.json_len = (uint32_t)strlen(s->json)};
	size_t len;
	int rc;

	snprintf(offer.backend, sizeof(offer.backend), "%s", src->hv->name);
	memcpy(offer.name, src->name, sizeof(offer.name));
	memcpy(offer.uuid, src->dom.uuid, sizeof(offer.uuid));
	memcpy(offer.token, entry->token, sizeof(offer.token));
	len = record_put_offer(src->rec.body, RECORD_BODY_MAX, &offer);
	if (!len)
		return error_sys(s->err, -EMSGSIZE, NULL, "cannot offer %s", src->name);
	rc = record_write(src->link.sock, RECORD_OFFER, src->rec.body, len, deadline_in(ACCEPT_MS));
	rc = rc ? source_broken(src, &src->link, rc, s->err) : send_hear_accept(s, &offer.term);
	if (rc == 0 && offer.term < entry->term)
		rc = error_set(s->err, -EPROTO, NULL, "%s sent a bad ACCEPT", src->peer->name);
	if (rc == 0)
		entry->term = offer.term;
	s->at.accepted = clock_ms();
	return rc;
}

/* The stream and all that stands before the commit point. On failure the domain is not ceded. */
static int stream(struct send *s)
{
	struct source *src = &s->src;
	int rc = s->wish.bwlimit ? send_pace(s, s->wish.bwlimit) : 0;

	verify_init(&src->verify, src->engine.entry.token);
	if (rc == 0)
		rc = send_stream(s);
	if (rc)
		return rc;
	s->at.quiesced = clock_ms();
	send_progress(s, "building");
	rc = engine_drive(&src->engine, EVENT_QUIESCED, s->err);
	if (rc == 0)
		rc = send_expect(s, RECORD_READY, deadline_in(READY_MS));
	s->at.ready = clock_ms();
	return rc;
}

/* Ask until the destination answers or it takes too long; only its word leads out of CEDED. */
static int ask_again(struct send *s)
{
	int64_t deadline = deadline_in(ASK_MS);
	struct error why = ERROR_INIT;
	int rc;

	s->asked = true;
	send_progress(s, "in doubt, asking");
	link_down(&s->src.link);
	do {
		why = ERROR_INIT;
		rc = source_ask(&s->src, &why);
		if (rc == 0)
			break;
		clock_pause(ASK_PAUSE_MS);
	} while (clock_ms() < deadline);
	if (rc) {
		*s->err = ERROR_INIT;
		error_set(s->err, rc, NULL,
			"in doubt: the link to %s ended at the hand-over (%.200s)",
			s->src.peer->name, why.what);
		error_fix(s->err,
			"%s stays suspended here; lifeboatd goes on asking %s, and so does 'migrate resolve %s'. If %s is gone for good: 'migrate claim %s'",
			s->src.name, s->src.peer->name, s->src.name, s->src.peer->name,
			s->src.name);
	}
	return rc;
}

/* READY was heard: commit, and stay with it until the destination's word. */
static int commit(struct send *s)
{
	struct source *src = &s->src;
	int rc;

	rc = engine_drive(&src->engine, EVENT_READY, s->err);
	s->at.go = clock_ms();
	if (rc == 0)
		rc = link_expect(src->link.sock, &src->rec, RECORD_DONE, &src->link.stats,
			deadline_in(DONE_MS), s->err);
	if (rc == 0 && !record_get_done(&src->rec, &s->done))
		rc = error_set(s->err, -EPROTO, NULL, "%s sent a bad DONE", src->peer->name);
	s->at.done = clock_ms();
	if (rc == 0)
		return engine_drive(&src->engine, EVENT_DONE, s->err);
	if (rc == -EREMOTEIO || engine_state(&src->engine) != HANDOVER_CEDED)
		return rc;
	rc = ask_again(s);
	s->at.done = clock_ms();
	if (rc == 0 && engine_state(&src->engine) != HANDOVER_GONE)
		rc = -EREMOTEIO; /* it was refused after all; s->err has what broke the link */
	return rc;
}

/* Nothing will move, so nothing that goes wrong hides the rest: it is one more finding. */
static int check(struct send *s)
{
	struct source *src = &s->src;
	int rc = open_journal(s);

	if (rc)
		send_trouble(s, "open", s->cfg.host);
	randombytes_buf(src->engine.entry.token, sizeof(src->engine.entry.token));
	rc = reach(s);
	if (rc)
		send_trouble(s, s->json ? "link" : "open", s->cfg.host);
	else
		rc = offer(s, OFFER_CHECK_ONLY | (s->estimate ? OFFER_TRIAL : 0));
	if (rc == -EREMOTEIO && s->refused)
		*s->err = ERROR_INIT; /* it is among what was found there */
	else if (s->err->rc)
		send_trouble(s, "refused", rc == -EREMOTEIO ? src->peer->name : s->cfg.host);
	rc = send_verdict(s);
	return rc || !s->estimate ? rc : send_estimate(s);
}

/* What this pause cost besides its pages, for the moves to come. */
static void learn(struct send *s)
{
	uint64_t rate = send_pages_per_s(s), pages = s->pages - s->pages_live;
	uint64_t pause = (uint64_t)(s->at.done - s->at.suspending), pages_ms;

	/* Waiting for a link to come back is nothing that the next one costs. */
	if (s->asked || !s->src.confirmed)
		return;
	fixed_store(&s->cfg, FIXED_REST, s->src.peer->name, &s->src.dom,
		(uint32_t)(s->at.first - s->at.start + clock_ms() - s->at.done) + s->promote_ms);
	if (!rate)
		return;
	/* Under a limit the rate is not that of the pause: all of its last round is its pages'. */
	pages_ms = s->wish.bwlimit ? (uint64_t)(s->at.quiesced - s->at.suspended)
				   : pages * 1000 / rate;
	fixed_store(&s->cfg, FIXED_PAUSE, s->src.peer->name, &s->src.dom,
		pause > pages_ms ? (uint32_t)(pause - pages_ms) : 0);
}

/*
 * How long the guest will stand still, tried on a connection of its own. What goes wrong here goes
 * wrong again in the move itself, with a better sentence.
 */
static int announce(struct send *s)
{
	struct error why = ERROR_INIT, *kept = s->err;
	unsigned found = s->found.nr;
	int rc;

	s->err = &why;
	rc = reach(s);
	if (rc == 0)
		rc = offer(s, OFFER_CHECK_ONLY | OFFER_TRIAL);
	if (rc == 0)
		rc = send_announce(s);
	link_down(&s->src.link);
	s->err = kept;
	s->found.nr = found;
	s->pages = s->barriers = 0;
	if (rc == -ECANCELED)
		*s->err = why;
	else if (rc)
		log_warn(
			"%s: how long it will stand still is not known: %s", s->src.name, why.what);
	return rc == -ECANCELED ? rc : 0;
}

/* The target is promised only by what is known; a guest that stands still was told another way. */
static void say_unknown(struct send *s)
{
	if (s->fixed_ms || s->wish.still || s->src.dom.type == DOMAIN_EMBEDDED)
		return;
	send_notice(s,
		"no domain like this one has moved to %s yet: what a pause takes besides its pages is not known, and may be over the target of %u ms",
		s->src.peer->name, s->wish.max_downtime_ms);
}

static int move(struct send *s)
{
	struct source *src = &s->src;
	struct error left = ERROR_INIT;
	int rc = open_journal(s);

	send_begin_learning(s);

	if (rc)
		return rc;
	s->fixed_ms = fixed_load(&s->cfg, FIXED_PAUSE, src->peer->name, &src->dom);
	steer_open(&s->steer, &s->cfg, src->name, s->client, s->wish.timeout_s);
	rc = s->wish.still ? announce(s) : 0;
	if (rc == 0)
		rc = reach(s);
	if (rc == 0)
		rc = engine_drive(&src->engine, EVENT_OFFER, s->err);
	if (rc)
		return rc;
	rc = offer(s, 0);
	if (rc == 0 || (rc == -EREMOTEIO && s->refused)) {
		int verdict = send_verdict(s);

		rc = rc ? rc : verdict;
	}
	if (rc == 0) {
		say_unknown(s);
		rc = stream(s);
	}
	if (rc == 0)
		rc = commit(s);
	if (rc == 0)
		learn(s);
	if (rc == 0 && src->place.state && network_left_behind(&src->dom, &left))
		send_notice(s, "%s. %s", left.what, left.fix);
	if (rc && !handover_settled(engine_state(&src->engine)))
		source_give_up(src, rc, s->err);
	return rc;
}

int main(void)
{
	static struct send s = {
		.client = CLIENT_FD, .steer = STEER_INIT(CLIENT_FD), .cpu_percent = 100};
	struct error err = ERROR_INIT;
	int rc;

	log_init("lifeboat-send");
	signal(SIGPIPE, SIG_IGN);
	s.err = &err;
	s.at.start = s.at.round = clock_ms();
	rc = source_init(&s.src, &s.cfg);
	if (rc == 0)
		rc = config_load(&s.cfg, &err);
	if (rc == 0)
		rc = read_request(&s);
	if (rc == 0)
		rc = find_peer(&s);
	if (rc == 0)
		rc = find_domain(&s);
	if (rc == 0)
		rc = s.check_only || send_must_stop(&s) ? check(&s) : move(&s);
	engine_close(&s.src.engine); /* who hears the end may begin anew at once */
	send_result(&s, rc);
	source_dispose(&s.src);
	free(s.json);
	/* lifeboatd looks for what a failure left open; what was found beforehand leaves nothing.
	 */
	return rc && !s.stopped ? 1 : 0;
}
