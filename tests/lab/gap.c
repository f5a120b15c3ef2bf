/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * lab-gap: what clients see of a guest while it moves. One begins every so often, whether the ones
 * before it were answered or not, and asks for the guest's status; reported, as JSON, is the
 * longest time without an answer and whether the guest's own proof ever went backwards or counted
 * an error. A client that waited for its answer first would add its own time-out to the gap.
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

#define CLIENTS 256 /* at a time; --timeout / --interval of them are under way in a gap */

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

/* Who asks. */
struct client {
	int fd;			/* -1 = nobody */
	bool sent, late, whole; /* whole: the guest said that this was all */
	uint64_t asked;
	struct answer before; /* if `late` */
	size_t len;
	char reply[1024];
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

/* `before` is what had been answered when this one began to ask; NULL: nothing had. */
static void report_answer(
	struct report *r, const struct answer *a, const struct answer *before, uint64_t now)
{
	if (r->answers && now - r->last_ms > r->longest_gap_ms) {
		r->longest_gap_ms = now - r->last_ms;
		r->gap_began_ms = r->last_ms;
	}
	if (!r->answers)
		r->first_ms = now;
	if (before && strcmp(a->boot, before->boot) != 0)
		r->reboots += strcmp(a->boot, r->last.boot) != 0;
	else if (before && a->ticks < before->ticks)
		r->backwards++;
	if (before && a->disk_seq < before->disk_seq)
		r->backwards++;
	r->answers++;
	r->last_ms = now;
	if (r->answers == 1 || strcmp(a->boot, r->last.boot) != 0 || a->ticks > r->last.ticks)
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

static const char *body_of(const struct client *c)
{
	return c->whole && strncmp(c->reply, "HTTP/1.", 7) == 0 && strstr(c->reply, " 200 ")
		       ? strstr(c->reply, "\r\n\r\n")
		       : NULL;
}

static void client_end(struct client *c, struct report *r, uint64_t now)
{
	const char *body = body_of(c);
	struct answer a = {0};

	close(c->fd);
	c->fd = -1;
	if (body && answer_parse(&a, body))
		report_answer(r, &a, c->late ? &c->before : NULL, now);
	else
		r->failures++;
}

/* Where there is no room for one more, a client that has waited long enough gives way. */
static void client_begin(struct client *c, const struct sockaddr_in *to, struct report *r)
{
	uint64_t now = now_ms();

	r->requests++;
	if (c->fd >= 0)
		client_end(c, r, now);
	*c = (struct client){.asked = now, .late = r->answers > 0, .before = r->last};
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		r->failures++;
	else if (connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) < 0 &&
		 errno != EINPROGRESS)
		client_end(c, r, now);
}

/* Its socket has something to say. True when it is done. */
static bool client_go_on(struct client *c)
{
	static const char request[] = "GET /status HTTP/1.0\r\n\r\n";
	ssize_t n;

	if (!c->sent) {
		c->sent = true;
		return send(c->fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0;
	}
	n = read(c->fd, c->reply + c->len, sizeof(c->reply) - 1 - c->len);
	if (n < 0)
		return errno != EAGAIN;
	c->len += (size_t)n;
	c->whole = n == 0;
	return n == 0 || c->len == sizeof(c->reply) - 1;
}

/* All clients, until the moment. */
static void clients_go_on(
	struct client *clients, struct report *r, uint64_t timeout, uint64_t until)
{
	struct pollfd p[CLIENTS];

	do {
		uint64_t now = now_ms();

		for (unsigned i = 0; i < CLIENTS; i++)
			p[i] = (struct pollfd){
				.fd = clients[i].fd, .events = clients[i].sent ? POLLIN : POLLOUT};
		if (poll(p, CLIENTS, now < until ? (int)(until - now) : 0) < 0)
			return;
		now = now_ms();
		for (unsigned i = 0; i < CLIENTS; i++) {
			struct client *c = &clients[i];

			if (c->fd >= 0 &&
				((p[i].revents && client_go_on(c)) || now - c->asked >= timeout))
				client_end(c, r, now);
		}
	} while (!stopping && now_ms() < until);
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
	uint64_t interval = 200, timeout = 10000, seconds = 0, start, next;
	static struct client clients[CLIENTS];
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
	if (optind != argc || interval == 0 || timeout / interval >= CLIENTS ||
		inet_pton(AF_INET, host, &to.sin_addr) != 1)
		return usage();
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i].fd = -1;
	start = next = now_ms();
	while (!stopping && !(seconds && now_ms() - start >= seconds * 1000) &&
		!(until_eof && stdin_ended())) {
		client_begin(&clients[r.requests % CLIENTS], &to, &r);
		next = next + interval < now_ms() ? now_ms() : next + interval;
		clients_go_on(clients, &r, timeout, next);
	}
	report_print(&r, start, now_ms());
	return r.answers && !r.backwards && !r.last.errors && !r.last.disk_errors ? 0 : 1;
}
