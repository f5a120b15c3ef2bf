/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The link between the two hosts: what the switch passes from one host to the other goes
 * through here and nowhere else. Rate, delay, cut and capture are the link's.
 */
#ifndef LAB_LANE_H_
#define LAB_LANE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { PORT_A, PORT_B, PORT_CLIENT, NR_PORTS };

#define FRAME_MAX (4096U + 65536U) /* QEMU's own NET_BUFSIZE */
#define NS_PER_S  1000000000ULL

struct lane_count {
	uint64_t frames, bytes, drops;
};

struct link_state {
	bool down;
	uint64_t rate_bps; /* 0: unlimited */
	uint64_t delay_ns; /* each way */
	bool capturing;
	uint64_t captured;
	struct lane_count from[2]; /* index: the port a frame came from */
};

extern struct link_state link_state;

/* The switch's: hand a frame to a port's host. */
void port_send(int to, const uint8_t *frame, uint32_t len);

uint64_t now_ns(void);

void lane_init(void);

/* A frame from one host for the other: now, later, or never. */
void lane_pass(int from, const uint8_t *frame, uint32_t len);

/* Deliver what has come due. */
void lane_run(void);

/* When the first waiting frame comes due, or UINT64_MAX. */
uint64_t lane_next_due_ns(void);

/* Each returns the reply for the control socket: "ok", or "error ...". */
const char *lane_set_down(bool down);
const char *lane_set_rate(uint64_t bps);
const char *lane_set_delay(uint64_t us);
const char *lane_capture_start(const char *path);
const char *lane_capture_stop(void);

#endif
