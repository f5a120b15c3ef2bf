/* SPDX-License-Identifier: GPL-2.0-or-later */
/* embedded_config: the configuration of an embedded domain as JSON, which travels with it. */
#ifndef HYPERVISOR_EMBEDDED_CONFIG_H
#define HYPERVISOR_EMBEDDED_CONFIG_H

#include "hypervisor/domain_file.h"

#define EMBEDDED_MEMORY_MB_MIN 1
#define EMBEDDED_MEMORY_MB_MAX (1u << 20)

/* JSON text, or NULL without memory; the caller frees. */
char *embedded_config_encode(const struct domain_spec *spec);

/* Every value is checked: the text may come from a peer. */
int embedded_config_decode(
	const char *json, struct domain_spec *spec, struct error *err) WARN_UNUSED;

/* What the configuration says, as a domain; state, domid and counters stay 0. */
void embedded_config_domain(const struct domain_spec *spec, struct domain *dom);

#endif
