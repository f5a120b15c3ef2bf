/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * lab-gap: what a client sees of a guest while it moves. It asks for the guest's status
 * again and again and reports, as JSON, the longest time without an answer and whether
 * the guest's own proof ever went backwards or counted an error.
 *
 * A gap is measured from one answer's end to the next one's. It runs until SIGINT,
 * SIGTERM, --seconds, or, with --until-eof, the end of its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct answer {
	char boot[32];
	uint64_t ticks, errors, disk_seq, disk_errors;
};

struct report {
	uint64_t requests, answers, failures;
	uint64_t first_ms, last_ms, longest_gap_ms, gap_began_ms;
	uint64_t backwards, reboots;
	struct answer last;
};

static volatile sig_atomic_t stopping;

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Wait for the socket until the deadline; false when time or the user said stop. */
static bool ready(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	uint64_t now = now_ms();

	return !stopping && now < deadline_ms && poll(&p, 1, (int)(deadline_ms - now)) == 1;
}

/* One GET of /status within the deadline; the reply's text, or NULL. */
static const char *status_get(const struct sockaddr_in *to, uint64_t deadline_ms)
{
	static const char request[] = "GET /status HTTP/1.0\r\n\r\n";
	static char reply[4096];
	const char *body = NULL;
	size_t len = 0;
	ssize_t n = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return NULL;
	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0 && errno != EINPROGRESS)
		goto out;
	if (!ready(fd, POLLOUT, deadline_ms))
		goto out;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
		goto out;
	while (len < sizeof(reply) - 1 && ready(fd, POLLIN, deadline_ms)) {
		n = read(fd, reply + len, sizeof(reply) - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	reply[len] = '\0';
	if (n == 0 && strncmp(reply, "HTTP/1.", 7) == 0 && strstr(reply, " 200 "))
		body = strstr(reply, "\r\n\r\n");
out:
	close(fd);
	return body;
}

static uint64_t number_of(const char *json, const char *key)
{
	char pattern[40];
	const char *at;

	snprintf(pattern, sizeof(pattern), "\"%s\": ", key);
	at = strstr(json, pattern);
	return at ? strtoull(at + strlen(pattern), NULL, 10) : 0;
}

static bool answer_parse(struct answer *a, const char *json)
{
	const char *boot = strstr(json, "\"boot\": \"");

	if (!boot || sscanf(boot + 9, "%31[0-9a-f]", a->boot) != 1)
		return false;
	a->ticks = number_of(json, "ticks");
	a->errors = number_of(json, "errors");
	a->disk_seq = number_of(json, "disk_seq");
	a->disk_errors = number_of(json, "disk_errors");
	return true;
}

static void report_answer(struct report *r, const struct answer *a, uint64_t now)
{
	if (r->answers && now - r->last_ms > r->longest_gap_ms) {
		r->longest_gap_ms = now - r->last_ms;
		r->gap_began_ms = r->last_ms;
	}
	if (!r->answers)
		r->first_ms = now;
	else if (strcmp(a->boot, r->last.boot) != 0)
		r->reboots++;
	else if (a->ticks < r->last.ticks)
		r->backwards++;
	if (r->answers && a->disk_seq < r->last.disk_seq)
		r->backwards++;
	r->answers++;
	r->last_ms = now;
	r->last = *a;
}

static void report_print(const struct report *r, uint64_t start, uint64_t end)
{
	uint64_t open_gap = end - (r->answers ? r->last_ms : start);

	printf("{\"seconds\": %.1f, \"requests\": %" PRIu64 ", \"answers\": %" PRIu64
	       ", \"failures\": %" PRIu64 ", \"longest_gap_ms\": %" PRIu64
	       ", \"gap_began_at_ms\": %" PRIu64 ", \"open_gap_ms\": %" PRIu64,
		(double)(end - start) / 1000, r->requests, r->answers, r->failures,
		r->longest_gap_ms, r->longest_gap_ms ? r->gap_began_ms - start : 0, open_gap);
	printf(", \"went_backwards\": %" PRIu64 ", \"reboots\": %" PRIu64 ", \"ticks\": %" PRIu64
	       ", \"errors\": %" PRIu64 ", \"disk_seq\": %" PRIu64 ", \"disk_errors\": %" PRIu64
	       "}\n",
		r->backwards, r->reboots, r->last.ticks, r->last.errors, r->last.disk_seq,
		r->last.disk_errors);
}

/* Wait for the moment; one that has passed counts as now. When the next pause begins. */
static uint64_t pause_until(uint64_t at)
{
	uint64_t now = now_ms();

	if (at <= now)
		return now;
	poll(NULL, 0, (int)(at - now));
	return at;
}

static bool stdin_ended(void)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};
	char buf[64];

	return poll(&p, 1, 0) == 1 && read(0, buf, sizeof(buf)) <= 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: lab-gap [--host 10.77.0.50] [--interval MS] [--timeout MS] [--seconds N]"
		" [--until-eof]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"host", required_argument, NULL, 'h'},
		{"interval", required_argument, NULL, 'i'},
		{"timeout", required_argument, NULL, 't'},
		{"seconds", required_argument, NULL, 's'},
		{"until-eof", no_argument, NULL, 'e'},
		{NULL, 0, NULL, 0},
	};
	struct sigaction sa = {.sa_handler = on_signal};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
	uint64_t interval = 100, timeout = 400, seconds = 0, start, next;
	struct report r = {0};
	bool until_eof = false;
	const char *host = "10.77.0.50";
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			host = optarg;
			break;
		case 'i':
			interval = strtoull(optarg, NULL, 10);
			break;
		case 't':
			timeout = strtoull(optarg, NULL, 10);
			break;
		case 's':
			seconds = strtoull(optarg, NULL, 10);
			break;
		case 'e':
			until_eof = true;
			break;
		default:
			return usage();
		}
	}
	if (optind != argc || timeout == 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1)
		return usage();
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	start = next = now_ms();
	while (!stopping && !(seconds && now_ms() - start >= seconds * 1000) &&
		!(until_eof && stdin_ended())) {
		const char *body = status_get(&to, now_ms() + timeout);
		struct answer a;

		r.requests++;
		if (body && answer_parse(&a, body))
			report_answer(&r, &a, now_ms());
		else
			r.failures++;
		next = pause_until(next + interval);
	}
	report_print(&r, start, now_ms());
	return r.answers && !r.backwards && !r.last.errors && !r.last.disk_errors ? 0 : 1;
}
