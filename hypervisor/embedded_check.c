/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypervisor/embedded.h"

static int read_meminfo(uint64_t *total_kb, uint64_t *available_kb)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long v;
	char line[128];

	*total_kb = 0;
	*available_kb = 0;
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemTotal: %llu kB", &v) == 1)
			*total_kb = v;
		else if (sscanf(line, "MemAvailable: %llu kB", &v) == 1)
			*available_kb = v;
	}
	fclose(f);
	return *total_kb ? 0 : -EIO;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What other domains were promised counts as gone, whether they use it yet or not. */
static int memory_kb(const struct embedded_host *host, const struct vmm_reply *list, size_t nr,
	uint64_t *free_kb, uint64_t *total_kb, struct error *err)
{
	uint64_t promised = 0, unused = 0, available;
	int rc = read_meminfo(total_kb, &available);

	if (rc)
		return error_sys(err, rc, NULL, "cannot read /proc/meminfo");
	for (size_t i = 0; i < nr; i++) {
		promised += list[i].dom.memory_kb;
		unused += minus(list[i].dom.memory_kb, list[i].populated_kb);
	}
	*free_kb = minus(available, unused);
	if (host->memory_mb) {
		*total_kb = (uint64_t)host->memory_mb << 10;
		*free_kb = minus(*total_kb, promised);
	}
	return 0;
}

int embedded_memory_kb(
	const struct embedded_host *host, uint64_t *free_kb, uint64_t *total_kb, struct error *err)
{
	struct vmm_reply *list;
	size_t nr;
	int rc = embedded_list(host, &list, &nr, err);

	if (rc)
		return rc;
	rc = memory_kb(host, list, nr, free_kb, total_kb, err);
	free(list);
	return rc;
}

static int check_memory(const struct embedded_host *host, const struct domain_spec *spec,
	const struct vmm_reply *list, size_t nr, struct findings *found, struct error *err)
{
	uint64_t free_kb, total_kb, need_kb = spec->memory_mb << 10;
	int rc = memory_kb(host, list, nr, &free_kb, &total_kb, err);

	if (rc || need_kb <= free_kb)
		return rc;
	findings_add(found, FINDING_BLOCKER, "memory",
		host->memory_mb
			? "Stop a domain here, or raise embedded_memory in the configuration"
			: "Stop a domain or a program here, or give the domain less memory",
		"domain `%s' needs %llu MiB of memory, %llu MiB are free here", spec->name,
		(unsigned long long)spec->memory_mb, (unsigned long long)free_kb >> 10);
	return 0;
}

/* A domain that is called NAME, or will be when its move is done. */
static bool same_name(const char *there, const char *name)
{
	size_t len = strlen(name);

	return strncmp(there, name, len) == 0 &&
	       (there[len] == '\0' || strcmp(there + len, SUFFIX_INCOMING) == 0);
}

static void check_identity(const struct domain_spec *spec, const struct vmm_reply *list, size_t nr,
	struct findings *found)
{
	for (size_t i = 0; i < nr; i++) {
		const struct domain *dom = &list[i].dom;

		if (same_name(dom->name, spec->name))
			findings_add(found, FINDING_BLOCKER, "name",
				"Destroy or rename that one, or choose another name",
				"a domain named `%s' exists on this host", dom->name);
		else if (memcmp(dom->uuid, spec->uuid, DOMAIN_UUID_LEN) == 0)
			findings_add(found, FINDING_BLOCKER, "uuid",
				"Destroy that one, or choose another uuid",
				"domain `%s' on this host has the same UUID", dom->name);
	}
}

/* Two guests with one address: neither is reached reliably. The domain itself is no second one. */
static void check_macs(const struct domain_spec *spec, const struct vmm_reply *list, size_t nr,
	struct findings *found)
{
	for (size_t i = 0; i < nr; i++)
		if (memcmp(list[i].dom.uuid, spec->uuid, DOMAIN_UUID_LEN) != 0)
			hypervisor_check_macs(
				&list[i].dom, spec->name, spec->vif, spec->nr_vifs, found);
}

static bool may_make_taps(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	return syscall(SYS_capget, &header, data) == 0 &&
	       (data[0].effective & 1u << CAP_NET_ADMIN) != 0;
}

/* Asked of the kernel and not of /sys, which may show another network namespace. */
static bool is_bridge(const char *name)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ifr = {.ifr_data = (char *)&info};
	bool is;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	is = ioctl(sock, SIOCETHTOOL, &ifr) == 0 && strcmp(info.driver, "bridge") == 0;
	fd_close(&sock);
	return is;
}

/* Has an earlier vif of the same domain named it? It need not be said twice. */
static bool named_before(const struct domain_spec *spec, unsigned i)
{
	for (unsigned j = 0; j < i; j++)
		if (strcmp(spec->vif[j].bridge, spec->vif[i].bridge) == 0)
			return true;
	return false;
}

static void check_vifs(const struct domain_spec *spec, struct findings *found)
{
	if (spec->nr_vifs && !may_make_taps())
		findings_add(found, FINDING_BLOCKER, "privilege",
			"Run it as root (or with CAP_NET_ADMIN), or without vif=",
			"vifs need root or CAP_NET_ADMIN");
	for (unsigned i = 0; i < spec->nr_vifs; i++) {
		const char *bridge = spec->vif[i].bridge;

		if (!bridge[0] || named_before(spec, i) || is_bridge(bridge))
			continue;
		findings_add(found, FINDING_BLOCKER, "bridge", NULL,
			"bridge `%s' does not exist on this host", bridge);
		findings_fix(found,
			"Create it: ip link add %s type bridge && ip link set %s up; or change vif= in the domain file",
			bridge, bridge);
	}
}

static void check_disks(const struct domain_spec *spec, struct findings *found)
{
	for (unsigned i = 0; i < spec->nr_disks; i++) {
		const struct domain_disk *disk = &spec->disk[i];

		if (access(disk->path, disk->readonly ? R_OK : R_OK | W_OK) < 0)
			findings_add(found, FINDING_BLOCKER, "disk",
				"Make the file, or change disk= in the domain file",
				"cannot use disk %s on this host: %s", disk->path, strerror(errno));
	}
}

int embedded_check(const struct embedded_host *host, const struct domain_spec *spec,
	struct findings *found, struct error *err)
{
	struct vmm_reply *list;
	size_t nr;
	int rc = embedded_list(host, &list, &nr, err);

	if (rc)
		return rc;
	check_identity(spec, list, nr, found);
	rc = check_memory(host, spec, list, nr, found, err);
	check_macs(spec, list, nr, found);
	check_vifs(spec, found);
	check_disks(spec, found);
	free(list);
	return rc;
}

int embedded_check_all(
	const struct embedded_host *host, const struct domain_spec *spec, struct error *err)
{
	struct findings *found = calloc(1, sizeof(*found));
	int rc = found ? embedded_check(host, spec, found, err)
		       : error_sys(err, -ENOMEM, NULL, "cannot check the domain");

	if (rc == 0)
		rc = findings_error(found, -EOPNOTSUPP, err);
	free(found);
	return rc;
}
