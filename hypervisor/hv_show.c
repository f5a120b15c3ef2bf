/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/hv.h"

#define UUID_TEXT 37
#define MAC_TEXT  18

static void uuid_text(const uint8_t *u, char out[static UUID_TEXT])
{
	snprintf(out, UUID_TEXT,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
		u[15]);
}

static void mac_text(const uint8_t *m, char out[static MAC_TEXT])
{
	snprintf(
		out, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static json_t *vifs_json(const struct domain *dom)
{
	json_t *list = json_array();
	char mac[MAC_TEXT];

	for (unsigned i = 0; i < dom->nr_vifs; i++) {
		mac_text(dom->vif[i].mac, mac);
		json_array_append_new(
			list, json_pack("{s:s, s:s}", "mac", mac, "bridge", dom->vif[i].bridge));
	}
	return list;
}

static json_t *disks_json(const struct domain *dom)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < dom->nr_disks; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:b}", "path", dom->disk[i].path, "vdev",
				      dom->disk[i].vdev, "readonly", dom->disk[i].readonly));
	return list;
}

static json_t *domain_json(const struct domain *dom)
{
	char uuid[UUID_TEXT];

	uuid_text(dom->uuid, uuid);
	return json_pack("{s:s, s:s, s:I, s:s, s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:o, s:o}",
		"name", dom->name, "uuid", uuid, "domid", (json_int_t)dom->domid, "type",
		domain_type_name(dom->type), "state", domain_state_name(dom->state), "memory_kb",
		(json_int_t)dom->memory_kb, "vcpus", (json_int_t)dom->vcpus, "cpu_ms",
		(json_int_t)dom->cpu_ms, "tracker", dom->tracker, "tick", (json_int_t)dom->tick,
		"faults", (json_int_t)dom->faults, "vif", vifs_json(dom), "disk", disks_json(dom));
}

static int print_json(struct hv *h, json_t *root)
{
	int rc = root ? json_dumpf(root, stdout, JSON_INDENT(2)) : -1;

	json_decref(root);
	if (rc || putchar('\n') == EOF)
		return error_sys(&h->err, -EIO, NULL, "cannot print");
	return 0;
}

static int list_json(struct hv *h, const struct domain *list, size_t nr)
{
	json_t *root = json_array();

	for (size_t i = 0; i < nr; i++)
		json_array_append_new(root, domain_json(&list[i]));
	return print_json(h, root);
}

int hv_list(struct hv *h)
{
	struct domain *list;
	size_t nr;
	int rc = h->hv->list(&list, &nr, &h->err);

	if (rc)
		return rc;
	if (h->json) {
		rc = list_json(h, list, nr);
		free(list);
		return rc;
	}
	printf("%-40s %7s %5s %5s %-10s %s\n", "Name", "ID", "Mem", "VCPUs", "State", "Time(s)");
	for (size_t i = 0; i < nr; i++)
		printf("%-40s %7u %5llu %5u %-10s %7.1f\n", list[i].name, list[i].domid,
			(unsigned long long)list[i].memory_kb >> 10, list[i].vcpus,
			domain_state_name(list[i].state), (double)list[i].cpu_ms / 1000);
	free(list);
	return 0;
}

static int host_info(struct hv *h)
{
	struct hv_host host;
	int rc = h->hv->host(&host, &h->err);

	if (rc)
		return rc;
	if (h->json)
		return print_json(
			h, json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s}", "backend", host.backend,
				   "version", host.version, "cpus", (json_int_t)host.cpus,
				   "memory_total_kb", (json_int_t)host.memory_total_kb,
				   "memory_free_kb", (json_int_t)host.memory_free_kb, "tracker",
				   host.tracker, "tracker_reason", host.tracker_reason));
	printf("hypervisor  %s %s\n", host.backend, host.version);
	printf("cpus        %u\n", host.cpus);
	printf("memory      %llu MiB, %llu MiB free for new domains\n",
		(unsigned long long)host.memory_total_kb >> 10,
		(unsigned long long)host.memory_free_kb >> 10);
	printf("dirty pages %s\n", host.tracker);
	if (host.tracker_reason[0])
		printf("            not pagemap: %s\n", host.tracker_reason);
	return 0;
}

static void print_devices(const struct domain *dom)
{
	char mac[MAC_TEXT];

	for (unsigned i = 0; i < dom->nr_vifs; i++) {
		mac_text(dom->vif[i].mac, mac);
		printf("vif %u       %s, bridge %s\n", i, mac,
			dom->vif[i].bridge[0] ? dom->vif[i].bridge : "(none)");
	}
	for (unsigned i = 0; i < dom->nr_disks; i++)
		printf("disk %s   %s%s\n", dom->disk[i].vdev, dom->disk[i].path,
			dom->disk[i].readonly ? ", read-only" : "");
}

int hv_info(struct hv *h)
{
	struct domain dom;
	char uuid[UUID_TEXT];
	int rc;

	if (!h->arg)
		return host_info(h);
	rc = h->hv->find(h->arg, &dom, &h->err);
	if (rc)
		return rc;
	if (h->json)
		return print_json(h, domain_json(&dom));
	uuid_text(dom.uuid, uuid);
	printf("name        %s\nID          %u\nUUID        %s\n", dom.name, dom.domid, uuid);
	printf("type        %s\nstate       %s\n", domain_type_name(dom.type),
		domain_state_name(dom.state));
	printf("memory      %llu MiB\nvcpus       %u\ntime        %.1f s\n",
		(unsigned long long)dom.memory_kb >> 10, dom.vcpus, (double)dom.cpu_ms / 1000);
	printf("dirty pages %s\n", dom.tracker);
	if (dom.type == DOMAIN_EMBEDDED)
		printf("tick        %llu\nfaults      %llu\n", (unsigned long long)dom.tick,
			(unsigned long long)dom.faults);
	print_devices(&dom);
	return 0;
}
