/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/domain_file.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <libxl.h>
#include <libxl_utils.h>
#include <libxlutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define FILE_MAX (1u << 20)

enum key_kind { KEY_USED = 1, KEY_PASSED_OVER, KEY_REFUSED };

/* Keys of xl.cfg(5): what means nothing here is passed over, what changes the guest is refused. */
static const struct {
	const char *name;
	enum key_kind kind;
} keys[] = {
	{"name", KEY_USED},
	{"uuid", KEY_USED},
	{"kernel", KEY_USED},
	{"extra", KEY_USED},
	{"memory", KEY_USED},
	{"vcpus", KEY_USED},
	{"type", KEY_USED},
	{"vif", KEY_USED},
	{"disk", KEY_USED},
	{"on_poweroff", KEY_USED},
	{"on_reboot", KEY_USED},
	{"on_crash", KEY_USED},
	{"on_watchdog", KEY_PASSED_OVER},
	{"maxmem", KEY_PASSED_OVER},
	{"cpus", KEY_PASSED_OVER},
	{"cpu_weight", KEY_PASSED_OVER},
	{"vnc", KEY_PASSED_OVER},
	{"serial", KEY_PASSED_OVER},
	{"localtime", KEY_PASSED_OVER},
	{"ramdisk", KEY_REFUSED},
	{"bootloader", KEY_REFUSED},
	{"builder", KEY_REFUSED},
	{"firmware", KEY_REFUSED},
	{"pci", KEY_REFUSED},
	{"usbdev", KEY_REFUSED},
	{"vtpm", KEY_REFUSED},
	{"p9", KEY_REFUSED},
	{"vfb", KEY_REFUSED},
	{"channel", KEY_REFUSED},
	{"device_model_version", KEY_REFUSED},
};

/* One file while it is being read. `report` collects what libxlutil says about it. */
struct reading {
	const char *path;
	XLU_Config *cfg;
	FILE *report;
	char *report_text;
	size_t report_len;
	struct error *err;
};

static int refuse(struct reading *r, const char *key, const char *why)
{
	return error_set(r->err, -EINVAL, "Correct the domain file; xl.cfg(5) has the syntax",
		"%s: %s: %s", r->path, key, why);
}

static int check_key(struct reading *r, const char *key)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].name, key) != 0)
			continue;
		if (keys[i].kind == KEY_REFUSED)
			return refuse(r, key, "an embedded domain cannot have that");
		return 0;
	}
	log_warn("%s: key `%s' is not known and has no effect", r->path, key);
	return 0;
}

/* libxlutil has no list of a file's keys: walk over its statements outside of strings and lists. */
static int check_keys(struct reading *r, const char *text)
{
	int depth = 0;
	char quote = 0, key[64];
	bool start = true;

	for (const char *s = text; *s; s++) {
		if (quote) {
			quote = *s == quote ? 0 : quote;
		} else if (*s == '#') {
			s += strcspn(s, "\n");
			if (!*s)
				break;
			start = true;
		} else if (*s == '"' || *s == '\'') {
			quote = *s;
		} else if (*s == '[' || *s == ']') {
			depth += *s == '[' ? 1 : -1;
		} else if (*s == '\n' || *s == ';') {
			start = true;
		} else if (start && depth == 0 && (isalpha((unsigned char)*s) || *s == '_')) {
			size_t len = 0;

			while (isalnum((unsigned char)s[len]) || s[len] == '_')
				len++;
			if (snprintf(key, sizeof(key), "%.*s", (int)len, s) > 0 &&
				check_key(r, key))
				return -EINVAL;
			s += len - 1;
			start = false;
		}
	}
	return 0;
}

/* The configuration travels as JSON, which has no other text. */
static bool is_utf8(const char *s)
{
	json_t *value = json_string(s);
	bool good = value != NULL;

	json_decref(value);
	return good;
}

/* A string key into `out`; absent leaves it as it is. */
static int get_string(struct reading *r, const char *key, char *out, size_t size)
{
	const char *value;
	int e = xlu_cfg_get_string(r->cfg, key, &value, 1);

	if (e == ESRCH)
		return 0;
	if (e)
		return refuse(r, key, "must be a string");
	if ((size_t)snprintf(out, size, "%s", value) >= size)
		return refuse(r, key, "is too long");
	return is_utf8(out) ? 0 : refuse(r, key, "is no UTF-8");
}

static int get_uuid(struct reading *r, uint8_t uuid[static DOMAIN_UUID_LEN])
{
	char text[64] = "";
	libxl_uuid parsed;

	if (get_string(r, "uuid", text, sizeof(text)))
		return -EINVAL;
	if (!text[0])
		return 0;
	if (libxl_uuid_from_string(&parsed, text))
		return refuse(r, "uuid", "is no UUID");
	memcpy(uuid, libxl_uuid_bytearray(&parsed), DOMAIN_UUID_LEN);
	return 0;
}

static int get_action(
	struct reading *r, const char *key, enum domain_action otherwise, enum domain_action *out)
{
	static const struct {
		const char *name;
		enum domain_action action;
	} names[] = {{"destroy", ACTION_DESTROY}, {"restart", ACTION_RESTART},
		{"preserve", ACTION_PRESERVE}};
	char text[32] = "";

	*out = otherwise;
	if (get_string(r, key, text, sizeof(text)))
		return -EINVAL;
	for (size_t i = 0; text[0] && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i].name, text) == 0) {
			*out = names[i].action;
			return 0;
		}
	}
	return text[0] ? refuse(r, key, "must be destroy, restart or preserve here") : 0;
}

static int parse_mac(const char *text, uint8_t mac[static 6])
{
	unsigned v[6];
	int used = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
		    &used) != 6 ||
		text[used] != '\0' || (v[0] & 1))
		return -EINVAL;
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)v[i];
	return 0;
}

static int parse_vif_key(
	struct reading *r, struct domain_vif *vif, const char *key, const char *value)
{
	if (strcmp(key, "mac") == 0)
		return parse_mac(value, vif->mac) ? refuse(r, "vif", "mac= is no station address")
						  : 0;
	if (strcmp(key, "bridge") == 0) {
		if ((size_t)snprintf(vif->bridge, sizeof(vif->bridge), "%s", value) >=
			sizeof(vif->bridge))
			return refuse(r, "vif", "bridge= is too long for an interface");
		if (strchr(vif->bridge, '/') || !is_utf8(vif->bridge))
			return refuse(r, "vif", "bridge= is no name of an interface");
		return 0;
	}
	if (strcmp(key, "backend") == 0)
		return refuse(r, "vif", "an embedded domain has its backend on this host");
	log_warn("%s: vif: `%s' has no effect on an embedded domain", r->path, key);
	return 0;
}

static int parse_vif(struct reading *r, const char *text, struct domain_vif *vif)
{
	char copy[256], *save = NULL;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
		return refuse(r, "vif", "is too long");
	for (char *word = strtok_r(copy, ", ", &save); word; word = strtok_r(NULL, ", ", &save)) {
		char *value = strchr(word, '=');

		if (!value)
			return refuse(r, "vif", "must be key=value, separated by commas");
		*value++ = '\0';
		if (parse_vif_key(r, vif, word, value))
			return -EINVAL;
	}
	return 0;
}

static int parse_disk(struct reading *r, const char *text, struct domain_disk *out)
{
	libxl_device_disk disk;
	int rc = 0;

	libxl_device_disk_init(&disk);
	if (xlu_disk_parse(r->cfg, 1, &text, &disk)) {
		rc = refuse(r, "disk", "cannot be read");
	} else if (!disk.pdev_path || !disk.vdev || disk.is_cdrom) {
		rc = refuse(r, "disk", "needs a target and a vdev, and cannot be a CD-ROM");
	} else if (disk.format != LIBXL_DISK_FORMAT_RAW &&
		   disk.format != LIBXL_DISK_FORMAT_UNKNOWN) {
		rc = refuse(r, "disk", "must have format=raw");
	} else if ((size_t)snprintf(out->path, sizeof(out->path), "%s", disk.pdev_path) >=
			   sizeof(out->path) ||
		   (size_t)snprintf(out->vdev, sizeof(out->vdev), "%s", disk.vdev) >=
			   sizeof(out->vdev)) {
		rc = refuse(r, "disk", "is too long");
	} else if (!is_utf8(out->path) || !is_utf8(out->vdev)) {
		rc = refuse(r, "disk", "is no UTF-8");
	}
	out->readonly = !disk.readwrite;
	libxl_device_disk_dispose(&disk);
	return rc;
}

static int get_vifs(struct reading *r, struct domain_spec *spec)
{
	XLU_ConfigList *list;
	int nr, e = xlu_cfg_get_list(r->cfg, "vif", &list, &nr, 1);

	if (e == ESRCH)
		return 0;
	if (e || nr > DOMAIN_VIFS_MAX)
		return refuse(r, "vif", "must be a list of at most 8 strings");
	for (int i = 0; i < nr; i++) {
		const char *text = xlu_cfg_get_listitem(list, i);

		if (!text || parse_vif(r, text, &spec->vif[i]))
			return -EINVAL;
	}
	spec->nr_vifs = (unsigned)nr;
	return 0;
}

static int get_disks(struct reading *r, struct domain_spec *spec)
{
	XLU_ConfigList *list;
	int nr, e = xlu_cfg_get_list(r->cfg, "disk", &list, &nr, 1);

	if (e == ESRCH)
		return 0;
	if (e || nr > DOMAIN_DISKS_MAX)
		return refuse(r, "disk", "must be a list of at most 8 strings");
	for (int i = 0; i < nr; i++) {
		const char *text = xlu_cfg_get_listitem(list, i);

		if (!text || parse_disk(r, text, &spec->disk[i]))
			return -EINVAL;
	}
	spec->nr_disks = (unsigned)nr;
	return 0;
}

static int get_numbers(struct reading *r, struct domain_spec *spec)
{
	char type[32] = "embedded";
	long value = 1;
	int e = xlu_cfg_get_long(r->cfg, "vcpus", &value, 1);

	if ((e && e != ESRCH) || value != 1)
		return refuse(r, "vcpus", "an embedded domain has one");
	if (get_string(r, "type", type, sizeof(type)))
		return -EINVAL;
	if (strcmp(type, "embedded") != 0)
		return error_set(r->err, -EINVAL,
			"Create it on a Xen host, or set type=\"embedded\"",
			"%s: type: the embedded hypervisor cannot run a `%s' domain", r->path,
			type);
	if (xlu_cfg_get_bounded_long(r->cfg, "memory", 1, 1 << 20, &value, 1))
		return refuse(r, "memory", "must be given, in MiB, 1 to 1048576");
	spec->memory_mb = (uint64_t)value;
	return 0;
}

static int read_spec(struct reading *r, struct domain_spec *spec)
{
	if (get_string(r, "name", spec->name, sizeof(spec->name)))
		return -EINVAL;
	if (!domain_name_valid(spec->name))
		return refuse(r, "name",
			"must be 1 to 63 of A-Z a-z 0-9 _ . + -, not starting with . or -");
	if (get_string(r, "kernel", spec->kernel, sizeof(spec->kernel)) ||
		get_string(r, "extra", spec->extra, sizeof(spec->extra)))
		return -EINVAL;
	if (!spec->kernel[0])
		return refuse(r, "kernel", "must be given: a file, or one of ledger, pong");
	if (get_uuid(r, spec->uuid) || get_numbers(r, spec) ||
		get_action(r, "on_poweroff", ACTION_DESTROY, &spec->on_poweroff) ||
		get_action(r, "on_reboot", ACTION_RESTART, &spec->on_reboot) ||
		get_action(r, "on_crash", ACTION_DESTROY, &spec->on_crash) || get_vifs(r, spec))
		return -EINVAL;
	return get_disks(r, spec);
}

/* The parser's own messages, one line, in front of which our sentence is put. */
static const char *report_line(struct reading *r)
{
	if (fflush(r->report) || !r->report_text || !r->report_text[0])
		return "cannot be read";
	r->report_text[strcspn(r->report_text, "\n")] = '\0';
	return r->report_text;
}

int domain_file_load(const char *path, struct domain_spec *spec, struct error *err)
{
	struct reading r = {.path = path, .err = err};
	char *text = NULL;
	size_t len;
	int rc;

	memset(spec, 0, sizeof(*spec));
	rc = io_read_file(path, FILE_MAX, &text, &len);
	if (rc)
		return error_sys(err, rc, "Give the path of a domain file", "cannot read %s", path);
	/* libxlutil would abort over a string that has one. */
	if (strlen(text) != len) {
		free(text);
		return error_set(err, -EINVAL, "Give the path of a domain file",
			"%s is no domain file: it has a zero byte", path);
	}
	r.report = open_memstream(&r.report_text, &r.report_len);
	r.cfg = r.report ? xlu_cfg_init(r.report, path) : NULL;
	if (!r.cfg)
		rc = error_sys(err, -ENOMEM, NULL, "cannot read %s", path);
	else if (len > INT_MAX || xlu_cfg_readdata(r.cfg, text, (int)len))
		rc = error_set(err, -EINVAL, "Correct the domain file; xl.cfg(5) has the syntax",
			"%s", report_line(&r));
	else
		rc = check_keys(&r, text);
	if (!rc)
		rc = read_spec(&r, spec);
	if (r.cfg)
		xlu_cfg_destroy(r.cfg);
	if (r.report)
		fclose(r.report);
	free(r.report_text);
	free(text);
	return rc;
}
