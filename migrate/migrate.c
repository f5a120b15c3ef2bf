/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migrate: ask lifeboatd to move a domain, show how it goes. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rate.h"
#include "migrate/event.h"
#include "migrate/migrate.h"
#include "migrate/migrate_view.h"

struct migrate {
	const char *args[3]; /* DOMAIN HOST, or a verb and its words */
	unsigned nr_args;
	int max_downtime_ms, timeout_s, streams; /* 0 = as the config says */
	int64_t bwlimit;			 /* bytes a second, -1 = as the config says */
	const char *on_no_converge;
	bool still, yes;
	struct migrate_view view;
};

static volatile sig_atomic_t interrupted, lifeboatd_sock = -1;

/* It sends the word itself: between a look at a flag and a wait a signal would be missed. */
static void on_interrupt(int sig)
{
	static const char cancel[] = "{\"cancel\":true}\n";
	int kept = errno;

	(void)sig;
	if (!interrupted && lifeboatd_sock >= 0)
		(void)send(lifeboatd_sock, cancel, sizeof(cancel) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	interrupted = 1;
	errno = kept;
}

static int follow(struct migrate *m, int sock, struct error *err)
{
	static struct event_reader reader;
	bool told = false;
	json_t *event;

	reader.fd = sock;
	lifeboatd_sock = sock;
	if (interrupted) /* before anybody listened */
		event_send(sock, json_pack("{s:b}", "cancel", 1));
	for (;;) {
		int rc, status;

		if (interrupted && !told) {
			migrate_view_end_line(&m->view);
			fprintf(stderr, "migrate: cancelling\n");
			told = true;
		}
		rc = event_next(&reader, &event, DEADLINE_NEVER);
		if (rc == -EINTR)
			continue;
		if (rc) {
			migrate_view_end_line(&m->view);
			return error_set(err, rc,
				"Look at lifeboatd's log, and with 'hv list' where the domain runs",
				"lifeboatd ended the connection before the move had an end");
		}
		status = migrate_view_show(&m->view, event);
		json_decref(event);
		if (status >= 0)
			return status;
	}
}

static int move(struct migrate *m, const struct config *cfg, struct error *err)
{
	char path[PATH_MAX];
	json_t *request;
	int rc, sock;

	m->view.domain = m->args[0];
	m->view.host = m->args[1];
	event_socket_path(cfg, path, sizeof(path));
	sock = unix_connect(path, SOCK_STREAM);
	if (sock == -EACCES)
		return error_sys(err, sock, "Run as root", "cannot talk to lifeboatd at %s", path);
	if (sock < 0)
		return error_sys(err, sock, "Start it: systemctl start lifeboatd",
			"lifeboatd does not run on this host (%s)", path);
	request = json_pack("{s:s, s:s, s:b, s:b, s:b}", "domain", m->view.domain, "host",
		m->view.host, "check_only", m->view.check, "estimate", m->view.estimate, "force",
		m->view.force);
	if (m->max_downtime_ms)
		json_object_set_new(request, "max_downtime_ms", json_integer(m->max_downtime_ms));
	if (m->still)
		json_object_set_new(request, "pause", json_true());
	if (m->timeout_s)
		json_object_set_new(request, "timeout_s", json_integer(m->timeout_s));
	if (m->streams)
		json_object_set_new(request, "streams", json_integer(m->streams));
	if (m->bwlimit >= 0)
		json_object_set_new(request, "bwlimit", json_integer(m->bwlimit));
	if (m->on_no_converge)
		json_object_set_new(request, "on_no_converge", json_string(m->on_no_converge));
	rc = event_send(sock, request);
	rc = rc ? error_sys(err, rc, NULL, "cannot talk to lifeboatd") : follow(m, sock, err);
	fd_close(&sock);
	return rc;
}

static int status(struct migrate *m, const struct config *cfg, struct error *err)
{
	return migrate_status(cfg, m->view.json, err);
}

static int resolve(struct migrate *m, const struct config *cfg, struct error *err)
{
	(void)cfg;
	return migrate_resolve(m->args[1], false, m->view.json, err);
}

/* A person's word in place of a host's: never without saying what it means if it is wrong. */
static int claim(struct migrate *m, const struct config *cfg, struct error *err)
{
	(void)cfg;
	if (m->yes)
		return migrate_resolve(m->args[1], true, m->view.json, err);
	return error_set(err, -ECANCELED,
		"If it is switched off and will not come back with the domain, say so: migrate --yes claim ...",
		"claiming %s runs this host's copy on your word alone. If the other host runs it, or ran it after the hand-over, two copies will have written to the same disks",
		m->args[1]);
}

static int cancel(struct migrate *m, const struct config *cfg, struct error *err)
{
	return migrate_cancel(cfg, m->args[1], m->view.json, err);
}

/* For a domain with the name of a verb. */
static int move_named(struct migrate *m, const struct config *cfg, struct error *err)
{
	m->args[0] = m->args[1];
	m->args[1] = m->args[2];
	return move(m, cfg, err);
}

static const struct {
	const char *name;
	unsigned min, max; /* words after it */
	int (*fn)(struct migrate *, const struct config *, struct error *);
} verbs[] = {
	{"status", 0, 0, status},
	{"resolve", 0, 1, resolve},
	{"claim", 1, 1, claim},
	{"cancel", 1, 1, cancel},
	{"move", 2, 2, move_named},
};

static int run(struct migrate *m, struct error *err)
{
	static struct config cfg;
	int rc = config_load(&cfg, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(m->args[0], verbs[i].name) == 0)
			return verbs[i].fn(m, &cfg, err);
	return move(m, &cfg, err);
}

static void check_words(const struct migrate *m, struct argp_state *state)
{
	if (m->nr_args == 0)
		argp_error(state, "which domain, and to which host?");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(m->args[0], verbs[i].name) != 0)
			continue;
		if (m->nr_args - 1 < verbs[i].min)
			argp_error(state,
				verbs[i].min == 1 ? "%s which domain?"
						  : "%s which domain, and to which host?",
				verbs[i].name);
		if (m->nr_args - 1 > verbs[i].max && verbs[i].max > 0)
			argp_error(state, verbs[i].max == 1 ? "one domain, please"
							    : "one domain and one host, please");
		if (m->nr_args - 1 > verbs[i].max)
			argp_error(state, "%s takes no word after it", verbs[i].name);
		return;
	}
	if (m->nr_args < 2)
		argp_error(state, "which domain, and to which host?");
	if (m->nr_args > 2)
		argp_error(state, "one domain and one host, please");
}

enum {
	KEY_JSON = 256,
	KEY_MAX_DOWNTIME,
	KEY_YES,
	KEY_FORCE,
	KEY_TIMEOUT,
	KEY_BWLIMIT,
	KEY_STREAMS,
	KEY_NO_CONVERGE,
	KEY_ESTIMATE,
	KEY_PAUSE
};

static const struct argp_option options[] = {
	{"json", KEY_JSON, NULL, 0, "Print the summary, or the error, as JSON", 0},
	{"quiet", 'q', NULL, 0, "No progress, only the summary", 0},
	{"check", 'n', NULL, 0, "List all that stands in the way on both hosts; change nothing", 0},
	{"dry-run", 0, NULL, OPTION_ALIAS, NULL, 0},
	{"estimate", KEY_ESTIMATE, NULL, 0,
		"Watch the domain and try the link for a few seconds, and say how a move would go; change nothing",
		0},
	{"force", KEY_FORCE, NULL, 0, "Move in spite of risks; blockers still stop it", 0},
	{"max-downtime", KEY_MAX_DOWNTIME, "MS", 0,
		"Aim at a pause of at most MS milliseconds (config: max_downtime)", 0},
	{"pause", KEY_PAUSE, NULL, 0,
		"Not live: say how long the guest will stand still, then send all of it", 0},
	{"timeout", KEY_TIMEOUT, "SECS", 0,
		"Cancel it unless it is handed over within SECS seconds", 0},
	{"bwlimit", KEY_BWLIMIT, "RATE", 0,
		"Send at most RATE a second while the guest runs: 100M (MiB), 100MB, 800mbit (config: bwlimit)",
		0},
	{"streams", KEY_STREAMS, "N", 0,
		"Send pages on up to N links at once, 1 to 8; with a bwlimit one is enough (config: streams)",
		0},
	{"on-no-converge", KEY_NO_CONVERGE, "WHAT", 0,
		"When the guest dirties memory as fast as the link takes it: abort, throttle, or stop (config: on_no_converge)",
		0},
	{"yes", KEY_YES, NULL, 0, "With claim: you know what it means", 0},
	{"config", 'c', "FILE", 0, "Read FILE instead of /etc/lifeboat/lifeboat.conf", 0},
	{0},
};

static int whole_number(struct argp_state *state, const char *arg, int max, const char *sentence)
{
	char *end;
	long value = strtol(arg, &end, 10);

	if (*end || value < 1 || value > max)
		argp_error(state, "%s, not '%s'", sentence, arg);
	return (int)value;
}

static int64_t rate(struct argp_state *state, const char *arg)
{
	uint64_t bytes_per_s;

	if (rate_parse(arg, &bytes_per_s))
		argp_error(state, "--bwlimit takes " RATE_SYNTAX ", not '%s'", arg);
	return (int64_t)bytes_per_s;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct migrate *m = state->input;

	switch (key) {
	case KEY_JSON:
		m->view.json = true;
		return 0;
	case 'q':
		m->view.quiet = true;
		return 0;
	case 'n':
		m->view.check = true;
		return 0;
	case 'c':
		return setenv("LIFEBOAT_CONFIG", arg, 1) ? errno : 0;
	case KEY_MAX_DOWNTIME:
		m->max_downtime_ms = whole_number(
			state, arg, 3600000, "--max-downtime takes 1 to 3600000 milliseconds");
		return 0;
	case KEY_PAUSE:
		m->still = true;
		return 0;
	case KEY_ESTIMATE:
		m->view.estimate = true;
		return 0;
	case KEY_TIMEOUT:
		m->timeout_s =
			whole_number(state, arg, 604800, "--timeout takes 1 to 604800 seconds");
		return 0;
	case KEY_BWLIMIT:
		m->bwlimit = rate(state, arg);
		return 0;
	case KEY_STREAMS:
		m->streams = whole_number(state, arg, 8, "--streams takes 1 to 8");
		return 0;
	case KEY_NO_CONVERGE:
		if (!config_no_converge(arg))
			argp_error(state,
				"--on-no-converge takes abort, throttle or stop, not '%s'", arg);
		m->on_no_converge = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num > 2)
			argp_error(state, "one domain and one host, please");
		m->args[m->nr_args++] = arg;
		return 0;
	case ARGP_KEY_END:
		check_words(m, state);
		return 0;
	case KEY_FORCE:
		m->view.force = true;
		return 0;
	case KEY_YES:
		m->yes = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const char *argp_program_version = "migrate " LIFEBOAT_VERSION;

static void say_error(const struct migrate *m, const struct error *err)
{
	json_t *event = m->view.json ? json_pack("{s:s, s:s, s:s}", "event", "error", "what",
					       err->what, "fix", err->fix)
				     : NULL;

	if (!event) {
		error_print("migrate", err);
		return;
	}
	json_dumpf(event, stdout, JSON_INDENT(2));
	fputs("\n", stdout);
	json_decref(event);
}

int main(int argc, char **argv)
{
	const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc =
			"DOMAIN HOST\nmove DOMAIN HOST\ncancel DOMAIN\nstatus\nresolve [DOMAIN]\nclaim DOMAIN",
		.doc = "Move a running domain of this host to the peer HOST; it keeps running.\v"
		       "status shows who owns what, by this host's journals. resolve finishes or rolls "
		       "back what a crash or a cut left open; lifeboatd does so by itself, too. claim "
		       "decides on your word that the other host is dead. move is for a domain with the "
		       "name of such a word.\n\n"
		       "Ctrl-C, and cancel from anywhere on this host, end a move that is under way: the "
		       "domain runs on here. Exit status: 0 moved, 1 failed and the domain runs here, "
		       "2 usage.",
	};
	const struct sigaction act = {.sa_handler = on_interrupt};
	struct migrate m = {
		.view = {.terminal = isatty(STDOUT_FILENO) == 1, .last_round = -1}, .bwlimit = -1};
	struct error err = ERROR_INIT;
	int rc;

	log_init("migrate");
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &m);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	rc = run(&m, &err);
	migrate_check_dispose(&m.view.found);
	if (rc < 0)
		say_error(&m, &err);
	return rc ? 1 : 0;
}
