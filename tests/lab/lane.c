/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane.h"

#define QUEUE_MAX_BYTES	 (64U * 1024U * 1024U)
#define SHAPER_MIN_BYTES 65536U /* a slow link still buffers one TCP burst */

struct queued {
	struct queued *next;
	uint64_t due_ns;
	uint32_t len;
	uint8_t frame[];
};

/* One direction of the link. Frames leave in the order of their arrival:
 * due_ns never decreases along the list. */
struct lane {
	struct queued *head, **tail;
	size_t queued_bytes;
	uint64_t free_ns; /* when the wire has sent all it was given */
	uint64_t last_due_ns;
};

struct link_state link_state;
static struct lane lanes[2];
static FILE *capture;

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void lane_init(void)
{
	lanes[PORT_A].tail = &lanes[PORT_A].head;
	lanes[PORT_B].tail = &lanes[PORT_B].head;
}

static void capture_frame(const uint8_t *frame, uint32_t len)
{
	struct timespec ts;
	uint32_t head[4];

	if (!capture)
		return;
	clock_gettime(CLOCK_REALTIME, &ts);
	head[0] = (uint32_t)ts.tv_sec;
	head[1] = (uint32_t)(ts.tv_nsec / 1000);
	head[2] = head[3] = len;
	if (fwrite(head, sizeof(head), 1, capture) != 1 || fwrite(frame, len, 1, capture) != 1) {
		fprintf(stderr, "switch: capture stopped: %s\n", strerror(errno));
		lane_capture_stop();
		return;
	}
	link_state.captured++;
}

static void deliver(int from, const uint8_t *frame, uint32_t len)
{
	link_state.from[from].frames++;
	link_state.from[from].bytes += len;
	capture_frame(frame, len);
	port_send(from == PORT_A ? PORT_B : PORT_A, frame, len);
}

/* False when the wire's buffer is full: the frame is then lost, as on a real one. */
static bool enqueue(struct lane *l, const uint8_t *frame, uint32_t len)
{
	uint64_t now = now_ns(), rate = link_state.rate_bps;
	uint64_t start = l->free_ns > now ? l->free_ns : now;
	struct queued *q;

	if (rate) {
		uint64_t backlog = (start - now) / 1000 * rate / 8000000;
		uint64_t limit = rate / 8 / 20; /* 50 ms of the wire */

		if (backlog > (limit > SHAPER_MIN_BYTES ? limit : SHAPER_MIN_BYTES))
			return false;
	}
	if (l->queued_bytes + len > QUEUE_MAX_BYTES)
		return false;
	q = malloc(sizeof(*q) + len);
	if (!q)
		return false;
	l->free_ns = rate ? start + (uint64_t)len * 8 * NS_PER_S / rate : now;
	q->due_ns = l->free_ns + link_state.delay_ns;
	if (q->due_ns < l->last_due_ns)
		q->due_ns = l->last_due_ns;
	l->last_due_ns = q->due_ns;
	q->next = NULL;
	q->len = len;
	memcpy(q->frame, frame, len);
	*l->tail = q;
	l->tail = &q->next;
	l->queued_bytes += len;
	return true;
}

void lane_pass(int from, const uint8_t *frame, uint32_t len)
{
	struct lane *l = &lanes[from];

	if (link_state.down)
		link_state.from[from].drops++;
	else if (!link_state.rate_bps && !link_state.delay_ns && !l->head)
		deliver(from, frame, len);
	else if (!enqueue(l, frame, len))
		link_state.from[from].drops++;
}

static void run_until(int from, uint64_t until_ns)
{
	struct lane *l = &lanes[from];
	struct queued *q;

	while ((q = l->head) && q->due_ns <= until_ns) {
		l->head = q->next;
		if (!l->head)
			l->tail = &l->head;
		l->queued_bytes -= q->len;
		if (link_state.down)
			link_state.from[from].drops++;
		else
			deliver(from, q->frame, q->len);
		free(q);
	}
}

void lane_run(void)
{
	uint64_t now = now_ns();

	run_until(PORT_A, now);
	run_until(PORT_B, now);
}

uint64_t lane_next_due_ns(void)
{
	uint64_t due = UINT64_MAX;

	for (int i = 0; i < 2; i++)
		if (lanes[i].head && lanes[i].head->due_ns < due)
			due = lanes[i].head->due_ns;
	return due;
}

const char *lane_set_down(bool down)
{
	link_state.down = down;
	/* A cut cable loses what was on it. */
	if (down) {
		run_until(PORT_A, UINT64_MAX);
		run_until(PORT_B, UINT64_MAX);
	}
	return "ok";
}

const char *lane_set_rate(uint64_t bps)
{
	link_state.rate_bps = bps;
	/* What an old, slower rate promised to send late need not wait for it. */
	lanes[PORT_A].free_ns = lanes[PORT_B].free_ns = 0;
	return "ok";
}

const char *lane_set_delay(uint64_t us)
{
	link_state.delay_ns = us * 1000;
	return "ok";
}

const char *lane_capture_start(const char *path)
{
	static const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, sigfigs, snaplen, linktype;
	} head = {0xa1b2c3d4, 2, 4, 0, 0, FRAME_MAX, 1 /* Ethernet */};

	if (capture)
		return "error a capture is already running; end it with: lab capture stop";
	capture = fopen(path, "wbe");
	if (!capture)
		return "error cannot create the capture file";
	link_state.capturing = true;
	link_state.captured = 0;
	if (fwrite(&head, sizeof(head), 1, capture) != 1)
		return "error cannot write the capture file";
	return "ok";
}

const char *lane_capture_stop(void)
{
	int rc;

	if (!capture)
		return "error no capture is running";
	rc = fclose(capture);
	capture = NULL;
	link_state.capturing = false;
	return rc ? "error the capture file is not complete: the disk is full" : "ok";
}
