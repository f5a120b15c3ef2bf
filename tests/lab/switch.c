/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The lab's Ethernet switch: two QEMU hosts and, where the machine allows it, a
 * TAP for an outside client.
 *
 *      host a --- a.sock \                      / b.sock --- host b
 *                         >--- the link -------<
 *                  client0 (TAP): reaches both, past the link
 *
 * "The link" is what passes between a and b: only there do down, rate, delay and
 * capture apply, so a client still reaches both hosts while they cannot see each
 * other. A kernel with netem could do this; many have none, hence user space.
 *
 * Each host socket speaks QEMU's "-netdev stream": a frame is its length as 32
 * bits big endian, then its bytes. Control is one datagram in, one out:
 *      show | down | up | rate BITS_PER_S (0: unlimited) | delay MICROSECONDS
 *      age MILLISECONDS: how long it remembers where it last heard a MAC
 *      capture start PATH | capture stop
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lane.h"

#define IN_BYTES  (256U * 1024U)
#define OUT_BYTES (2U * 1024U * 1024U) /* a frozen host loses what exceeds this */
#define NR_MACS	  64
#define AGE_NS	  (300 * NS_PER_S) /* as switches and Linux bridges have it */

struct port {
	int listen_fd;
	int fd;
	size_t in_len, out_len;
	uint8_t in[IN_BYTES];
	uint8_t out[OUT_BYTES];
	uint64_t frames, bytes, drops; /* towards this port */
};

struct mac_entry {
	uint8_t mac[6];
	int port;
	uint64_t seen_ns;
};

static struct port ports[NR_PORTS];
static struct mac_entry macs[NR_MACS];
static uint64_t age_ns = AGE_NS;
static int control_fd;
static char socket_dir[sizeof(((struct sockaddr_un *)0)->sun_path) - 16];
static volatile sig_atomic_t stopping;

static void die(const char *what)
{
	fprintf(stderr, "switch: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- ports ---- */

static void port_close(struct port *p)
{
	close(p->fd);
	p->fd = -1;
	p->in_len = p->out_len = 0;
}

static void port_flush(struct port *p)
{
	ssize_t n;

	if (p->fd < 0 || p->out_len == 0)
		return;
	n = send(p->fd, p->out, p->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			port_close(p);
		return;
	}
	p->out_len -= (size_t)n;
	memmove(p->out, p->out + n, p->out_len);
}

void port_send(int to, const uint8_t *frame, uint32_t len)
{
	struct port *p = &ports[to];
	uint32_t wire_len = htonl(len);

	if (p->fd < 0)
		return;
	if (to == PORT_CLIENT) {
		if (write(p->fd, frame, len) != (ssize_t)len)
			p->drops++;
	} else if (OUT_BYTES - p->out_len < len + sizeof(wire_len)) {
		p->drops++;
		return;
	} else {
		memcpy(p->out + p->out_len, &wire_len, sizeof(wire_len));
		memcpy(p->out + p->out_len + sizeof(wire_len), frame, len);
		p->out_len += len + sizeof(wire_len);
	}
	p->frames++;
	p->bytes += len;
}

/* ---- forwarding ---- */

/* The port a MAC was last seen at, or -1, also when that is too long ago. With learn >= 0
 * it is put there: a guest that moved announces itself from the other side, and the entry
 * follows. */
static int mac_port(const uint8_t *mac, int learn)
{
	struct mac_entry *oldest = &macs[0];

	for (int i = 0; i < NR_MACS; i++) {
		struct mac_entry *m = &macs[i];

		if (m->seen_ns && !memcmp(m->mac, mac, 6)) {
			if (learn >= 0) {
				m->port = learn;
				m->seen_ns = now_ns();
			}
			return now_ns() - m->seen_ns < age_ns ? m->port : -1;
		}
		if (m->seen_ns < oldest->seen_ns)
			oldest = m;
	}
	if (learn >= 0 && !(mac[0] & 1)) {
		memcpy(oldest->mac, mac, 6);
		oldest->port = learn;
		oldest->seen_ns = now_ns();
	}
	return -1;
}

static void forward(int from, const uint8_t *frame, uint32_t len)
{
	int to;

	if (len < 14)
		return;
	mac_port(frame + 6, from);
	to = (frame[0] & 1) ? -1 : mac_port(frame, -1);
	for (int i = 0; i < NR_PORTS; i++) {
		if (i == from || (to >= 0 && i != to))
			continue;
		if (from != PORT_CLIENT && i != PORT_CLIENT)
			lane_pass(from, frame, len);
		else
			port_send(i, frame, len);
	}
}

static void port_read(int from)
{
	struct port *p = &ports[from];
	size_t at = 0;
	ssize_t n;

	n = read(p->fd, p->in + p->in_len, IN_BYTES - p->in_len);
	if (n <= 0) {
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (from != PORT_CLIENT)
			port_close(p);
		return;
	}
	if (from == PORT_CLIENT) {
		forward(from, p->in, (uint32_t)n);
		return;
	}
	p->in_len += (size_t)n;
	while (p->in_len - at >= sizeof(uint32_t)) {
		uint32_t len;

		memcpy(&len, p->in + at, sizeof(len));
		len = ntohl(len);
		if (len > FRAME_MAX) {
			fprintf(stderr,
				"switch: port %d: frame of %" PRIu32 " bytes, port closed\n", from,
				len);
			port_close(p);
			return;
		}
		if (p->in_len - at - sizeof(len) < len)
			break;
		forward(from, p->in + at + sizeof(len), len);
		at += sizeof(len) + len;
	}
	p->in_len -= at;
	memmove(p->in, p->in + at, p->in_len);
}

static void port_accept(struct port *p)
{
	int fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	/* A host that is started again takes its port over from its dead self. */
	if (p->fd >= 0)
		port_close(p);
	p->fd = fd;
}

/* ---- control ---- */

static const char *control_show(char *buf, size_t size)
{
	const struct link_state *l = &link_state;
	int n = snprintf(buf, size,
		"ok {\"link\": \"%s\", \"rate_bps\": %" PRIu64 ", \"delay_us\": %" PRIu64
		", \"capture\": %s, \"captured_frames\": %" PRIu64 ", \"client\": %s",
		l->down ? "down" : "up", l->rate_bps, l->delay_ns / 1000,
		l->capturing ? "true" : "false", l->captured,
		ports[PORT_CLIENT].fd >= 0 ? "true" : "false");

	for (int i = 0; i < 2 && n > 0 && (size_t)n < size; i++)
		n += snprintf(buf + n, size - (size_t)n,
			", \"from_%c\": {\"frames\": %" PRIu64 ", \"bytes\": %" PRIu64
			", \"drops\": %" PRIu64 ", \"port_drops\": %" PRIu64
			", \"connected\": %s}%s",
			'a' + i, l->from[i].frames, l->from[i].bytes, l->from[i].drops,
			ports[1 - i].drops, ports[i].fd >= 0 ? "true" : "false", i ? "}" : "");
	return buf;
}

static const char *control_run(const char *line, char *buf, size_t size)
{
	uint64_t value;

	if (!strcmp(line, "show"))
		return control_show(buf, size);
	if (!strcmp(line, "down") || !strcmp(line, "up"))
		return lane_set_down(line[0] == 'd');
	if (sscanf(line, "rate %" SCNu64, &value) == 1)
		return lane_set_rate(value);
	if (sscanf(line, "delay %" SCNu64, &value) == 1)
		return lane_set_delay(value);
	if (sscanf(line, "age %" SCNu64, &value) == 1 && value) {
		age_ns = value * 1000000;
		return "ok";
	}
	if (!strncmp(line, "capture start ", 14))
		return lane_capture_start(line + 14);
	if (!strcmp(line, "capture stop"))
		return lane_capture_stop();
	return "error unknown command";
}

static void control_read(void)
{
	struct sockaddr_un from;
	socklen_t from_len = sizeof(from);
	char line[4096], buf[1024];
	const char *reply;
	ssize_t n;

	n = recvfrom(control_fd, line, sizeof(line) - 1, MSG_DONTWAIT, (struct sockaddr *)&from,
		&from_len);
	if (n < 0)
		return;
	line[n] = '\0';
	reply = control_run(line, buf, sizeof(buf));
	sendto(control_fd, reply, strlen(reply), MSG_DONTWAIT | MSG_NOSIGNAL,
		(struct sockaddr *)&from, from_len);
}

/* ---- start and loop ---- */

static int socket_bind(int type, const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", socket_dir, name);
	unlink(sun.sun_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		die(sun.sun_path);
	if (type == SOCK_STREAM && listen(fd, 1) < 0)
		die(sun.sun_path);
	return fd;
}

static int tap_open(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		die("/dev/net/tun");
	return fd;
}

static void on_signal(int sig)
{
	(void)sig;
	stopping = 1;
}

/* How long poll() may sleep: until the first frame comes due, or for ever. */
static const struct timespec *next_timeout(struct timespec *ts)
{
	uint64_t due = lane_next_due_ns(), now = now_ns();

	if (due == UINT64_MAX)
		return NULL;
	due = due > now ? due - now : 0;
	ts->tv_sec = (time_t)(due / NS_PER_S);
	ts->tv_nsec = (long)(due % NS_PER_S);
	return ts;
}

static void loop_once(const sigset_t *mask)
{
	struct pollfd fds[2 * NR_PORTS + 1];
	struct timespec ts;

	for (int i = 0; i < NR_PORTS; i++) {
		fds[i] = (struct pollfd){.fd = ports[i].fd, .events = POLLIN};
		if (ports[i].out_len)
			fds[i].events |= POLLOUT;
		fds[NR_PORTS + i] = (struct pollfd){.fd = ports[i].listen_fd, .events = POLLIN};
	}
	fds[2 * NR_PORTS] = (struct pollfd){.fd = control_fd, .events = POLLIN};
	if (ppoll(fds, 2 * NR_PORTS + 1, next_timeout(&ts), mask) < 0)
		return;
	for (int i = 0; i < NR_PORTS; i++) {
		if (fds[NR_PORTS + i].revents)
			port_accept(&ports[i]);
		else if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			port_read(i);
	}
	if (fds[2 * NR_PORTS].revents)
		control_read();
	lane_run();
	port_flush(&ports[PORT_A]);
	port_flush(&ports[PORT_B]);
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t block, open_mask;

	if (argc < 2 || argc > 3 || strlen(argv[1]) >= sizeof(socket_dir)) {
		fprintf(stderr, "usage: switch SOCKET-DIR [TAP-NAME]\n");
		return 2;
	}
	snprintf(socket_dir, sizeof(socket_dir), "%s", argv[1]);
	/* Signals arrive only inside ppoll(), so none is lost between test and sleep. */
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigprocmask(SIG_BLOCK, &block, &open_mask);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	lane_init();
	for (int i = 0; i < NR_PORTS; i++)
		ports[i].fd = ports[i].listen_fd = -1;
	ports[PORT_A].listen_fd = socket_bind(SOCK_STREAM, "a.sock");
	ports[PORT_B].listen_fd = socket_bind(SOCK_STREAM, "b.sock");
	if (argc == 3)
		ports[PORT_CLIENT].fd = tap_open(argv[2]);
	control_fd = socket_bind(SOCK_DGRAM, "control.sock");
	while (!stopping)
		loop_once(&open_mask);
	lane_capture_stop();
	return 0;
}
