/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vif into a bridge and out of it, as vif-bridge does it where no firewall rule, new name or hook
 * is asked for.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hypervisor/xen_attach.h"

/* Do bridged frames pass through iptables? Then the script has rules to write. */
static bool bridge_filters(void)
{
	int fd = open("/proc/sys/net/bridge/bridge-nf-call-iptables", O_RDONLY | O_CLOEXEC);
	char value = '0';
	bool yes = fd >= 0 && read(fd, &value, 1) == 1 && value != '0';

	if (fd >= 0)
		close(fd);
	return yes;
}

static bool has_hooks(void)
{
	DIR *dir = opendir(HOTPLUG_SCRIPT_DIR "/vif-post.d");
	bool yes = false;

	for (struct dirent *e; dir && !yes && (e = readdir(dir));)
		yes = strstr(e->d_name, ".hook") != NULL;
	if (dir)
		closedir(dir);
	return yes;
}

static bool is_set(const struct hotplug *h, const char *key)
{
	char *value = hotplug_read(h, key);
	bool yes = value && *value;

	free(value);
	return yes;
}

static bool is_bridge(const char *name)
{
	char path[64];

	if (!*name || strlen(name) >= IFNAMSIZ || strchr(name, '/'))
		return false;
	snprintf(path, sizeof(path), "/sys/class/net/%s/bridge", name);
	return access(path, F_OK) == 0;
}

static bool set_flags(int sock, const char *name, bool up)
{
	struct ifreq req = {0};

	strcpy(req.ifr_name, name);
	if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
		return false;
	req.ifr_flags = (short)(up ? req.ifr_flags | IFF_UP : req.ifr_flags & ~IFF_UP);
	return ioctl(sock, SIOCSIFFLAGS, &req) == 0;
}

/* fe:ff:ff:ff:ff:ff, so that the bridge never takes the port's address for its own. */
static bool set_address(int sock, const char *name)
{
	struct ifreq req = {.ifr_hwaddr = {.sa_family = ARPHRD_ETHER}};

	strcpy(req.ifr_name, name);
	memset(req.ifr_hwaddr.sa_data, 0xff, 6);
	req.ifr_hwaddr.sa_data[0] = (char)0xfe;
	return ioctl(sock, SIOCSIFHWADDR, &req) == 0;
}

/* The MTU that the configuration names, or the bridge's; the guest is told. */
static bool set_mtu(const struct hotplug *h, int sock, const char *bridge)
{
	char *asked = hotplug_read(h, "mtu"), *frontend = hotplug_read(h, "frontend");
	char path[HOTPLUG_PATH_LEN], text[16];
	struct ifreq req = {0};
	bool ok = frontend && strlen(frontend) < sizeof(path) - 8;

	strcpy(req.ifr_name, bridge);
	if (asked && *asked)
		req.ifr_mtu = atoi(asked);
	else if (ioctl(sock, SIOCGIFMTU, &req) < 0)
		ok = false;
	memset(req.ifr_name, 0, sizeof(req.ifr_name));
	strcpy(req.ifr_name, h->vif);
	ok = ok && req.ifr_mtu > 0 && ioctl(sock, SIOCSIFMTU, &req) == 0;
	if (ok) {
		snprintf(text, sizeof(text), "%d", req.ifr_mtu);
		snprintf(path, sizeof(path), "%.200s/mtu", frontend);
		ok = xs_write(h->xs, XBT_NULL, path, text, (unsigned)strlen(text));
	}
	free(asked);
	free(frontend);
	return ok;
}

static bool change_port(int sock, const char *bridge, const char *port, unsigned long how)
{
	struct ifreq req = {.ifr_ifindex = (int)if_nametoindex(port)};

	strcpy(req.ifr_name, bridge);
	return req.ifr_ifindex && ioctl(sock, how, &req) == 0;
}

/* Nothing that only the script can do: a bridge of Linux, no rules, no other name, no hooks. */
static bool is_plain(const struct hotplug *h, const char *bridge)
{
	return h->vif && strlen(h->vif) < IFNAMSIZ && bridge && is_bridge(bridge) &&
	       !is_set(h, "ip") && !is_set(h, "vifname") && !bridge_filters() && !has_hooks();
}

typedef bool port_fn(const struct hotplug *h, int sock, const char *bridge);

static bool attach(const struct hotplug *h, int sock, const char *bridge)
{
	return set_flags(sock, h->vif, false) && set_address(sock, h->vif) &&
	       set_mtu(h, sock, bridge) && change_port(sock, bridge, h->vif, SIOCBRADDIF) &&
	       set_flags(sock, h->vif, true) && hotplug_write(h, "hotplug-status", "connected");
}

/* It may have left the bridge before, or be gone altogether: then the script does nothing either.
 */
static bool detach(const struct hotplug *h, int sock, const char *bridge)
{
	set_flags(sock, h->vif, false);
	change_port(sock, bridge, h->vif, SIOCBRDELIF);
	return true;
}

static bool if_plain(const struct hotplug *h, port_fn *act)
{
	char *bridge = hotplug_read(h, "bridge");
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool done = sock >= 0 && is_plain(h, bridge) && act(h, sock, bridge);

	if (sock >= 0)
		close(sock);
	free(bridge);
	return done;
}

bool hotplug_vif(const struct hotplug *h)
{
	return if_plain(h, attach);
}

bool hotplug_vif_gone(const struct hotplug *h)
{
	return if_plain(h, detach);
}
