/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate status, resolve and claim: the hand-overs of this host. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/proc.h"
#include "migrate/event.h"
#include "migrate/journal.h"
#include "migrate/migrate.h"

static const char *whose(enum handover_state state)
{
	if (!handover_settled(state) && state != HANDOVER_ABORTED && state != HANDOVER_PREP)
		return "open";
	return handover_may_run(state) ? "here" : "there";
}

static void print_text(const struct journal_entry *list, size_t nr)
{
	printf("%-24s %-10s %6s  %-6s %-16s %s\n", "Name", "State", "Term", "Owner", "Peer",
		"Since");
	for (size_t i = 0; i < nr; i++) {
		time_t when = (time_t)(list[i].time_ms / 1000);
		char since[32] = "";
		struct tm tm;

		if (localtime_r(&when, &tm))
			strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S", &tm);
		printf("%-24s %-10s %6llu  %-6s %-16s %s\n", list[i].name,
			handover_state_name(list[i].state), (unsigned long long)list[i].term,
			whose(list[i].state), list[i].peer, since);
	}
}

static void print_json(const struct journal_entry *list, size_t nr)
{
	json_t *all = json_array();

	for (size_t i = 0; i < nr; i++)
		json_array_append_new(
			all, json_pack("{s:s, s:s, s:I, s:s, s:b, s:s, s:I}", "name", list[i].name,
				     "state", handover_state_name(list[i].state), "term",
				     (json_int_t)list[i].term, "owner", whose(list[i].state),
				     "settled", (int)handover_settled(list[i].state), "peer",
				     list[i].peer, "since_ms", (json_int_t)list[i].time_ms));
	json_dumpf(all, stdout, JSON_INDENT(2));
	fputs("\n", stdout);
	json_decref(all);
}

int migrate_status(const struct config *cfg, bool json, struct error *err)
{
	struct journal_entry *list;
	size_t nr;
	int rc = journal_list(cfg, &list, &nr, err);

	if (rc)
		return rc;
	(json ? print_json : print_text)(list, nr);
	free(list);
	return 0;
}

static const char *text(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));

	return s ? s : "";
}

/* One hand-over: what became of it, or why it is still open. */
static void print_outcome(const json_t *event)
{
	const char *what = text(event, "what"), *fix = text(event, "fix");
	bool settled = json_is_true(json_object_get(event, "settled"));

	if (!settled)
		printf("%s: open with %s (%s)%s%s\n", text(event, "name"), text(event, "peer"),
			text(event, "state"), what[0] ? ": " : "", what);
	else if (what[0])
		printf("%s: settled with %s, but %s\n", text(event, "name"), text(event, "peer"),
			what);
	else
		printf("%s: settled with %s, %s\n", text(event, "name"), text(event, "peer"),
			json_is_true(json_object_get(event, "here")) ? "it is this host's"
								     : "it is not this host's");
	if (fix[0])
		printf("  %s.\n", fix);
}

/* All that lifeboat-resolve tells; its error, if any, comes last. */
static int hear(int sock, bool json, struct error *err)
{
	struct event_reader *reader = calloc(1, sizeof(*reader));
	json_t *all = json_array(), *event;

	if (reader)
		reader->fd = sock;
	while (reader && event_next(reader, &event, DEADLINE_NEVER) == 0) {
		if (strcmp(text(event, "event"), "error") == 0)
			error_set(err, -EIO, text(event, "fix"), "%s", text(event, "what"));
		else if (json)
			json_array_append(all, event);
		else
			print_outcome(event);
		json_decref(event);
	}
	free(reader);
	if (json && !err->rc) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		fputs("\n", stdout);
	}
	json_decref(all);
	return err->rc;
}

int migrate_resolve(const char *name, bool claim, bool json, struct error *err)
{
	char path[PATH_MAX], program[] = "lifeboat-resolve", events[] = "--events",
			     yes[] = "--claim";
	char *argv[] = {program, events, NULL, NULL, NULL};
	int n = 2, status, sock[2], rc;
	pid_t pid;

	if (claim)
		argv[n++] = yes;
	argv[n] = (char *)(uintptr_t)name;
	if (proc_our_program(program, path, sizeof(path)))
		return error_set(err, -ENOENT, "Install lifeboat again", "cannot find %s", program);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0)
		return error_sys(err, -errno, NULL, "cannot start %s", program);
	pid = proc_spawn(path, argv, &(struct proc_fd){sock[1], 3}, 1, 0);
	fd_close(&sock[1]);
	rc = pid < 0 ? error_sys(err, pid, NULL, "cannot start %s", program)
		     : hear(sock[0], json, err);
	fd_close(&sock[0]);
	if (pid < 0)
		return rc;
	status = proc_reap(pid, DEADLINE_NEVER);
	if (rc == 0 && !WIFEXITED(status))
		return error_set(err, -EIO, "Look at the log", "%s ended early", program);
	return rc ? rc : WEXITSTATUS(status);
}
