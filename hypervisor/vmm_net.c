/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vif is a TAP device in the bridge that the domain file names. The TAP is not persistent: it
 * goes when this process does, however it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hypervisor/vmm.h"

#define SIOCBRADDIF_LINUX 0x89a2 /* <linux/sockios.h> clashes with <net/if.h> */

static int open_tap(struct vmm_tap *tap, unsigned nr, struct error *err)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};

	tap->fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tap->fd < 0)
		return error_sys(err, -errno, "modprobe tun; vifs need root or CAP_NET_ADMIN",
			"cannot open /dev/net/tun");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "lb%d.%u", getpid(), nr);
	if (ioctl(tap->fd, TUNSETIFF, &ifr) < 0)
		return error_sys(err, -errno,
			"Run it as root (or with CAP_NET_ADMIN), or without vif=",
			"cannot make a TAP device; vifs need root or CAP_NET_ADMIN");
	memcpy(tap->ifname, ifr.ifr_name, sizeof(tap->ifname));
	tap->mtu = 1500;
	return 0;
}

/* No address of the host's own on this link, so no router solicitations in the guest's name. */
static void silence_ipv6(const char *ifname)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", ifname);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	/* A kernel without IPv6 has no such file and nothing to silence. */
	if (fd >= 0 && write(fd, "1", 1) < 0)
		errno = 0;
	fd_close(&fd);
}

/* The MTU of the bridge, the bridge's hand on it, and up. The guest's MAC stays the guest's. */
static int plug(struct vmm_tap *tap, const char *bridge, int sock)
{
	static const uint8_t host_mac[6] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff};
	unsigned index = if_nametoindex(tap->ifname);
	struct ifreq ifr = {0};

	silence_ipv6(tap->ifname);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	if (ioctl(sock, SIOCGIFMTU, &ifr) < 0)
		return -errno;
	tap->mtu = (uint32_t)ifr.ifr_mtu;
	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_name, tap->ifname, sizeof(ifr.ifr_name));
	ifr.ifr_mtu = (int)tap->mtu;
	if (ioctl(sock, SIOCSIFMTU, &ifr) < 0)
		return -errno;
	ifr.ifr_hwaddr = (struct sockaddr){.sa_family = ARPHRD_ETHER};
	memcpy(ifr.ifr_hwaddr.sa_data, host_mac, sizeof(host_mac));
	if (ioctl(sock, SIOCSIFHWADDR, &ifr) < 0)
		return -errno;
	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	ifr.ifr_ifindex = (int)index;
	if (ioctl(sock, SIOCBRADDIF_LINUX, &ifr) < 0)
		return -errno;
	memset(&ifr, 0, sizeof(ifr));
	memcpy(ifr.ifr_name, tap->ifname, sizeof(ifr.ifr_name));
	ifr.ifr_flags = IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

int vmm_net_open(struct vmm *vmm, struct error *err)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;

	for (unsigned i = 0; i < vmm->spec.nr_vifs && !rc; i++) {
		const char *bridge = vmm->spec.vif[i].bridge;

		rc = open_tap(&vmm->tap[i], i, err);
		if (rc || !bridge[0])
			continue;
		rc = plug(&vmm->tap[i], bridge, sock);
		if (rc)
			error_sys(err, rc,
				"Create it: ip link add NAME type bridge; or change vif=",
				"cannot put vif %u into bridge `%s'", i, bridge);
	}
	fd_close(&sock);
	return rc;
}

void vmm_net_close(struct vmm *vmm)
{
	for (unsigned i = 0; i < DOMAIN_VIFS_MAX; i++)
		fd_close(&vmm->tap[i].fd);
}
