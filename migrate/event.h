/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event: the JSON lines between the command-line programs and lifeboatd or one of its processes,
 * over the UNIX socket run_dir/lifeboatd.sock. The program sends one request line and gets event
 * lines back; the last one is a "summary", a "result" or an "error". Closing the socket, or
 * sending anything, cancels.
 */
#ifndef MIGRATE_EVENT_H
#define MIGRATE_EVENT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/config.h"
#include "base/findings.h"

#define EVENT_LINE_MAX 65536u

/* Send and free `event`. A reader that is gone is not an error: -EPIPE is returned and may be
 * ignored. */
int event_send(int fd, json_t *event);
/* As event_send for what may be missed: dropped when the reader lags, so that it never holds up a
 * move. */
void event_offer(int fd, json_t *event);
int event_send_error(int fd, const struct error *err);
int event_send_finding(int fd, const struct finding *finding);

/* Has the other end hung up, or said something, which asks for the same? Does not block. */
bool event_cancelled(int fd);

/* Lines out of a stream. */
struct event_reader {
	int fd;
	size_t used;
	char buf[EVENT_LINE_MAX];
};

/*
 * The next line, parsed; the caller decrefs it. 0, -EPIPE at the end, -ETIMEDOUT, -EINTR when a
 * signal came, -EPROTO for a line too long or not a JSON object.
 */
int event_next(struct event_reader *r, json_t **event, int64_t deadline) WARN_UNUSED;

/* Path of lifeboatd's socket. */
void event_socket_path(const struct config *cfg, char *out, size_t size);

#endif
