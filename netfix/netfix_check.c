/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netfix check: this host's own findings, then what lifeboatd's preflight finds on both. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "migrate/event.h"
#include "netfix/check.h"
#include "netfix/netfix.h"

#define ANSWER_MS 90000

static json_t *finding_json(const struct netfix *n, const struct finding *f)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity",
		finding_severity_name(f->severity), "code", f->code, "host", n->cfg.host, "what",
		f->what, "fix", f->fix);
}

static int look_here(struct netfix *n, struct findings *found)
{
	struct nethost h;
	int rc = nethost_read(&h, &n->err);

	if (rc)
		return rc;
	check_host(found);
	check_filters(found);
	for (unsigned i = 0; i < n->nr_vifs && rc == 0; i++) {
		check_vif(&h, &n->vif[i], found);
		rc = check_duplicates(&h, &n->vif[i], &n->known, n->listen_ms, found, &n->err);
	}
	nethost_dispose(&h);
	return rc;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* The preflight looks at this host, too, for a shorter time. */
static bool is_known(const json_t *list, const json_t *event)
{
	const json_t *f;
	size_t i;

	json_array_foreach(list, i, f)
	{
		if (strcmp(text(f, "what"), text(event, "what")) == 0 &&
			strcmp(text(f, "host"), text(event, "host")) == 0)
			return true;
	}
	return false;
}

/* Keep the findings; true when the answer has ended, an error becoming a finding, too. */
static bool take(json_t *list, json_t *event, const char *host)
{
	const char *kind = text(event, "event");

	if (strcmp(kind, "finding") == 0) {
		json_object_del(event, "event");
		if (!is_known(list, event))
			json_array_append(list, event);
		return false;
	}
	if (strcmp(kind, "error") == 0)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity", "blocker", "code",
				      "preflight", "host", host, "what", text(event, "what"), "fix",
				      text(event, "fix")));
	return strcmp(kind, "error") == 0 || strcmp(kind, "result") == 0;
}

static int look_there(struct netfix *n, json_t *list)
{
	struct event_reader *reader = calloc(1, sizeof(*reader));
	int64_t deadline = deadline_in(ANSWER_MS);
	char path[PATH_MAX];
	bool end = false;
	int rc;

	if (!reader)
		return error_set(&n->err, -ENOMEM, NULL, "no memory");
	event_socket_path(&n->cfg, path, sizeof(path));
	reader->fd = unix_connect(path, SOCK_STREAM);
	rc = reader->fd < 0
		     ? error_sys(&n->err, reader->fd, "Start it: systemctl start lifeboatd",
			       "lifeboatd does not run on this host (%s)", path)
		     : event_send(reader->fd, json_pack("{s:s, s:s, s:b}", "domain", n->word[0],
						      "host", n->word[1], "check_only", 1));
	while (rc == 0 && !end) {
		json_t *event;

		rc = event_next(reader, &event, deadline);
		if (rc)
			error_sys(
				&n->err, rc, "Look at lifeboatd's log", "lifeboatd gave no answer");
		else
			end = take(list, event, n->word[1]);
		if (rc == 0)
			json_decref(event);
	}
	fd_close(&reader->fd);
	free(reader);
	return rc;
}

static void print_list(const struct netfix *n, json_t *list)
{
	json_t *f;
	size_t i;

	json_array_foreach(list, i, f)
	{
		printf("%s: %s: %s.\n", text(f, "severity"), text(f, "host"), text(f, "what"));
		if (text(f, "fix")[0])
			printf("  %s.\n", text(f, "fix"));
	}
	if (json_array_size(list) == 0)
		printf("%s would be reached on %s; nothing was changed\n", n->word[0], n->word[1]);
}

int netfix_check(struct netfix *n)
{
	static struct findings found;
	json_t *list = json_array(), *f;
	bool stops = false;
	size_t i;
	int rc = netfix_find(n);

	n->listen_ms = n->listen_ms > 0 ? n->listen_ms : 1;
	if (rc == 0)
		rc = netfix_learn(n);
	if (rc == 0)
		rc = look_here(n, &found);
	for (unsigned k = 0; k < found.nr; k++)
		json_array_append_new(list, finding_json(n, &found.list[k]));
	if (rc == 0)
		rc = look_there(n, list);
	json_array_foreach(list, i, f) stops |= strcmp(text(f, "severity"), "warning") != 0;
	if (rc == 0 && n->json)
		rc = netfix_print(n, json_incref(list));
	else if (rc == 0)
		print_list(n, list);
	json_decref(list);
	return rc ? rc : stops;
}
