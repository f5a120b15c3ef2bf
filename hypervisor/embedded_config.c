/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/embedded_config.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_VERSION 1

static const char *const action_names[] = {
	[ACTION_DESTROY] = "destroy",
	[ACTION_RESTART] = "restart",
	[ACTION_PRESERVE] = "preserve",
};

static json_t *encode_vif(const struct domain_vif *vif)
{
	char mac[2 * sizeof(vif->mac) + 1];

	sodium_bin2hex(mac, sizeof(mac), vif->mac, sizeof(vif->mac));
	return json_pack("{s:s, s:s}", "mac", mac, "bridge", vif->bridge);
}

static json_t *encode_disk(const struct domain_disk *disk)
{
	return json_pack("{s:s, s:s, s:b}", "path", disk->path, "vdev", disk->vdev, "readonly",
		disk->readonly);
}

char *embedded_config_encode(const struct domain_spec *spec)
{
	char uuid[2 * DOMAIN_UUID_LEN + 1], *text = NULL;
	json_t *vifs = json_array(), *disks = json_array(), *root;
	int failed = !vifs || !disks;

	sodium_bin2hex(uuid, sizeof(uuid), spec->uuid, sizeof(spec->uuid));
	for (unsigned i = 0; i < spec->nr_vifs; i++)
		failed |= json_array_append_new(vifs, encode_vif(&spec->vif[i]));
	for (unsigned i = 0; i < spec->nr_disks; i++)
		failed |= json_array_append_new(disks, encode_disk(&spec->disk[i]));
	root = json_pack("{s:s, s:i, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "backend",
		"embedded", "version", CONFIG_VERSION, "name", spec->name, "uuid", uuid,
		"memory_mb", (json_int_t)spec->memory_mb, "kernel", spec->kernel, "extra",
		spec->extra, "on_poweroff", action_names[spec->on_poweroff], "on_reboot",
		action_names[spec->on_reboot], "on_crash", action_names[spec->on_crash], "vif",
		vifs, "disk", disks);
	if (root && !failed)
		text = json_dumps(root, JSON_INDENT(1));
	json_decref(root);
	return text;
}

/* A string member without NUL that fits into `out`. */
static int get_string(json_t *obj, const char *key, char *out, size_t size)
{
	const char *s = json_string_value(json_object_get(obj, key));

	if (!s || strlen(s) >= size)
		return -EINVAL;
	memcpy(out, s, strlen(s) + 1);
	return 0;
}

static int get_hex(json_t *obj, const char *key, uint8_t *out, size_t len)
{
	const char *s = json_string_value(json_object_get(obj, key));
	size_t got;

	if (!s || sodium_hex2bin(out, len, s, strlen(s), NULL, &got, NULL) != 0 || got != len ||
		strlen(s) != 2 * len)
		return -EINVAL;
	return 0;
}

static int get_action(json_t *obj, const char *key, enum domain_action *out)
{
	const char *s = json_string_value(json_object_get(obj, key));

	for (unsigned i = ACTION_DESTROY; s && i <= ACTION_PRESERVE; i++) {
		if (strcmp(s, action_names[i]) == 0) {
			*out = (enum domain_action)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int decode_vifs(json_t *list, struct domain_spec *spec)
{
	size_t nr = json_array_size(list);

	if (!json_is_array(list) || nr > DOMAIN_VIFS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < nr; i++) {
		struct domain_vif *vif = &spec->vif[i];
		json_t *obj = json_array_get(list, i);

		if (get_hex(obj, "mac", vif->mac, sizeof(vif->mac)) ||
			get_string(obj, "bridge", vif->bridge, sizeof(vif->bridge)) ||
			strchr(vif->bridge, '/'))
			return -EINVAL;
	}
	spec->nr_vifs = (unsigned)nr;
	return 0;
}

static int decode_disks(json_t *list, struct domain_spec *spec)
{
	size_t nr = json_array_size(list);

	if (!json_is_array(list) || nr > DOMAIN_DISKS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < nr; i++) {
		struct domain_disk *disk = &spec->disk[i];
		json_t *obj = json_array_get(list, i);

		if (get_string(obj, "path", disk->path, sizeof(disk->path)) ||
			get_string(obj, "vdev", disk->vdev, sizeof(disk->vdev)) ||
			!json_is_boolean(json_object_get(obj, "readonly")))
			return -EINVAL;
		disk->readonly = json_is_true(json_object_get(obj, "readonly"));
	}
	spec->nr_disks = (unsigned)nr;
	return 0;
}

static int decode_members(json_t *root, struct domain_spec *spec)
{
	json_int_t mb = json_integer_value(json_object_get(root, "memory_mb"));
	char backend[16];

	if (get_string(root, "backend", backend, sizeof(backend)) ||
		strcmp(backend, "embedded") != 0)
		return -EINVAL;
	if (mb < EMBEDDED_MEMORY_MB_MIN || mb > (json_int_t)EMBEDDED_MEMORY_MB_MAX)
		return -EINVAL;
	spec->memory_mb = (uint64_t)mb;
	if (get_string(root, "name", spec->name, sizeof(spec->name)) ||
		!domain_name_valid(spec->name) ||
		get_hex(root, "uuid", spec->uuid, sizeof(spec->uuid)) ||
		get_string(root, "kernel", spec->kernel, sizeof(spec->kernel)) ||
		get_string(root, "extra", spec->extra, sizeof(spec->extra)) ||
		get_action(root, "on_poweroff", &spec->on_poweroff) ||
		get_action(root, "on_reboot", &spec->on_reboot) ||
		get_action(root, "on_crash", &spec->on_crash) ||
		decode_vifs(json_object_get(root, "vif"), spec))
		return -EINVAL;
	return decode_disks(json_object_get(root, "disk"), spec);
}

int embedded_config_decode(const char *json, struct domain_spec *spec, struct error *err)
{
	json_error_t where;
	json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &where);
	json_int_t version = json_integer_value(json_object_get(root, "version"));
	int rc;

	memset(spec, 0, sizeof(*spec));
	if (root && version > CONFIG_VERSION)
		rc = error_set(err, -EINVAL, "Update lifeboat on this host",
			"the domain's configuration has version %lld, this lifeboat reads up to %d",
			(long long)version, CONFIG_VERSION);
	else if (!root || decode_members(root, spec))
		rc = error_set(
			err, -EINVAL, NULL, "the configuration is not that of an embedded domain");
	else
		rc = 0;
	json_decref(root);
	return rc;
}

void embedded_config_domain(const struct domain_spec *spec, struct domain *dom)
{
	memset(dom, 0, sizeof(*dom));
	memcpy(dom->name, spec->name, sizeof(dom->name));
	memcpy(dom->uuid, spec->uuid, sizeof(dom->uuid));
	dom->type = DOMAIN_EMBEDDED;
	dom->memory_kb = spec->memory_mb << 10;
	dom->vcpus = 1;
	memcpy(dom->vif, spec->vif, sizeof(dom->vif));
	dom->nr_vifs = spec->nr_vifs;
	memcpy(dom->disk, spec->disk, sizeof(dom->disk));
	dom->nr_disks = spec->nr_disks;
}
