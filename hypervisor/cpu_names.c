/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The names of processor features, as Xen 4.17 and its cpuid= spell them, and which need which. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/cpu.h"

/* Bit after bit, from bit 0 or from the one that "@" gives. */
/* clang-format off */
static const char *const names[CPU_WORDS] = {
	[0] = /* 1 edx */
	"fpu vme de pse tsc msr pae mce cx8 apic @11 sep mtrr pge mca cmov pat "
	"pse36 @19 clflush @21 ds acpi mmx fxsr sse sse2 ss htt tm1 @31 pbe",
	[1] = /* 1 ecx */
	"sse3 pclmulqdq dtes64 monitor dscpl vmx smx eist tm2 ssse3 @12 fma "
	"cx16 xtpr pdcm @17 pcid dca sse4-1 sse4-2 x2apic movbe popcnt "
	"tsc-deadline aesni xsave osxsave avx f16c rdrand hypervisor",
	[2] = /* 80000001 edx; its lower half repeats word 0 on some processors */
	"@11 syscall @20 nx @22 mmxext @25 ffxsr page1gb rdtscp @29 lm 3dnowext "
	"3dnow",
	[3] = /* 80000001 ecx */
	"lahf-lm cmp-legacy svm extapic cr8-legacy abm sse4a misalignsse "
	"3dnowprefetch osvw ibs xop skinit wdt @15 lwp fma4 @19 nodeid-msr @21 "
	"tbm topoext @26 dbext @29 monitorx",
	[4] = /* d:1 eax */
	"xsaveopt xsavec xgetbv1 xsaves",
	[5] = /* 7:0 ebx */
	"fsgsbase tsc-adjust sgx bmi1 hle avx2 fdp-excp-only smep bmi2 erms "
	"invpcid rtm pqm no-fpu-sel mpx pqe avx512f avx512dq rdseed adx smap "
	"avx512-ifma @23 clflushopt clwb proc-trace avx512pf avx512er avx512cd "
	"sha avx512bw avx512vl",
	[6] = /* 7:0 ecx */
	"prefetchwt1 avx512-vbmi umip pku ospke @6 avx512-vbmi2 cet-ss gfni "
	"vaes vpclmulqdq avx512-vnni avx512-bitalg @14 avx512-vpopcntdq @22 "
	"rdpid @25 cldemote @27 movdiri movdir64b enqcmd",
	[7] = /* 80000007 edx */
	"@7 hw-pstate itsc cpb efro",
	[8] = /* 80000008 ebx */
	"clzero @2 rstr-fp-err-ptrs @9 wbnoinvd @12 ibpb @14 ibrs amd-stibp "
	"ibrs-always stibp-always ibrs-fast ibrs-same-mode no-lmsl @23 amd-ppin "
	"amd-ssbd virt-ssbd ssb-no @28 psfd btc-no ibpb-ret",
	[9] = /* 7:0 edx */
	"@2 avx512-4vnniw avx512-4fmaps fsrm @8 avx512-vp2intersect srbds-ctrl "
	"md-clear rtm-always-abort @13 tsx-force-abort serialize hybrid "
	"tsxldtrk @20 cet-ibt @23 avx512-fp16 @26 ibrsb stibp l1d-flush "
	"arch-caps core-caps ssbd",
	[10] = /* 7:1 eax */
	"@4 avx-vnni avx512-bf16 @10 fzrm fsrs fsrcs",
	[11] = /* 80000021 eax */
	"@2 lfence-dispatch @5 verw-clear nscb @8 auto-ibrs @27 sbpb "
	"ibpb-brtype srso-no srso-us-no srso-msr-fix",
	[12] = /* 7:1 ebx */
	"intel-ppin",
	[13] = /* 7:2 edx */
	"intel-psfd ipred-ctrl rrsba-ctrl @4 bhi-ctrl mcdt-no",
	[15] = /* 7:1 edx */
	"@18 cet-sss",
	[16] = /* MSR 10a, lower half */
	"rdcl-no eibrs rsba skip-l1dfl intel-ssb-no mds-no if-pschange-mc-no "
	"tsx-ctrl taa-no mcu-ctrl misc-pkg-ctrl energy-filtering doitm "
	"sbdr-ssdp-no fbsdp-no psdp-no @17 fb-clear fb-clear-ctrl rrsba bhi-no "
	"xapic-status @23 ovrclk-status pbrsb-no gds-ctrl gds-no rfds-no "
	"rfds-clear",
	[17] = /* MSR 10a, upper half */
	"@30 its-no",
	[18] = /* 80000021 ecx */
	"@1 tsa-sq-no tsa-l1-no",
};

/* Without the first of a line Xen takes away the others, and what hangs on those. */
static const char *const needs[] = {
	"fpu mmx rstr-fp-err-ptrs",
	"pse pse36",
	"pae lm nx",
	"tsc tsc-deadline rdtscp tsc-adjust itsc",
	"apic x2apic tsc-deadline extapic",
	"mmx mmxext 3dnow",
	"3dnow 3dnowext",
	"fxsr ffxsr sse",
	"sse sse2 misalignsse",
	"sse2 sse3 lm aesni pclmulqdq sha gfni",
	"sse3 ssse3 sse4a",
	"ssse3 sse4-1",
	"sse4-1 sse4-2",
	"xsave xsaveopt xsavec xgetbv1 xsaves avx mpx pku lwp",
	"avx fma fma4 f16c avx2 xop",
	"avx2 avx512f vaes vpclmulqdq avx-vnni",
	"avx512f avx512dq avx512-ifma avx512pf avx512er avx512cd avx512bw avx512vl avx512-4vnniw "
	"avx512-4fmaps avx512-vnni avx512-vpopcntdq avx512-vp2intersect",
	"avx512bw avx512-vbmi avx512-vbmi2 avx512-bitalg avx512-bf16 avx512-fp16",
	"pclmulqdq vpclmulqdq",
	"aesni vaes",
	"nx smap",
	"lm cx16 pcid lahf-lm page1gb pku no-lmsl",
	"ibrsb stibp ssbd intel-psfd eibrs ipred-ctrl rrsba-ctrl bhi-ctrl",
	"ibrs amd-stibp amd-ssbd psfd ibrs-always ibrs-fast ibrs-same-mode",
	"ibpb ibpb-ret sbpb ibpb-brtype",
	"amd-stibp stibp-always",
	"rtm tsxldtrk",
	"eibrs rrsba",
};
/* clang-format on */

#define ARCH_CAPS_WORD 9u
#define ARCH_CAPS_BIT  29u

/* The next word of `*s`, as a length; 0 at the end. */
static size_t next(const char **s, const char **word)
{
	*s += strspn(*s, " ");
	*word = *s;
	*s += strcspn(*s, " ");
	return (size_t)(*s - *word);
}

bool cpu_feature_name(unsigned word, unsigned bit, char out[static CPU_NAME_LEN])
{
	const char *s = word < CPU_WORDS && names[word] ? names[word] : "", *name;
	unsigned at = 0;
	size_t len;

	while ((len = next(&s, &name))) {
		if (*name == '@') {
			at = (unsigned)strtoul(name + 1, NULL, 10);
		} else if (at++ == bit && len < CPU_NAME_LEN) {
			snprintf(out, CPU_NAME_LEN, "%.*s", (int)len, name);
			return true;
		}
	}
	return false;
}

/* Is it in the set? Then `*word` and `*bit` say where. */
static bool in_set(const uint32_t words[static CPU_WORDS], const char *want, size_t want_len,
	unsigned *word, unsigned *bit)
{
	char name[CPU_NAME_LEN];

	for (*word = 0; *word < CPU_WORDS; (*word)++)
		for (*bit = 0; *bit < 32; (*bit)++)
			if (words[*word] >> *bit & 1 && cpu_feature_name(*word, *bit, name) &&
				strlen(name) == want_len && memcmp(name, want, want_len) == 0)
				return true;
	return false;
}

void cpu_features_roots(uint32_t words[static CPU_WORDS])
{
	uint32_t all[CPU_WORDS];
	unsigned word, bit;

	memcpy(all, words, sizeof(all));
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		const char *s = needs[i], *name;
		size_t len = next(&s, &name);

		if (!in_set(all, name, len, &word, &bit))
			continue;
		while ((len = next(&s, &name)))
			if (in_set(words, name, len, &word, &bit))
				words[word] &= ~(UINT32_C(1) << bit);
	}
	/* The bit of CPUID that tells of the MSR takes all of the MSR with it. */
	if (all[ARCH_CAPS_WORD] >> ARCH_CAPS_BIT & 1)
		words[16] = words[17] = 0;
}
