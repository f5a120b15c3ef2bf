/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/fixed.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define FILE_MAX 65536u
#define MS_MAX	 3600000

static void file_path(const struct config *cfg, char *out, size_t size)
{
	snprintf(out, size, "%s/fixed.json", cfg->state_dir);
}

/* Device attach is most of it on Xen, so a move to the same peer with other devices differs. */
static void key(
	enum fixed_part part, const char *peer, const struct domain *dom, char *out, size_t size)
{
	snprintf(out, size, "%s %s %s %u", part == FIXED_PAUSE ? "pause" : "rest", peer,
		domain_type_name(dom->type), dom->nr_vifs + dom->nr_disks);
}

/* What is there; an empty object when it is not, or cannot be read. */
static json_t *load(const struct config *cfg)
{
	char path[PATH_MAX], *text = NULL;
	json_t *all = NULL;
	size_t len;

	file_path(cfg, path, sizeof(path));
	if (io_read_file(path, FILE_MAX, &text, &len) == 0)
		all = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	free(text);
	if (json_is_object(all))
		return all;
	json_decref(all);
	return json_object();
}

static uint32_t get(const json_t *all, const char *name)
{
	json_int_t ms = json_integer_value(json_object_get(all, name));

	return ms > 0 && ms <= MS_MAX ? (uint32_t)ms : 0;
}

uint32_t fixed_load(
	const struct config *cfg, enum fixed_part part, const char *peer, const struct domain *dom)
{
	json_t *all = load(cfg);
	char name[2 * HOST_NAME_LEN];
	uint32_t ms;

	key(part, peer, dom, name, sizeof(name));
	ms = get(all, name);
	json_decref(all);
	return ms;
}

void fixed_store(const struct config *cfg, enum fixed_part part, const char *peer,
	const struct domain *dom, uint32_t ms)
{
	json_t *all = load(cfg);
	char name[2 * HOST_NAME_LEN], path[PATH_MAX], *text;
	uint32_t before;
	int rc = -ENOMEM;

	key(part, peer, dom, name, sizeof(name));
	before = get(all, name);
	if (ms > MS_MAX)
		ms = MS_MAX;
	/* The newer half counts as much as all before it: hosts change. */
	json_object_set_new(all, name, json_integer(before ? (before + ms) / 2 : ms));
	text = json_dumps(all, JSON_INDENT(1) | JSON_SORT_KEYS);
	file_path(cfg, path, sizeof(path));
	if (text)
		rc = io_write_file(path, text, strlen(text), 0600);
	if (rc)
		log_warn("%s is not written: %s", path, strerror(-rc));
	free(text);
	json_decref(all);
}
