/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate status, resolve and claim: the hand-overs of this host. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/proc.h"
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

int migrate_resolve(const char *name, bool claim, struct error *err)
{
	char path[PATH_MAX], program[] = "lifeboat-resolve", flag[] = "--claim";
	char *argv[] = {program, NULL, NULL, NULL};
	int n = 1, status;
	pid_t pid;

	if (claim)
		argv[n++] = flag;
	argv[n] = (char *)(uintptr_t)name;
	if (proc_our_program(program, path, sizeof(path)))
		return error_set(err, -ENOENT, "Install lifeboat again", "cannot find %s", program);
	pid = proc_spawn(path, argv, NULL, 0, 0);
	if (pid < 0)
		return error_sys(err, pid, NULL, "cannot start %s", program);
	status = proc_reap(pid, DEADLINE_NEVER);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
