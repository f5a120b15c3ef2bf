/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/event.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define SEND_MS 5000

int event_send(int fd, json_t *event)
{
	char *text = json_dumps(event, JSON_COMPACT);
	int rc;

	json_decref(event);
	if (!text)
		return -ENOMEM;
	rc = io_write_all(fd, text, strlen(text), deadline_in(SEND_MS));
	if (rc == 0)
		rc = io_write_all(fd, "\n", 1, deadline_in(SEND_MS));
	free(text);
	return rc;
}

void event_offer(int fd, json_t *event)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	if (poll(&p, 1, 0) > 0 && (p.revents & POLLOUT))
		(void)event_send(fd, event);
	else
		json_decref(event);
}

/* An error that is no UTF-8 (half a character of what a user typed) still has to arrive. */
static json_t *text_of(const char *s)
{
	char clean[ERROR_TEXT_LEN];
	json_t *text = json_string(s);

	if (text)
		return text;
	snprintf(clean, sizeof(clean), "%s", s);
	for (char *p = clean; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return json_string(clean);
}

int event_send_error(int fd, const struct error *err)
{
	return event_send(fd, json_pack("{s:s, s:o, s:o}", "event", "error", "what",
				      text_of(err->what), "fix", text_of(err->fix)));
}

int event_send_finding(int fd, const struct finding *f)
{
	return event_send(
		fd, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "event", "finding", "severity",
			    finding_severity_name(f->severity), "code", f->code, "host", f->host,
			    "what", text_of(f->what), "fix", text_of(f->fix)));
}

bool event_cancelled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN | POLLRDHUP};

	return poll(&p, 1, 0) > 0 && p.revents;
}

/* Cut the first line out of the buffer. NULL while there is none. */
static json_t *take_line(struct event_reader *r, bool *bad)
{
	char *newline = memchr(r->buf, '\n', r->used);
	json_t *event;
	size_t len;

	*bad = false;
	if (!newline)
		return NULL;
	len = (size_t)(newline - r->buf);
	event = json_loadb(r->buf, len, JSON_REJECT_DUPLICATES, NULL);
	r->used -= len + 1;
	memmove(r->buf, newline + 1, r->used);
	if (json_is_object(event))
		return event;
	json_decref(event);
	*bad = true;
	return NULL;
}

int event_next(struct event_reader *r, json_t **event, int64_t deadline)
{
	for (;;) {
		struct pollfd p = {.fd = r->fd, .events = POLLIN};
		bool bad;
		ssize_t n;
		int ready;

		*event = take_line(r, &bad);
		if (*event)
			return 0;
		if (bad || r->used == sizeof(r->buf))
			return -EPROTO;
		ready = poll(&p, 1, deadline_poll_ms(deadline));
		if (ready < 0)
			return -errno;
		if (ready == 0)
			return -ETIMEDOUT;
		n = read(r->fd, r->buf + r->used, sizeof(r->buf) - r->used);
		if (n == 0)
			return -EPIPE;
		if (n < 0)
			return errno == ECONNRESET ? -EPIPE : -errno;
		r->used += (size_t)n;
	}
}

void event_socket_path(const struct config *cfg, char *out, size_t size)
{
	snprintf(out, size, "%s/lifeboatd.sock", cfg->run_dir);
}
