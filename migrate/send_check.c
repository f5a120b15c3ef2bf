/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The preflight: what both hosts find before a page moves, and what comes of it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/event.h"
#include "migrate/network.h"
#include "migrate/send.h"

#define ACCEPT_MS 60000

static void keep(struct send *s, const struct findings *found, const char *host)
{
	findings_merge(&s->found, found, host);
}

void send_trouble(struct send *s, const char *code, const char *host)
{
	struct findings *one = calloc(1, sizeof(*one));

	if (one) {
		findings_add_error(one, FINDING_BLOCKER, code, s->err);
		keep(s, one, host);
		*s->err = ERROR_INIT;
	}
	free(one);
}

static void look(struct send *s, struct findings *found)
{
	struct source *src = &s->src;

	if (src->hv->save_check(&src->dom, found, s->err)) {
		findings_add_error(found, FINDING_BLOCKER, "check", s->err);
		*s->err = ERROR_INIT;
	}
	/* A guest that stands still writes nothing. */
	if (s->wish.still)
		findings_drop(found, HV_FINDING_UNTRACKED);
	if (strlen(src->name) + strlen(SUFFIX_AWAY) >= DOMAIN_NAME_LEN)
		findings_add(found, FINDING_BLOCKER, "name", "Give the domain a shorter name",
			"the name %s is too long to be moved", src->name);
	drbd_window_find(&src->window, &src->dom, src->hv->name, found);
	network_look(&s->cfg, &src->dom, s->check_only, found);
}

int send_look(struct send *s)
{
	struct findings *found = calloc(1, sizeof(*found));

	if (!found)
		return error_sys(s->err, -ENOMEM, NULL, "cannot check %s", s->src.name);
	look(s, found);
	keep(s, found, s->cfg.host);
	free(found);
	return 0;
}

/* FINDINGS is in s->src.rec. */
static int hear_findings(struct send *s)
{
	struct findings *found = calloc(1, sizeof(*found));
	int rc = 0;

	if (!found)
		return error_sys(s->err, -ENOMEM, NULL, "cannot read what was found");
	if (record_get_findings(&s->src.rec, found)) {
		keep(s, found, s->src.peer->name);
		s->refused = findings_stop(found, s->force) != NULL;
	} else {
		rc = error_set(s->err, -EPROTO, NULL, "%s sent bad FINDINGS", s->src.peer->name);
	}
	free(found);
	return rc;
}

/* PROBE is in s->src.rec: show the destination that both are on one network. */
static int answer_probe(struct send *s)
{
	struct source *src = &s->src;
	struct record_probed probed;
	uint8_t body[4 + 8 * DOMAIN_VIFS_MAX];
	size_t len;
	int rc;

	if (src->rec.len != RECORD_TOKEN_LEN)
		return error_set(s->err, -EPROTO, NULL, "%s sent a bad PROBE", src->peer->name);
	network_probe(&src->dom, src->rec.body, &probed);
	len = record_put_probed(body, sizeof(body), &probed);
	rc = record_write(src->link.sock, RECORD_PROBED, body, len, deadline_in(ACCEPT_MS));
	return rc ? source_broken(src, &src->link, rc, s->err) : 0;
}

int send_hear_accept(struct send *s, uint64_t *term)
{
	struct source *src = &s->src;
	int64_t deadline = deadline_in(ACCEPT_MS);
	int rc = send_hear(s, deadline);

	if (rc == 0 && src->rec.type == RECORD_PROBE) {
		rc = answer_probe(s);
		if (rc == 0)
			rc = send_hear(s, deadline);
	}
	if (rc == 0 && src->rec.type == RECORD_FINDINGS) {
		rc = hear_findings(s);
		if (rc == 0)
			rc = send_hear(s, deadline);
	}
	if (rc == 0 && (src->rec.type != RECORD_ACCEPT || !record_get_accept(&src->rec, term)))
		rc = error_set(s->err, -EPROTO, "Run the same lifeboat version on both hosts",
			"%s sent no good ACCEPT but %s", src->peer->name,
			record_type_name(src->rec.type));
	return rc;
}

bool send_must_stop(const struct send *s)
{
	return findings_stop(&s->found, s->force) != NULL;
}

int send_verdict(struct send *s)
{
	const struct finding *stop;

	findings_sort(&s->found);
	stop = findings_stop(&s->found, s->force);
	send_findings(s, !stop);
	if (!stop)
		return 0;
	*s->err = ERROR_INIT;
	error_set(s->err, -ECANCELED, stop->fix, "%s", stop->what);
	error_prefix(s->err, stop->host);
	s->stopped = true;
	return -ECANCELED;
}
