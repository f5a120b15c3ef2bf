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
#include "migrate/migrate_check.h"

#define PLAIN_EVERY_MS 2000 /* between progress lines when stdout is no terminal */

struct migrate {
	const char *args[3]; /* DOMAIN HOST, or a verb and its words */
	unsigned nr_args;
	const char *domain, *host;
	int max_downtime_ms, timeout_s, streams; /* 0 = as the config says */
	int64_t bwlimit;			 /* bytes a second, -1 = as the config says */
	const char *on_no_converge;
	bool json, quiet, check, estimate, still, force, yes;
	struct migrate_check found;
	bool terminal, line_open;
	int64_t last_plain;
	char last_phase[32];
	int last_round;
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

static const char *text(const json_t *event, const char *key)
{
	const char *s = json_string_value(json_object_get(event, key));

	return s ? s : "";
}

static long long number(const json_t *event, const char *key)
{
	return (long long)json_number_value(json_object_get(event, key));
}

static void end_line(struct migrate *m)
{
	if (m->line_open)
		fputs("\n", stdout);
	m->line_open = false;
}

/* On a terminal one line that is rewritten; otherwise a line a phase, a round, or two seconds. */
static void show_progress(struct migrate *m, const json_t *event)
{
	const char *phase = text(event, "phase");
	int round = (int)number(event, "round");
	bool due = strcmp(phase, m->last_phase) != 0 || round != m->last_round ||
		   clock_ms() - m->last_plain >= PLAIN_EVERY_MS;

	if (m->quiet || m->json || (!m->terminal && !due))
		return;
	snprintf(m->last_phase, sizeof(m->last_phase), "%s", phase);
	m->last_round = round;
	m->last_plain = clock_ms();
	printf("%s%s: %s, round %d, %lld pages left, %.1f MB/s, dirty %lld pages/s, ETA %.1f s%s",
		m->terminal ? "\r" : "", m->domain, phase, round, number(event, "pages_left"),
		json_number_value(json_object_get(event, "mb_per_s")),
		number(event, "dirty_pages_per_s"), (double)number(event, "eta_ms") / 1000,
		m->terminal ? "\033[K" : "\n");
	m->line_open = m->terminal;
	fflush(stdout);
}

/* Of a domain with vifs: is it reached where it is now? */
static void show_place(const json_t *place)
{
	const json_t *a;
	size_t i;

	if (!json_is_object(place))
		return;
	if (json_is_integer(json_object_get(place, "reachable_ms")))
		printf("  network    reachable after %lld ms, its port forwarding after %lld: %s\n",
			number(place, "reachable_ms"), number(place, "forwarding_ms"),
			text(place, "what"));
	else
		printf("  network    announced, but not known to be reachable: %s\n",
			text(place, "what"));
	json_array_foreach(json_object_get(place, "addresses"), i, a)
	{
		printf("             vif %lld: %s, from %s\n", number(a, "vif"), text(a, "address"),
			text(a, "from"));
	}
}

static void show_summary(struct migrate *m, const json_t *event)
{
	const json_t *pause = json_object_get(event, "pause");
	const json_t *verify = json_object_get(event, "verify");

	end_line(m);
	printf("%s runs on %s\n", text(event, "domain"), text(event, "to"));
	printf("  total      %.2f s\n", (double)number(event, "total_ms") / 1000);
	printf("  downtime   %lld ms (suspend %lld, last round %lld, build %lld, commit %lld, activate %lld)\n",
		number(event, "downtime_ms"), number(pause, "suspend_ms"),
		number(pause, "last_round_ms"), number(pause, "build_ms"),
		number(pause, "commit_ms"), number(pause, "activate_ms"));
	printf("  rounds     %lld, %lld pages\n", number(event, "rounds"),
		number(event, "pages_sent"));
	printf("  memory     %.1f MiB\n", (double)number(event, "memory_bytes") / 1048576);
	printf("  wire       %.1f MiB, %s", (double)number(event, "wire_bytes") / 1048576,
		text(event, "cipher"));
	if (number(event, "streams") > 1)
		printf(", %lld streams", number(event, "streams"));
	puts("");
	if (number(event, "rejoins"))
		printf("  link       lost and replaced %lld times\n", number(event, "rejoins"));
	printf("  verified   %lld pages, in %.1f ms here and %.1f ms there\n",
		number(verify, "pages"), json_number_value(json_object_get(verify, "source_ms")),
		json_number_value(json_object_get(verify, "destination_ms")));
	show_place(json_object_get(event, "network"));
}

/* What the user must know while it goes on, even with --quiet. */
static void show_notice(struct migrate *m, const json_t *event)
{
	end_line(m);
	fprintf(stderr, "migrate: %s: %s\n", m->domain, text(event, "text"));
}

static int show_error(struct migrate *m, const json_t *event)
{
	struct error err = {.rc = -EIO};

	if (m->found.stopped)
		return 1; /* the findings said it */
	end_line(m);
	snprintf(err.what, sizeof(err.what), "%s", text(event, "what"));
	snprintf(err.fix, sizeof(err.fix), "%s", text(event, "fix"));
	error_print("migrate", &err);
	return 1;
}

/* -1 = go on, else the exit status. */
static int show(struct migrate *m, json_t *event)
{
	const char *kind = text(event, "event");
	bool summary = strcmp(kind, "summary") == 0, result = strcmp(kind, "result") == 0;
	bool error = strcmp(kind, "error") == 0, estimate = strcmp(kind, "estimate") == 0;

	if (migrate_check_take(&m->found, event)) {
		bool later = m->check || (m->estimate && m->found.stopped);

		if (strcmp(kind, "preflight") == 0 && !later && !m->json)
			migrate_check_warn(&m->found, m->domain);
		return -1;
	}
	result |= estimate;
	if (m->json && (summary || result || error)) {
		if (!error || m->found.stopped)
			migrate_check_join(&m->found, event);
		json_dumpf(event, stdout, JSON_INDENT(2));
		fputs("\n", stdout);
	} else if (summary) {
		show_summary(m, event);
	} else if (estimate) {
		migrate_estimate_show(event);
	} else if (result) {
		migrate_check_report(&m->found, m->domain, m->host, m->force);
	} else if (strcmp(kind, "notice") == 0) {
		show_notice(m, event);
	} else if (!error) {
		show_progress(m, event);
	}
	if (error)
		return m->json ? 1 : show_error(m, event);
	return result && m->found.stopped ? 1 : summary || result ? 0 : -1;
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
			end_line(m);
			fprintf(stderr, "migrate: cancelling\n");
			told = true;
		}
		rc = event_next(&reader, &event, DEADLINE_NEVER);
		if (rc == -EINTR)
			continue;
		if (rc) {
			end_line(m);
			return error_set(err, rc,
				"Look at lifeboatd's log, and with 'hv list' where the domain runs",
				"lifeboatd ended the connection before the move had an end");
		}
		status = show(m, event);
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

	m->domain = m->args[0];
	m->host = m->args[1];
	event_socket_path(cfg, path, sizeof(path));
	sock = unix_connect(path, SOCK_STREAM);
	if (sock == -EACCES)
		return error_sys(err, sock, "Run as root", "cannot talk to lifeboatd at %s", path);
	if (sock < 0)
		return error_sys(err, sock, "Start it: systemctl start lifeboatd",
			"lifeboatd does not run on this host (%s)", path);
	request = json_pack("{s:s, s:s, s:b, s:b, s:b}", "domain", m->domain, "host", m->host,
		"check_only", m->check, "estimate", m->estimate, "force", m->force);
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
	return migrate_status(cfg, m->json, err);
}

static int resolve(struct migrate *m, const struct config *cfg, struct error *err)
{
	(void)cfg;
	return migrate_resolve(m->args[1], false, m->json, err);
}

/* A person's word in place of a host's: never without saying what it means if it is wrong. */
static int claim(struct migrate *m, const struct config *cfg, struct error *err)
{
	(void)cfg;
	if (m->yes)
		return migrate_resolve(m->args[1], true, m->json, err);
	return error_set(err, -ECANCELED,
		"If it is switched off and will not come back with the domain, say so: migrate --yes claim ...",
		"claiming %s runs this host's copy on your word alone. If the other host runs it, or ran it after the hand-over, two copies will have written to the same disks",
		m->args[1]);
}

static int cancel(struct migrate *m, const struct config *cfg, struct error *err)
{
	return migrate_cancel(cfg, m->args[1], m->json, err);
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
		m->json = true;
		return 0;
	case 'q':
		m->quiet = true;
		return 0;
	case 'n':
		m->check = true;
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
		m->estimate = true;
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
		m->force = true;
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
	json_t *event = m->json ? json_pack("{s:s, s:s, s:s}", "event", "error", "what", err->what,
					  "fix", err->fix)
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
		.terminal = isatty(STDOUT_FILENO) == 1, .last_round = -1, .bwlimit = -1};
	struct error err = ERROR_INIT;
	int rc;

	log_init("migrate");
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &m);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	signal(SIGPIPE, SIG_IGN);
	rc = run(&m, &err);
	migrate_check_dispose(&m.found);
	if (rc < 0)
		say_error(&m, &err);
	return rc ? 1 : 0;
}
