/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_offer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLOCK_SECONDS 3 /* more than an offer takes to arrive */

char *xen_offer_encode(const struct xen_offer *o)
{
	json_t *root = json_pack("{s:s, s:s, s:I, s:{s:I, s:I}, s:o}", "xen", o->xen, "libxl",
		o->libxl, "time", (json_int_t)o->time, "tsc", "mode", (json_int_t)o->tsc.mode,
		"khz", (json_int_t)o->tsc.khz, "cpu", cpu_policy_encode(&o->cpu));
	char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;

	json_decref(root);
	return text;
}

static int decode(json_t *root, struct xen_offer *o)
{
	const char *xen = NULL, *libxl = NULL;
	json_int_t time = 0, mode = 0, khz = 0;
	json_t *cpu = NULL;

	if (!root ||
		json_unpack(root, "{s:s, s:s, s:I, s:{s:I, s:I}, s:o}", "xen", &xen, "libxl",
			&libxl, "time", &time, "tsc", "mode", &mode, "khz", &khz, "cpu", &cpu) != 0)
		return -EINVAL;
	if (strlen(xen) >= sizeof(o->xen) || mode < 0 || mode > UINT32_MAX || khz < 0 ||
		khz > UINT32_MAX || cpu_policy_decode(cpu, &o->cpu))
		return -EINVAL;
	snprintf(o->xen, sizeof(o->xen), "%s", xen);
	o->tsc = (struct cpu_tsc){.mode = (uint32_t)mode, .khz = (uint32_t)khz};
	o->time = time;
	o->libxl = strdup(libxl);
	return o->libxl ? 0 : -ENOMEM;
}

int xen_offer_decode(const char *json, struct xen_offer *o, struct error *err)
{
	json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
	int rc;

	*o = (struct xen_offer){0};
	rc = decode(root, o);
	json_decref(root);
	if (rc)
		error_sys(err, rc, "Run the same lifeboat version on both hosts",
			"the offer cannot be read");
	return rc;
}

void xen_offer_dispose(struct xen_offer *o)
{
	free(o->libxl);
	o->libxl = NULL;
}

void xen_offer_check_clock(int64_t there, int64_t here, struct findings *found)
{
	uint64_t apart =
		here > there ? (uint64_t)here - (uint64_t)there : (uint64_t)there - (uint64_t)here;

	if (apart > CLOCK_SECONDS)
		findings_add(found, FINDING_WARNING, "clock",
			"Run a time service on both hosts; timedatectl shows whether one is in step",
			"this host's clock is %llu s %s the other's, and the guest's will follow it",
			(unsigned long long)apart, here > there ? "ahead of" : "behind");
}

static int compare(const int a[static 3], const int b[static 3], size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

void xen_offer_check_version(const char *from, const char *to, struct findings *found)
{
	int there[3] = {0}, here[3] = {0};

	if (sscanf(from, "%d.%d.%d", &there[0], &there[1], &there[2]) < 2 ||
		sscanf(to, "%d.%d.%d", &here[0], &here[1], &here[2]) < 2) {
		findings_add(found, FINDING_RISK, "xen-version",
			"Compare the two by 'xl info' on both hosts",
			"the other host runs Xen \"%.20s\", this one \"%.20s\"", from, to);
		return;
	}
	if (compare(here, there, 2) < 0)
		findings_add(found, FINDING_BLOCKER, "xen-version", "Update Xen on this host",
			"the domain comes from Xen %d.%d, which this host's %d.%d is too old for",
			there[0], there[1], here[0], here[1]);
	else if (compare(here, there, 2) > 0)
		findings_add(found, FINDING_WARNING, "xen-version",
			"Update the other host's Xen if it is to come back",
			"this host runs Xen %d.%d, the other %d.%d: the domain cannot go back",
			here[0], here[1], there[0], there[1]);
	else if (compare(here, there, 3) < 0)
		findings_add(found, FINDING_WARNING, "xen-version", "Update Xen on this host",
			"this host's Xen %d.%d.%d is older than the other's %d.%d.%d", here[0],
			here[1], here[2], there[0], there[1], there[2]);
}
