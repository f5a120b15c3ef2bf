/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hypervisor/cpu.h"

#define ARCH_CAPS 0x10au

static bool is_empty(const struct cpu_leaf *l)
{
	return !(l->reg[0] | l->reg[1] | l->reg[2] | l->reg[3]);
}

json_t *cpu_policy_encode(const struct cpu_policy *p)
{
	json_t *leaves = json_array(), *msrs = json_array();
	char text[64];

	for (unsigned i = 0; i < p->nr_leaves; i++) {
		const struct cpu_leaf *l = &p->leaf[i];

		if (is_empty(l))
			continue;
		snprintf(text, sizeof(text), "%08x:%08x:%08x:%08x:%08x:%08x", l->leaf, l->subleaf,
			l->reg[0], l->reg[1], l->reg[2], l->reg[3]);
		json_array_append_new(leaves, json_string(text));
	}
	for (unsigned i = 0; i < p->nr_msrs; i++) {
		snprintf(text, sizeof(text), "%08x:%016" PRIx64, p->msr[i].index, p->msr[i].value);
		json_array_append_new(msrs, json_string(text));
	}
	return json_pack("{s:o, s:o}", "leaves", leaves, "msrs", msrs);
}

/* Exactly `digits` lower-case hexadecimal digits; moves `*s` past them and the ':' that follows. */
static bool get_hex(const char **s, unsigned digits, uint64_t *out)
{
	*out = 0;
	for (unsigned i = 0; i < digits; i++, (*s)++) {
		const char *at = **s ? strchr("0123456789abcdef", **s) : NULL;

		if (!at)
			return false;
		*out = *out << 4 | (uint64_t)(strlen("0123456789abcdef") - strlen(at));
	}
	if (**s == ':')
		(*s)++;
	return true;
}

static bool get_leaf(const char *s, struct cpu_leaf *l)
{
	uint32_t *const fields[] = {
		&l->leaf, &l->subleaf, &l->reg[0], &l->reg[1], &l->reg[2], &l->reg[3]};
	uint64_t v;

	if (!s || strlen(s) != 6 * 8 + 5)
		return false;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!get_hex(&s, 8, &v))
			return false;
		*fields[i] = (uint32_t)v;
	}
	return *s == '\0';
}

static bool get_msr(const char *s, struct cpu_msr *m)
{
	uint64_t index;

	if (!s || strlen(s) != 8 + 1 + 16 || !get_hex(&s, 8, &index) || !get_hex(&s, 16, &m->value))
		return false;
	m->index = (uint32_t)index;
	return *s == '\0';
}

int cpu_policy_decode(const json_t *json, struct cpu_policy *p)
{
	const json_t *leaves = json_object_get(json, "leaves");
	const json_t *msrs = json_object_get(json, "msrs");

	*p = (struct cpu_policy){0};
	if (!json_is_array(leaves) || !json_is_array(msrs) ||
		json_array_size(leaves) > CPU_LEAVES_MAX || json_array_size(msrs) > CPU_MSRS_MAX)
		return -EINVAL;
	for (; p->nr_leaves < json_array_size(leaves); p->nr_leaves++)
		if (!get_leaf(json_string_value(json_array_get(leaves, p->nr_leaves)),
			    &p->leaf[p->nr_leaves]))
			return -EINVAL;
	for (; p->nr_msrs < json_array_size(msrs); p->nr_msrs++)
		if (!get_msr(json_string_value(json_array_get(msrs, p->nr_msrs)),
			    &p->msr[p->nr_msrs]))
			return -EINVAL;
	return 0;
}

uint32_t cpu_register(
	const struct cpu_policy *p, uint32_t leaf, uint32_t subleaf, enum cpu_register reg)
{
	for (unsigned i = 0; i < p->nr_leaves; i++)
		if (p->leaf[i].leaf == leaf && p->leaf[i].subleaf == subleaf)
			return p->leaf[i].reg[reg];
	return 0;
}

static uint64_t msr(const struct cpu_policy *p, uint32_t index)
{
	for (unsigned i = 0; i < p->nr_msrs; i++)
		if (p->msr[i].index == index)
			return p->msr[i].value;
	return 0;
}

void cpu_features(const struct cpu_policy *p, uint32_t words[static CPU_WORDS])
{
	static const struct {
		uint32_t leaf, subleaf; /* leaf 0: the two halves of an MSR, below */
		enum cpu_register reg;
	} places[CPU_WORDS] = {
		{0x1, CPU_NO_SUBLEAF, CPU_EDX},
		{0x1, CPU_NO_SUBLEAF, CPU_ECX},
		{0x80000001, CPU_NO_SUBLEAF, CPU_EDX},
		{0x80000001, CPU_NO_SUBLEAF, CPU_ECX},
		{0xd, 1, CPU_EAX},
		{0x7, 0, CPU_EBX},
		{0x7, 0, CPU_ECX},
		{0x80000007, CPU_NO_SUBLEAF, CPU_EDX},
		{0x80000008, CPU_NO_SUBLEAF, CPU_EBX},
		{0x7, 0, CPU_EDX},
		{0x7, 1, CPU_EAX},
		{0x80000021, CPU_NO_SUBLEAF, CPU_EAX},
		{0x7, 1, CPU_EBX},
		{0x7, 2, CPU_EDX},
		{0x7, 1, CPU_ECX},
		{0x7, 1, CPU_EDX},
		{0},
		{0},
		{0x80000021, CPU_NO_SUBLEAF, CPU_ECX},
	};

	for (unsigned i = 0; i < CPU_WORDS; i++)
		words[i] = cpu_register(p, places[i].leaf, places[i].subleaf, places[i].reg);
	words[16] = (uint32_t)msr(p, ARCH_CAPS);
	words[17] = (uint32_t)(msr(p, ARCH_CAPS) >> 32);
}
