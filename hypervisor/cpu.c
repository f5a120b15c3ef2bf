/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu.h"

#include <stdio.h>
#include <string.h>

#define NAMES_LEN  360 /* of features in one finding; what follows goes into the next */
#define LINE_LEN   440 /* of a cpuid= line */
#define XCR0_LEAF  0xdu
#define VENDOR_LEN 13

/*
 * What Xen sets for each guest from the host it is on, whatever the guest had before: the flavour
 * of the FPU, the guest's own topology and what follows its control registers.
 */
#define FOLDED_1D  (UINT32_C(1) << 28)			   /* htt */
#define FOLDED_1C  (UINT32_C(1) << 27 | UINT32_C(1) << 31) /* osxsave, hypervisor */
#define FOLDED_E1D UINT32_C(0x0183f3ff)			   /* repeats word 0 */
#define FOLDED_E1C (UINT32_C(1) << 1)			   /* cmp-legacy */
#define FOLDED_7B0 (UINT32_C(1) << 6 | UINT32_C(1) << 13)  /* fdp-excp-only, no-fpu-sel */
#define FOLDED_7C0 (UINT32_C(1) << 4)			   /* ospke */

static const uint32_t folded[CPU_WORDS] = {
	[0] = FOLDED_1D,
	[1] = FOLDED_1C,
	[2] = FOLDED_E1D,
	[3] = FOLDED_E1C,
	[5] = FOLDED_7B0,
	[6] = FOLDED_7C0,
};

/* What the guest has and cannot have here. How many? */
static unsigned missing_features(const struct cpu_policy *guest, const struct cpu_policy *most,
	const uint32_t *mask, uint32_t missing[static CPU_WORDS])
{
	uint32_t have[CPU_WORDS], can[CPU_WORDS];
	unsigned nr = 0;

	cpu_features(guest, have);
	cpu_features(most, can);
	for (unsigned i = 0; i < CPU_WORDS; i++) {
		missing[i] = have[i] & ~(can[i] & (mask ? mask[i] : UINT32_MAX)) & ~folded[i];
		nr += (unsigned)__builtin_popcount(missing[i]);
	}
	return nr;
}

/*
 * Write the features from number `*from` on, as many as fit, separated by `between`, and each with
 * `after`; `*from` moves on. What has no name is "bit N of word M", or left out when `named`.
 */
static void list_features(const uint32_t words[static CPU_WORDS], bool named, const char *between,
	const char *after, unsigned *from, char *out, size_t size)
{
	char name[CPU_NAME_LEN];
	unsigned nr = 0;
	size_t len = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < CPU_WORDS * 32; i++) {
		bool has_name = cpu_feature_name(i / 32, i % 32, name);

		if (!(words[i / 32] >> i % 32 & 1) || nr++ < *from)
			continue;
		if (!has_name)
			snprintf(name, sizeof(name), "bit %u of word %u", i % 32, i / 32);
		if (len + strlen(between) + strlen(name) + strlen(after) >= size)
			return;
		(*from)++;
		if (has_name || !named)
			len += (size_t)snprintf(
				out + len, size - len, "%s%s%s", len ? between : "", name, after);
	}
}

/* The line that makes its next boot fit here; without room for all of it, it says so. */
static void add_line(const struct cpu_policy *guest, const struct cpu_policy *most,
	const uint32_t missing[static CPU_WORDS], struct findings *found)
{
	uint32_t leaves = cpu_register(guest, 0, CPU_NO_SUBLEAF, CPU_EAX);
	uint32_t most_leaves = cpu_register(most, 0, CPU_NO_SUBLEAF, CPU_EAX);
	char line[LINE_LEN], leaf[24] = "";
	uint32_t roots[CPU_WORDS];
	unsigned nr = 0, all = 0;

	memcpy(roots, missing, sizeof(roots));
	cpu_features_roots(roots);
	for (unsigned i = 0; i < CPU_WORDS; i++)
		all += (unsigned)__builtin_popcount(roots[i]);
	list_features(roots, true, ",", "=0", &nr, line, sizeof(line));
	if (leaves > most_leaves)
		snprintf(leaf, sizeof(leaf), ",maxleaf=%u", most_leaves);
	findings_fix(found, "Start it next time with cpuid = \"host%s%s%s\"%s in its domain file",
		line[0] ? "," : "", line, leaf, nr < all ? " and the other features likewise" : "");
}

static void find_features(const struct cpu_policy *guest, const struct cpu_policy *most,
	const uint32_t missing[static CPU_WORDS], unsigned nr, const char *name,
	struct findings *found)
{
	char names[NAMES_LEN];

	for (unsigned from = 0; from < nr;) {
		bool first = from == 0;

		list_features(missing, false, ", ", "", &from, names, sizeof(names));
		findings_add(found, FINDING_BLOCKER, "cpu-features",
			"The cpuid line for the other features takes care of these, too",
			"this host's processor lacks features that %s was started with%s: %s", name,
			first ? "" : ", also", names);
		if (first)
			add_line(guest, most, missing, found);
	}
}

static void vendor(const struct cpu_policy *p, char out[static VENDOR_LEN])
{
	static const enum cpu_register order[] = {CPU_EBX, CPU_EDX, CPU_ECX};

	for (size_t i = 0; i < 12; i++) {
		uint32_t v = cpu_register(p, 0, CPU_NO_SUBLEAF, order[i / 4]) >> 8 * (i % 4) & 0xff;

		out[i] = v >= ' ' && v <= '~' ? (char)v : '?';
	}
	out[12] = '\0';
}

static uint64_t xcr0(const struct cpu_policy *p)
{
	return (uint64_t)cpu_register(p, XCR0_LEAF, 0, CPU_EDX) << 32 |
	       cpu_register(p, XCR0_LEAF, 0, CPU_EAX);
}

/* What Xen refuses only after everything has travelled, if no feature tells of it before. */
static void check_sizes(const struct cpu_policy *guest, const struct cpu_policy *most,
	const char *name, struct findings *found)
{
	static const struct {
		uint32_t leaf, subleaf;
		const char *what;
	} sizes[] = {
		{0, CPU_NO_SUBLEAF, "CPUID"},
		{7, 0, "CPUID 7"},
		{0x80000000, CPU_NO_SUBLEAF, "extended CPUID"},
	};
	uint64_t states = xcr0(guest) & ~xcr0(most);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t have = cpu_register(guest, sizes[i].leaf, sizes[i].subleaf, CPU_EAX);
		uint32_t can = cpu_register(most, sizes[i].leaf, sizes[i].subleaf, CPU_EAX);

		if (have <= can)
			continue;
		findings_add(found, FINDING_BLOCKER, "cpu-leaves",
			"Start it on this host; it can move to the other one then",
			"%s was started with %s up to 0x%x, this host has it up to 0x%x", name,
			sizes[i].what, have, can);
		if (i == 0)
			findings_fix(found,
				"Start it next time with cpuid = \"host,maxleaf=%u\" in its domain file",
				can);
	}
	if (states)
		findings_add(found, FINDING_BLOCKER, "cpu-state",
			"Start it on this host; it can move to the other one then",
			"%s was started with processor state (XCR0 0x%llx) that this host does not have",
			name, (unsigned long long)states);
}

/* A guest may rely on address bits above these to be ignored, or not to be. */
static void check_address(const struct cpu_policy *guest, const struct cpu_policy *most,
	const char *name, struct findings *found)
{
	uint32_t have = cpu_register(guest, 0x80000008, CPU_NO_SUBLEAF, CPU_EAX) & 0xff;
	uint32_t can = cpu_register(most, 0x80000008, CPU_NO_SUBLEAF, CPU_EAX) & 0xff;

	if (have > can)
		findings_add(found, FINDING_RISK, "cpu-address",
			"Start it on this host; it can move to the other one then",
			"%s was started with physical addresses of %u bits, this host has %u", name,
			have, can);
}

void cpu_check(const struct cpu_policy *guest, const struct cpu_policy *most, const uint32_t *mask,
	const char *name, struct findings *found)
{
	char theirs[VENDOR_LEN], ours[VENDOR_LEN];
	uint32_t missing[CPU_WORDS];
	unsigned nr;

	vendor(guest, theirs);
	vendor(most, ours);
	if (strcmp(theirs, ours) != 0) {
		findings_add(found, FINDING_BLOCKER, "cpu-vendor",
			"Move it to a host with a processor of the same maker",
			"%s was started on a processor of %s, this host's is of %s", name, theirs,
			ours);
		return;
	}
	nr = missing_features(guest, most, mask, missing);
	if (nr)
		find_features(guest, most, missing, nr, name, found);
	else
		check_sizes(guest, most, name, found);
	check_address(guest, most, name, found);
}

#define ITSC_WORD 7u
#define ITSC_BIT  8u

void cpu_check_tsc(const struct cpu_policy *guest, const struct cpu_tsc *tsc, uint32_t khz,
	const char *name, struct findings *found)
{
	uint32_t words[CPU_WORDS];

	if (tsc->mode == CPU_TSC_EMULATED || !tsc->khz || tsc->khz == khz)
		return;
	cpu_features(guest, words);
	if (words[ITSC_WORD] >> ITSC_BIT & 1)
		findings_add(found, FINDING_BLOCKER, "tsc",
			"Start it next time with cpuid = \"host,itsc=0\" in its domain file",
			"%s was promised a time stamp counter that never changes its rate, %u kHz; this host's has %u kHz",
			name, tsc->khz, khz);
	else if (tsc->mode == CPU_TSC_NATIVE)
		findings_add(found, FINDING_RISK, "tsc",
			"Start it next time with tsc_mode = \"default\" in its domain file",
			"%s reads the processor's own time stamp counter, at %u kHz; this host's has %u kHz",
			name, tsc->khz, khz);
	else
		findings_add(found, FINDING_WARNING, "tsc",
			"Do nothing where the processor can scale it; elsewhere expect it to read the time more slowly",
			"the time stamp counter of %s has %u kHz, this host's %u kHz", name,
			tsc->khz, khz);
}
