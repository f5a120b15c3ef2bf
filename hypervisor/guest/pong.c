/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pong: a minimal network host.
 *
 *   extra="ip=10.0.0.5/24"      answers ARP, ICMP echo, UDP echo (port 7) and, on UDP port 7777,
 *                               one JSON line with a counter and its uptime
 *   quiet                       no gratuitous ARP when it starts or was moved
 */
#include "guest_rt.h"

#define ETH_HEADER 14u
#define ETH_ARP	   0x0806u
#define ETH_IPV4   0x0800u
#define ARP_LEN	   28u
#define IP_HEADER  20u
#define ICMP_LEN   8u
#define UDP_HEADER 8u
#define PORT_ECHO  7u
#define PORT_COUNT 7777u
#define SECOND_NS  1000000000u

static struct {
	uint8_t mac[6];
	uint8_t ip[4];
	bool quiet;
	uint64_t counter, frames, start;
	uint8_t frame[GUEST_FRAME_MAX];
} pong;

static const uint8_t broadcast[6] = {255, 255, 255, 255, 255, 255};

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t sum_bytes(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += get16(p + i);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	return sum;
}

static unsigned sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void send_frame(size_t len)
{
	guest_call(HC_NET_TX, 0, (uintptr_t)pong.frame, len, 0);
}

/* Turn the frame round: its sender becomes its receiver. */
static void turn_ethernet(void)
{
	memcpy(pong.frame, pong.frame + 6, 6);
	memcpy(pong.frame + 6, pong.mac, 6);
}

static void turn_ipv4(size_t total)
{
	uint8_t *ip = pong.frame + ETH_HEADER;

	turn_ethernet();
	put16(ip + 2, (unsigned)total);
	ip[8] = 64;
	memcpy(ip + 16, ip + 12, 4);
	memcpy(ip + 12, pong.ip, 4);
	put16(ip + 10, 0);
	put16(ip + 10, sum_fold(sum_bytes(0, ip, IP_HEADER)));
}

static void announce(void)
{
	uint8_t *arp = pong.frame + ETH_HEADER;
	static const uint8_t start[8] = {0, 1, 8, 0, 6, 4, 0, 1};

	memset(pong.frame, 0, ETH_HEADER + ARP_LEN);
	memcpy(pong.frame, broadcast, 6);
	memcpy(pong.frame + 6, pong.mac, 6);
	put16(pong.frame + 12, ETH_ARP);
	memcpy(arp, start, 8);
	memcpy(arp + 8, pong.mac, 6);
	memcpy(arp + 14, pong.ip, 4);
	memcpy(arp + 24, pong.ip, 4);
	send_frame(ETH_HEADER + ARP_LEN);
}

static void handle_arp(size_t len)
{
	uint8_t *arp = pong.frame + ETH_HEADER;

	if (len < ETH_HEADER + ARP_LEN || get16(arp + 6) != 1 || memcmp(arp + 24, pong.ip, 4) != 0)
		return;
	turn_ethernet();
	put16(arp + 6, 2);
	memcpy(arp + 18, arp + 8, 10);
	memcpy(arp + 8, pong.mac, 6);
	memcpy(arp + 14, pong.ip, 4);
	send_frame(ETH_HEADER + ARP_LEN);
}

static void handle_icmp(size_t total)
{
	uint8_t *icmp = pong.frame + ETH_HEADER + IP_HEADER;
	size_t len = total - IP_HEADER;

	if (len < ICMP_LEN || icmp[0] != 8)
		return;
	icmp[0] = 0;
	put16(icmp + 2, 0);
	put16(icmp + 2, sum_fold(sum_bytes(0, icmp, len)));
	turn_ipv4(total);
	send_frame(ETH_HEADER + total);
}

static size_t count_line(char *out, size_t size)
{
	uint64_t up = guest_clock_ns() - pong.start;

	return text_format(out, size, "{\"counter\": %lu, \"uptime_ms\": %lu, \"frames\": %lu}\n",
		++pong.counter, up / 1000000, pong.frames);
}

static void handle_udp(size_t total)
{
	uint8_t *udp = pong.frame + ETH_HEADER + IP_HEADER;
	unsigned source, dest;

	if (total < IP_HEADER + UDP_HEADER)
		return;
	source = get16(udp);
	dest = get16(udp + 2);
	if (dest == PORT_COUNT)
		total = IP_HEADER + UDP_HEADER + count_line((char *)udp + UDP_HEADER, 256);
	else if (dest != PORT_ECHO || source == PORT_ECHO)
		return;
	put16(udp, dest);
	put16(udp + 2, source);
	put16(udp + 4, (unsigned)(total - IP_HEADER));
	put16(udp + 6, 0); /* IPv4 allows UDP without a checksum */
	turn_ipv4(total);
	send_frame(ETH_HEADER + total);
}

static void handle_ipv4(size_t len)
{
	uint8_t *ip = pong.frame + ETH_HEADER;
	size_t total;

	if (len < ETH_HEADER + IP_HEADER || ip[0] != 0x45 || memcmp(ip + 16, pong.ip, 4) != 0)
		return;
	total = get16(ip + 2);
	if (total < IP_HEADER || total > len - ETH_HEADER || (get16(ip + 6) & 0x3fff) != 0)
		return; /* torn or a fragment */
	if (ip[9] == 1)
		handle_icmp(total);
	else if (ip[9] == 17)
		handle_udp(total);
}

static void receive_all(void)
{
	long len;

	while ((len = guest_call(HC_NET_RX, 0, (uintptr_t)pong.frame, sizeof(pong.frame), 0)) > 0) {
		if ((size_t)len < ETH_HEADER)
			continue;
		pong.frames++;
		if (memcmp(pong.frame, pong.mac, 6) != 0 && memcmp(pong.frame, broadcast, 6) != 0)
			continue;
		if (get16(pong.frame + 12) == ETH_ARP)
			handle_arp((size_t)len);
		else if (get16(pong.frame + 12) == ETH_IPV4)
			handle_ipv4((size_t)len);
	}
}

static bool parse_ip(const char *s, uint8_t ip[static 4])
{
	for (int i = 0; i < 4; i++) {
		unsigned v = 0;

		if (*s < '0' || *s > '9')
			return false;
		for (; *s >= '0' && *s <= '9'; s++)
			v = v * 10 + (unsigned)(*s - '0');
		if (v > 255 || (i < 3 && *s++ != '.'))
			return false;
		ip[i] = (uint8_t)v;
	}
	return *s == '\0' || *s == '/';
}

static void setup(const struct guest_info *info)
{
	char ip[32];

	if (info->nr_vifs == 0 || !cmdline_string(info, "ip", ip, sizeof(ip)) ||
		!parse_ip(ip, pong.ip)) {
		console_print("pong: needs a vif and extra=\"ip=A.B.C.D\"\n");
		guest_exit(GUEST_POWEROFF);
	}
	memcpy(pong.mac, info->mac[0], 6);
	pong.quiet = cmdline_flag(info, "quiet");
	pong.start = guest_clock_ns();
	console_print(
		"pong: %u.%u.%u.%u answers\n", pong.ip[0], pong.ip[1], pong.ip[2], pong.ip[3]);
	if (!pong.quiet)
		announce();
}

_Noreturn void guest_main(const struct guest_info *info)
{
	uint64_t tick = 0, next;

	setup(info);
	next = pong.start + SECOND_NS;
	for (;;) {
		uint32_t events = guest_wait(next, GUEST_EVENT_ALL & ~GUEST_EVENT_CONSOLE);

		if (events & (GUEST_EVENT_SHUTDOWN | GUEST_EVENT_REBOOT)) {
			console_print("pong: final counter %lu\n", pong.counter);
			guest_exit(events & GUEST_EVENT_SHUTDOWN ? GUEST_POWEROFF : GUEST_REBOOT);
		}
		if (events & GUEST_EVENT_RESUMED) {
			console_print(
				"pong: resumed on another host at counter %lu\n", pong.counter);
			if (!pong.quiet)
				announce();
		}
		if (events & GUEST_EVENT_NET)
			receive_all();
		if (events & GUEST_EVENT_TIMER) {
			guest_call(HC_REPORT, ++tick, 0, 0, 0);
			next = guest_clock_ns() + SECOND_NS;
		}
	}
}
