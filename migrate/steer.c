/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/steer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "migrate/event.h"

#define LINE_MS 1000

void steer_path(const struct config *cfg, const char *domain, char *out, size_t size)
{
	snprintf(out, size, "%s/moves/%s.sock", cfg->run_dir, domain);
}

static int listen_at(const struct config *cfg, struct steer *s)
{
	char dir[PATH_MAX];
	int rc;

	snprintf(dir, sizeof(dir), "%s/moves", cfg->run_dir);
	rc = io_mkdir_p(dir, 0700);
	if (rc)
		return rc;
	steer_path(cfg, s->name, s->path, sizeof(s->path));
	return unix_listen(s->path, SOCK_STREAM);
}

void steer_open(struct steer *s, const struct config *cfg, const char *domain, int client,
	uint32_t timeout_s)
{
	*s = (struct steer){.client = client, .timeout_s = timeout_s, .deadline = DEADLINE_NEVER};
	snprintf(s->name, sizeof(s->name), "%s", domain);
	if (timeout_s)
		s->deadline = deadline_in((int64_t)timeout_s * 1000);
	s->listen = listen_at(cfg, s);
	if (s->listen >= 0)
		return;
	log_warn("the move of %s cannot be cancelled from elsewhere: %s", domain,
		strerror(-s->listen));
	s->listen = -1;
}

/* Somebody connected: does it ask for the end? */
static bool hear_caller(struct steer *s)
{
	struct event_reader *reader = calloc(1, sizeof(*reader));
	int fd = accept4(s->listen, NULL, NULL, SOCK_CLOEXEC);
	json_t *word = NULL;
	bool cancel = false;

	if (reader && fd >= 0 && s->nr_callers < STEER_CALLERS) {
		reader->fd = fd;
		cancel = event_next(reader, &word, deadline_in(LINE_MS)) == 0 &&
			 json_is_true(json_object_get(word, "cancel"));
	}
	json_decref(word);
	free(reader);
	if (!cancel) {
		fd_close(&fd);
		return false;
	}
	s->caller[s->nr_callers++] = fd;
	return true;
}

static int called_off(struct steer *s, const char *how, struct error *err)
{
	return error_set(err, -ECANCELED, NULL, "cancelled%s; %s runs on here", how, s->name);
}

static int out_of_time(struct steer *s, struct error *err)
{
	return error_set(err, -ECANCELED,
		"Give it more time, or a faster link; 'migrate --estimate' says what it takes",
		"not handed over within %u s (--timeout); %s runs on here", s->timeout_s, s->name);
}

/* What is waited for in any case, then what the caller waits for. */
enum { WAIT_CALLERS, WAIT_CLIENT, WAIT_OTHERS };

static bool any_ready(struct pollfd *fds, const struct pollfd *p, unsigned nr)
{
	bool any = false;

	for (unsigned i = 0; i < nr; i++) {
		fds[i].revents = p[i].revents;
		any |= p[i].revents != 0;
	}
	return any;
}

int steer_wait(
	struct steer *s, struct pollfd *fds, unsigned nr, int64_t deadline, struct error *err)
{
	struct pollfd p[WAIT_OTHERS + STEER_FDS] = {
		[WAIT_CALLERS] = {.fd = s->listen, .events = POLLIN},
		[WAIT_CLIENT] = {.fd = s->client, .events = POLLIN | POLLRDHUP},
	};

	for (unsigned i = 0; i < nr; i++)
		p[WAIT_OTHERS + i] = fds[i];
	for (;;) {
		int64_t first = deadline < s->deadline ? deadline : s->deadline;
		int n = poll(p, WAIT_OTHERS + nr, deadline_poll_ms(first));

		if (n < 0 && errno != EINTR)
			return error_sys(err, -errno, NULL, "cannot wait");
		if (n > 0 && p[WAIT_CLIENT].revents)
			return called_off(s, "", err);
		if (n > 0 && p[WAIT_CALLERS].revents && hear_caller(s))
			return called_off(s, " by 'migrate cancel'", err);
		if (clock_ms() >= s->deadline)
			return out_of_time(s, err);
		if (n > 0 && any_ready(fds, p + WAIT_OTHERS, nr))
			return 0;
		if (clock_ms() >= deadline)
			return -ETIMEDOUT;
	}
}

int steer_look(struct steer *s, struct error *err)
{
	int rc = steer_wait(s, NULL, 0, clock_ms(), err);

	return rc == -ETIMEDOUT ? 0 : rc;
}

void steer_close(struct steer *s, json_t *outcome)
{
	if (s->listen >= 0)
		unlink(s->path);
	fd_close(&s->listen);
	for (unsigned i = 0; i < s->nr_callers; i++) {
		(void)event_send(s->caller[i], json_incref(outcome));
		fd_close(&s->caller[i]);
	}
	s->nr_callers = 0;
	json_decref(outcome);
}
