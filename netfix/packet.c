/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_BYTES (128 << 10)

static int open_packet(int type, struct error *err)
{
	int fd = socket(AF_PACKET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		return fd;
	fd = -errno;
	if (fd == -EPERM || fd == -EACCES)
		return error_set(err, fd, "Run it as root, or with CAP_NET_RAW",
			"raw frames need CAP_NET_RAW, which this process does not have");
	return error_sys(err, fd, NULL, "cannot open a packet socket");
}

int packet_sender(struct error *err)
{
	return open_packet(SOCK_RAW, err);
}

/* The six bytes at `offset` are `mac`: let PACKET_MAX bytes through. */
static int filter_mac(int fd, uint32_t offset, const uint8_t *mac)
{
	uint32_t high =
		(uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3];
	uint32_t low = (uint32_t)mac[4] << 8 | mac[5];
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offset + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, PACKET_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

static int filter_type(int fd, uint32_t type)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, type, 2, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 16),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, type, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, PACKET_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

static int set_filter(int fd, enum packet_filter filter, const uint8_t *mac)
{
	switch (filter) {
	case PACKET_FROM:
		return filter_mac(fd, MAC_LEN, mac);
	case PACKET_TO:
		return filter_mac(fd, 0, mac);
	case PACKET_PROBES:
		return filter_type(fd, FRAME_PROBE);
	}
	return -EINVAL;
}

int packet_listener(int index, enum packet_filter filter, const uint8_t *mac, struct error *err)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = index};
	const int on = 1, room = BUFFER_BYTES;
	int fd = open_packet(SOCK_RAW, err), rc;

	if (fd < 0)
		return fd;
	/* The filter first: bound, it would let everything in that comes between. */
	rc = set_filter(fd, filter, mac);
	if (rc == 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
		setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on));
		rc = bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
	}
	if (rc == 0)
		return fd;
	fd_close(&fd);
	return error_sys(err, rc, NULL, "cannot listen on the link with number %d", index);
}

static uint16_t vlan_of(struct msghdr *msg)
{
	struct tpacket_auxdata aux;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
			c->cmsg_len < CMSG_LEN(sizeof(aux)))
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (aux.tp_status & TP_STATUS_VLAN_VALID)
			return aux.tp_vlan_tci & 0xfff;
	}
	return 0;
}

int packet_read(int fd, struct packet *p)
{
	struct sockaddr_ll from = {0};
	struct iovec iov = {.iov_base = p->data, .iov_len = sizeof(p->data)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} control;
	struct msghdr msg = {.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	if (n <= 0)
		return 0;
	p->len = (size_t)n;
	p->vlan = vlan_of(&msg);
	p->outgoing = from.sll_pkttype == PACKET_OUTGOING;
	return 1;
}

static int send_on(int fd, int index, const struct frame *frame, uint16_t tag)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = index, .sll_halen = MAC_LEN};
	struct frame out = *frame;

	frame_tag(&out, tag);
	memcpy(to.sll_addr, out.data, MAC_LEN);
	return sendto(fd, out.data, out.len, 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno
											: 0;
}

int packet_inject(int fd, const struct nethost *h, const struct nethost_link *from,
	const struct frame *frame, uint16_t vlan)
{
	const struct nethost_link *bridge = from->bridge ? from : nethost_by_index(h, from->master);
	int nr = 0, rc = 0;

	if (!bridge)
		return -ENODEV;
	for (size_t i = 0; i < h->nr; i++) {
		int tag = nethost_way_out(bridge, from, &h->link[i], vlan), sent;

		if (tag < 0)
			continue;
		sent = send_on(fd, h->link[i].index, frame, (uint16_t)tag);
		nr += sent == 0;
		/* A port that went down meanwhile is none of the others' matter. */
		if (sent && sent != -ENETDOWN && sent != -ENXIO)
			rc = sent;
	}
	return nr ? nr : rc;
}
