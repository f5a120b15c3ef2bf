/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 'migrate cancel': ask the move of a domain to end, and say what came of it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "migrate/event.h"
#include "migrate/migrate.h"
#include "migrate/steer.h"

/* The source may wait a minute for the destination's word that nothing is left there. */
#define ANSWER_MS 120000

static int connect_move(const struct config *cfg, const char *domain, struct error *err)
{
	char path[PATH_MAX];
	int sock;

	steer_path(cfg, domain, path, sizeof(path));
	sock = unix_connect(path, SOCK_STREAM);
	if (sock == -ENOENT || sock == -ECONNREFUSED)
		return error_set(err, -ENOENT, "'migrate status' shows what is open",
			"no move of '%s' from this host is under way", domain);
	if (sock < 0)
		return error_sys(err, sock, sock == -EACCES ? "Run as root" : NULL,
			"cannot talk to the move of %s at %s", domain, path);
	return sock;
}

static int show(const json_t *answer, bool json)
{
	bool cancelled = json_is_true(json_object_get(answer, "cancelled"));
	const char *what = json_string_value(json_object_get(answer, "what"));

	if (json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		fputs("\n", stdout);
	} else {
		fprintf(cancelled ? stdout : stderr, "%s%s\n",
			cancelled ? "" : "migrate: ", what ? what : "no answer that can be read");
	}
	return cancelled ? 0 : 1;
}

int migrate_cancel(const struct config *cfg, const char *domain, bool json, struct error *err)
{
	struct event_reader *reader;
	json_t *answer = NULL;
	int rc, sock;

	if (!domain[0] || strlen(domain) >= DOMAIN_NAME_LEN || strchr(domain, '/'))
		return error_set(err, -EINVAL, "'hv list' shows the domains",
			"'%s' is no domain name", domain);
	sock = connect_move(cfg, domain, err);
	if (sock < 0)
		return sock;
	reader = calloc(1, sizeof(*reader));
	rc = reader ? event_send(sock, json_pack("{s:b}", "cancel", 1)) : -ENOMEM;
	if (rc == 0) {
		reader->fd = sock;
		do {
			rc = event_next(reader, &answer, deadline_in(ANSWER_MS));
		} while (rc == -EINTR);
	}
	if (rc)
		error_sys(err, rc, "See with 'hv list' and 'migrate status' where it runs",
			"the move of %s did not say how it ended", domain);
	else
		rc = show(answer, json);
	json_decref(answer);
	free(reader);
	fd_close(&sock);
	return rc;
}
