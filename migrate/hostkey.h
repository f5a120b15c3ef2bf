/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hostkey: this host's long-term X25519 key, state_dir/host.key, 0600, made on first use. */
#ifndef MIGRATE_HOSTKEY_H
#define MIGRATE_HOSTKEY_H

#include <stdint.h>

#include "base/config.h"

#define HOST_KEY_TEXT_LEN 45 /* base64 with its NUL */

/* Load it, or make it. The caller wipes `secret`. Refuses a file that others may read. */
int hostkey_load(const struct config *cfg, uint8_t secret[static HOST_KEY_LEN],
	uint8_t public_key[static HOST_KEY_LEN], struct error *err) WARN_UNUSED;

void hostkey_text(
	const uint8_t public_key[static HOST_KEY_LEN], char out[static HOST_KEY_TEXT_LEN]);

#endif
