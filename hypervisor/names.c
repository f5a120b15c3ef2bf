/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hypervisor/hypervisor.h"

const char *domain_type_name(enum domain_type type)
{
	static const char *const names[] = {
		[DOMAIN_PV] = "pv",
		[DOMAIN_PVH] = "pvh",
		[DOMAIN_HVM] = "hvm",
		[DOMAIN_EMBEDDED] = "embedded",
	};

	return type >= DOMAIN_PV && type <= DOMAIN_EMBEDDED ? names[type] : "unknown";
}

const char *domain_state_name(enum domain_state state)
{
	static const char *const names[] = {
		[DOMAIN_RUNNING] = "running",
		[DOMAIN_PAUSED] = "paused",
		[DOMAIN_SUSPENDED] = "suspended",
		[DOMAIN_INCOMING] = "incoming",
		[DOMAIN_SHUTDOWN] = "shutdown",
	};

	return state >= DOMAIN_RUNNING && state <= DOMAIN_SHUTDOWN ? names[state] : "unknown";
}

bool domain_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < DOMAIN_NAME_LEN && name[0] != '.' && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-") ==
		       len;
}
