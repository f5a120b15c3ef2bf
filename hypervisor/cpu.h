/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cpu: can a guest that was started with one processor's features go on with another's?
 *
 * A policy is what Xen lets a domain see of CPUID and a few MSRs. Xen itself compares next to
 * nothing of it when a domain arrives: it clears what this host lacks under the running guest,
 * which then dies of an illegal instruction. So lifeboat compares, before a page moves. No Xen is
 * needed here: policies come as plain leaves, from a peer or from a file.
 */
#ifndef HYPERVISOR_CPU_H
#define HYPERVISOR_CPU_H

#include <jansson.h>
#include <stdint.h>

#include "base/findings.h"
#include "base/io.h"

#define CPU_LEAVES_MAX 256
#define CPU_MSRS_MAX   32
#define CPU_NO_SUBLEAF UINT32_MAX
#define CPU_WORDS      19u /* of features, 32 bits each, numbered as Xen does */

struct cpu_leaf {
	uint32_t leaf, subleaf; /* CPU_NO_SUBLEAF where the leaf has none */
	uint32_t reg[4];	/* eax, ebx, ecx, edx */
};

struct cpu_msr {
	uint32_t index;
	uint64_t value;
};

struct cpu_policy {
	unsigned nr_leaves, nr_msrs;
	struct cpu_leaf leaf[CPU_LEAVES_MAX];
	struct cpu_msr msr[CPU_MSRS_MAX];
};

/* As JSON, empty leaves left out. NULL when there is no memory; the caller decrefs. */
json_t *cpu_policy_encode(const struct cpu_policy *p);
/* 0, or -EINVAL for what encode cannot have written. */
int cpu_policy_decode(const json_t *json, struct cpu_policy *p) WARN_UNUSED;

/* One register; 0 when the policy does not have the leaf. */
enum cpu_register { CPU_EAX, CPU_EBX, CPU_ECX, CPU_EDX };
uint32_t cpu_register(
	const struct cpu_policy *p, uint32_t leaf, uint32_t subleaf, enum cpu_register reg);

/* The words of features, in Xen's order. */
void cpu_features(const struct cpu_policy *p, uint32_t words[static CPU_WORDS]);

#define CPU_NAME_LEN 24 /* with its NUL */

/* What cpuid= in a domain file calls bit 0..31 of a word. False: it has no name there. */
bool cpu_feature_name(unsigned word, unsigned bit, char out[static CPU_NAME_LEN]);

/*
 * Leave only those of the features that have to be switched off so that Xen switches off all of
 * them: what depends on another one in the set falls with it.
 */
void cpu_features_roots(uint32_t words[static CPU_WORDS]);

/*
 * Find what `guest` has and `most` has not, the most that this host could give a guest of its kind.
 * `mask` narrows that further, word by word; NULL = it does not. `name` is the domain's.
 */
void cpu_check(const struct cpu_policy *guest, const struct cpu_policy *most, const uint32_t *mask,
	const char *name, struct findings *found);

enum cpu_tsc_mode { CPU_TSC_DEFAULT = 0, CPU_TSC_EMULATED = 1, CPU_TSC_NATIVE = 2 };

struct cpu_tsc {
	uint32_t mode;
	uint32_t khz; /* at which the guest sees it tick */
};

/* The same for the time stamp counter; this host's ticks at `khz`. */
void cpu_check_tsc(const struct cpu_policy *guest, const struct cpu_tsc *tsc, uint32_t khz,
	const char *name, struct findings *found);

#endif
