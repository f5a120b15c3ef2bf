/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/config.h"

#include <arpa/inet.h>
#include <confuse.h>
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rate.h"

#define CONFIG_PATH  "/etc/lifeboat/lifeboat.conf"
#define DEFAULT_PORT 7979

#define CONFIG_MAX (1u << 20) /* bytes */

/* libconfuse reports through a callback without a context; one load runs at a time. */
static struct error *load_error;
static const char *load_path;

static void report(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[ERROR_TEXT_LEN];

	vsnprintf(text, sizeof(text), fmt, ap);
	error_set(load_error, -EINVAL, "Correct that line; lifeboat.conf(5) lists every key",
		"%s:%d: %s", load_path, cfg ? cfg->line : 0, text);
}

struct name_value {
	const char *name;
	int value;
};

static const struct name_value hypervisor_names[] = {
	{"auto", HYPERVISOR_AUTO},
	{"xen", HYPERVISOR_XEN},
	{"embedded", HYPERVISOR_EMBEDDED},
	{NULL, 0},
};

static const struct name_value tracker_names[] = {
	{"auto", TRACKER_AUTO},
	{"pagemap", TRACKER_PAGEMAP},
	{"compare", TRACKER_COMPARE},
	{NULL, 0},
};

static const struct name_value no_converge_names[] = {
	{"abort", NO_CONVERGE_ABORT},
	{"throttle", NO_CONVERGE_THROTTLE},
	{"stop", NO_CONVERGE_STOP},
	{NULL, 0},
};

static int name_lookup(const struct name_value *table, const char *name)
{
	for (; table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table->value;
	return 0;
}

static int check_hypervisor(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	if (name_lookup(hypervisor_names, value))
		return 0;
	cfg_error(cfg, "hypervisor must be auto, xen or embedded, not '%s'", value);
	return -1;
}

static int check_tracker(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	if (name_lookup(tracker_names, value))
		return 0;
	cfg_error(cfg, "dirty_tracking must be auto, pagemap or compare, not '%s'", value);
	return -1;
}

static int check_no_converge(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	if (name_lookup(no_converge_names, value))
		return 0;
	cfg_error(cfg, "on_no_converge must be abort, throttle or stop, not '%s'", value);
	return -1;
}

static int check_bwlimit(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	uint64_t rate;

	if (rate_parse(value, &rate) == 0)
		return 0;
	cfg_error(cfg, "bwlimit must be " RATE_SYNTAX ", not '%s'", value);
	return -1;
}

static int check_number(cfg_t *cfg, cfg_opt_t *opt, long min, long max)
{
	long value = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);

	if (value >= min && value <= max)
		return 0;
	cfg_error(cfg, "%s must lie between %ld and %ld, not %ld", opt->name, min, max, value);
	return -1;
}

static int check_port(cfg_t *cfg, cfg_opt_t *opt)
{
	return check_number(cfg, opt, 1, 65535);
}

static int check_memory(cfg_t *cfg, cfg_opt_t *opt)
{
	return check_number(cfg, opt, 0, 1 << 24);
}

static int check_downtime(cfg_t *cfg, cfg_opt_t *opt)
{
	return check_number(cfg, opt, 1, 3600 * 1000);
}

static int check_resume(cfg_t *cfg, cfg_opt_t *opt)
{
	return check_number(cfg, opt, 0, 3600);
}

static int check_streams(cfg_t *cfg, cfg_opt_t *opt)
{
	return check_number(cfg, opt, 0, 8);
}

static bool host_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len < HOST_NAME_LEN &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
		       len;
}

static int check_host(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	if (host_name_valid(value))
		return 0;
	cfg_error(cfg, "'%s' is no host name", value);
	return -1;
}

static int check_path(cfg_t *cfg, cfg_opt_t *opt)
{
	if (cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1)[0])
		return 0;
	cfg_error(cfg, "%s must not be empty", opt->name);
	return -1;
}

static int key_parse(const char *text, uint8_t key[static HOST_KEY_LEN])
{
	size_t len;

	if (sodium_base642bin(key, HOST_KEY_LEN, text, strlen(text), NULL, &len, NULL,
		    sodium_base64_VARIANT_ORIGINAL) != 0 ||
		len != HOST_KEY_LEN)
		return -EINVAL;
	return 0;
}

/* A peer is checked as a whole when its section closes: only then are all its keys known. */
static int check_peer(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *peer = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	const char *name = cfg_title(peer), *key = cfg_getstr(peer, "key");
	uint8_t parsed[HOST_KEY_LEN];

	if (cfg_opt_size(opt) > CONFIG_PEERS_MAX) {
		cfg_error(cfg, "more than %d peers", CONFIG_PEERS_MAX);
		return -1;
	}
	if (!host_name_valid(name)) {
		cfg_error(cfg, "'%s' is no host name", name);
		return -1;
	}
	if (!key || key_parse(key, parsed)) {
		cfg_error(cfg,
			"peer %s needs a key of 44 characters, as 'lifeboatd --show-key' prints it there",
			name);
		return -1;
	}
	if (!cfg_getstr(peer, "address") ||
		!cfg_getstr(peer, "address")[strspn(cfg_getstr(peer, "address"), " ")]) {
		cfg_error(cfg, "peer %s needs an address", name);
		return -1;
	}
	return 0;
}

static int fill_text(char *out, size_t size, const char *key, const char *value, struct error *err)
{
	if (snprintf(out, size, "%s", value) < (int)size)
		return 0;
	return error_set(err, -EINVAL, "Shorten it", "the value of %s is too long", key);
}

/* ADDRESS or ADDRESS@VLAN; which hosts may have it is netfix's matter. */
static bool address_valid(const char *text)
{
	size_t len = strcspn(text, "@");
	uint8_t ip[16];
	char name[64], *end;
	long vlan;

	if (len >= sizeof(name))
		return false;
	memcpy(name, text, len);
	name[len] = '\0';
	vlan = text[len] ? strtol(text + len + 1, &end, 10) : 1;
	if (text[len] && (end == text + len + 1 || *end || vlan < 1 || vlan > 4094))
		return false;
	return inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1;
}

/* "vif1=" before an address: of the second vif. */
static const char *skip_vif(const char *text)
{
	bool named =
		strncmp(text, "vif", 3) == 0 && text[3] >= '0' && text[3] <= '7' && text[4] == '=';

	return named ? text + 5 : text;
}

static int fill_addresses(
	char *out, size_t size, cfg_t *sec, const char *key, bool vifs, struct error *err)
{
	for (unsigned i = 0; i < cfg_size(sec, key); i++) {
		const char *text = cfg_getnstr(sec, key, i);
		size_t used = strlen(out);

		if (!address_valid(vifs ? skip_vif(text) : text))
			return error_set(err, -EINVAL,
				vifs ? "Write 192.0.2.5, 2001:db8::5, either with @VLAN, or with vif1= before it for the second vif"
				     : "Write 192.0.2.5, 2001:db8::5, or either with @VLAN",
				"%s: '%s' is no address", load_path, text);
		if ((size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", text) >=
			size - used)
			return error_set(
				err, -EINVAL, "Shorten it", "%s: too many addresses", load_path);
	}
	return 0;
}

static int fill_maps(struct config_map *out, unsigned *nr, cfg_t *sec, const char *key,
	bool addresses, struct error *err)
{
	for (unsigned i = 0; i < cfg_size(sec, key); i++) {
		cfg_t *map = cfg_getnsec(sec, key, i);
		const char *there = cfg_title(map), *here = cfg_getstr(map, "here");

		if (i == CONFIG_MAPS_MAX || !here || !here[0] ||
			strlen(there) >= sizeof(out->there) || strlen(here) >= sizeof(out->here) ||
			(addresses && (!address_valid(there) || !address_valid(here))))
			return error_set(err, -EINVAL,
				addresses ? "Write: moved \"ADDRESS\" { here = \"ADDRESS\" }"
					  : "Write: bridge NAME { here = \"NAME\" }",
				"%s: '%s %s' of peer %s cannot be used", load_path, key, there,
				cfg_title(sec));
		snprintf(out[i].there, sizeof(out[i].there), "%s", there);
		snprintf(out[i].here, sizeof(out[i].here), "%s", here);
		*nr = i + 1;
	}
	return 0;
}

static int fill_network(struct config *out, cfg_t *cfg, struct error *err)
{
	int rc = fill_addresses(out->ask, sizeof(out->ask), cfg, "ask", false, err);

	out->announce = cfg_getbool(cfg, "announce");
	for (unsigned i = 0; i < cfg_size(cfg, "guest") && rc == 0; i++) {
		cfg_t *sec = cfg_getnsec(cfg, "guest", i);

		if (i == CONFIG_GUESTS_MAX)
			return error_set(err, -EINVAL, NULL, "%s: more than %d guests", load_path,
				CONFIG_GUESTS_MAX);
		rc = fill_text(out->guest[i].name, sizeof(out->guest[i].name), "guest",
			cfg_title(sec), err);
		if (rc == 0)
			rc = fill_addresses(out->guest[i].addresses,
				sizeof(out->guest[i].addresses), sec, "address", true, err);
		out->nr_guests = i + 1;
	}
	return rc;
}

static int fill_peer(struct config_peer *out, cfg_t *sec, struct error *err)
{
	int rc = fill_maps(out->bridge, &out->nr_bridges, sec, "bridge", false, err);

	if (rc == 0)
		rc = fill_maps(out->moved, &out->nr_moved, sec, "moved", true, err);
	if (rc)
		return rc;
	out->port = (uint16_t)cfg_getint(sec, "port");
	/* check_peer has seen that the key is good. */
	if (key_parse(cfg_getstr(sec, "key"), out->key))
		return error_set(err, -EINVAL, NULL, "peer %s has a bad key", cfg_title(sec));
	snprintf(out->name, sizeof(out->name), "%s", cfg_title(sec));
	return fill_text(
		out->address, sizeof(out->address), "address", cfg_getstr(sec, "address"), err);
}

static int fill(struct config *out, cfg_t *cfg, struct error *err)
{
	const struct {
		const char *key;
		char *out;
		size_t size;
	} texts[] = {
		{"listen", out->listen, sizeof(out->listen)},
		{"run_dir", out->run_dir, sizeof(out->run_dir)},
		{"state_dir", out->state_dir, sizeof(out->state_dir)},
		{"wire_user", out->wire_user, sizeof(out->wire_user)},
	};
	int rc;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		rc = fill_text(texts[i].out, texts[i].size, texts[i].key,
			cfg_getstr(cfg, texts[i].key), err);
		if (rc)
			return rc;
	}
	if (cfg_getstr(cfg, "host"))
		snprintf(out->host, sizeof(out->host), "%s", cfg_getstr(cfg, "host"));
	else if (gethostname(out->host, sizeof(out->host)) < 0 ||
		 !memchr(out->host, 0, HOST_NAME_LEN))
		return error_set(
			err, -EINVAL, "Set 'host' in the config", "this host has no usable name");
	out->port = (uint16_t)cfg_getint(cfg, "port");
	out->hypervisor = (enum config_hypervisor)name_lookup(
		hypervisor_names, cfg_getstr(cfg, "hypervisor"));
	out->dirty_tracking =
		(enum config_tracker)name_lookup(tracker_names, cfg_getstr(cfg, "dirty_tracking"));
	out->embedded_memory_mb = (uint32_t)cfg_getint(cfg, "embedded_memory");
	out->max_downtime_ms = (uint32_t)cfg_getint(cfg, "max_downtime");
	out->streams = (uint32_t)cfg_getint(cfg, "streams");
	out->resume_s = (uint32_t)cfg_getint(cfg, "resume_time");
	out->on_no_converge = (enum config_no_converge)name_lookup(
		no_converge_names, cfg_getstr(cfg, "on_no_converge"));
	if (rate_parse(cfg_getstr(cfg, "bwlimit"), &out->bwlimit))
		out->bwlimit = 0; /* check_bwlimit has seen that it is good */
	rc = fill_network(out, cfg, err);
	if (rc)
		return rc;
	out->nr_peers = cfg_size(cfg, "peer");
	for (unsigned i = 0; i < out->nr_peers; i++) {
		rc = fill_peer(&out->peer[i], cfg_getnsec(cfg, "peer", i), err);
		if (rc)
			return rc;
	}
	return 0;
}

static const struct {
	const char *key;
	cfg_validate_callback_t check;
} checks[] = {
	{"host", check_host},
	{"port", check_port},
	{"run_dir", check_path},
	{"state_dir", check_path},
	{"hypervisor", check_hypervisor},
	{"dirty_tracking", check_tracker},
	{"embedded_memory", check_memory},
	{"max_downtime", check_downtime},
	{"resume_time", check_resume},
	{"streams", check_streams},
	{"on_no_converge", check_no_converge},
	{"bwlimit", check_bwlimit},
	{"peer|port", check_port},
	{"peer", check_peer},
};

/*
 * Overwrite comments with blanks. libconfuse 3.3 knows them itself, but counts each as two lines
 * more and so names the wrong line in every error after it. Returns 0, or the line of a comment
 * that never ends, which libconfuse would take for the end of the file.
 */
static unsigned blank_comments(char *text)
{
	unsigned line_nr = 1;
	char quote = 0;

	for (char *p = text; *p; p++) {
		bool block = strncmp(p, "/*", 2) == 0, line = strncmp(p, "//", 2) == 0;
		/* In the middle of a bare word slashes are part of it. */
		bool word = p > text && !strchr(" \t\r\n={}()+,\"'", p[-1]);
		char *end = block ? strstr(p + 2, "*/") : p + strcspn(p, "\n");

		if (*p == '\\' && p[1]) {
			p++;
		} else if (quote || *p == '"' || *p == '\'') {
			quote = !quote ? *p : *p == quote ? 0 : quote;
		} else if (*p == '#' || (!word && (block || line))) {
			if (!end)
				return line_nr;
			for (end += block ? 2 : 0; p < end; p++)
				if (*p != '\n')
					*p = ' ';
				else
					line_nr++;
			p--;
			continue;
		}
		line_nr += *p == '\n';
	}
	return 0;
}

/* The file's text as libconfuse may see it; the caller frees. */
static int read_text(const char *path, char **text, struct error *err)
{
	unsigned line;
	size_t len;
	int rc = io_read_file(path, CONFIG_MAX, text, &len);

	if (rc)
		return error_sys(err, rc, "Name a file that can be read, or unset LIFEBOAT_CONFIG",
			"cannot read %s", path);
	if (strlen(*text) != len) {
		rc = error_set(err, -EINVAL, "Write it as plain text", "%s holds a NUL byte", path);
	} else {
		line = blank_comments(*text);
		if (line)
			rc = error_set(err, -EINVAL, "Close it with */",
				"%s:%u: a comment begins here and never ends", path, line);
	}
	if (rc) {
		free(*text);
		*text = NULL;
	}
	return rc;
}

int config_load(struct config *out, struct error *err)
{
	cfg_opt_t map_opts[] = {
		CFG_STR("here", NULL, CFGF_NONE),
		CFG_END(),
	};
	cfg_opt_t guest_opts[] = {
		CFG_STR_LIST("address", "{}", CFGF_NONE),
		CFG_END(),
	};
	cfg_opt_t peer_opts[] = {
		CFG_STR("address", NULL, CFGF_NONE),
		CFG_INT("port", DEFAULT_PORT, CFGF_NONE),
		CFG_STR("key", NULL, CFGF_NONE),
		CFG_SEC("bridge", map_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("moved", map_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END(),
	};
	cfg_opt_t opts[] = {
		CFG_STR("host", NULL, CFGF_NONE),
		CFG_STR("listen", "::", CFGF_NONE),
		CFG_INT("port", DEFAULT_PORT, CFGF_NONE),
		CFG_STR("run_dir", "/run/lifeboat", CFGF_NONE),
		CFG_STR("state_dir", "/var/lib/lifeboat", CFGF_NONE),
		CFG_STR("wire_user", "nobody", CFGF_NONE),
		CFG_STR("hypervisor", "auto", CFGF_NONE),
		CFG_STR("dirty_tracking", "auto", CFGF_NONE),
		CFG_INT("embedded_memory", 0, CFGF_NONE),
		CFG_INT("max_downtime", 300, CFGF_NONE),
		CFG_INT("resume_time", 30, CFGF_NONE),
		CFG_INT("streams", 0, CFGF_NONE),
		CFG_STR("on_no_converge", "stop", CFGF_NONE),
		CFG_STR("bwlimit", "0", CFGF_NONE),
		CFG_BOOL("announce", cfg_true, CFGF_NONE),
		CFG_STR_LIST("ask", "{}", CFGF_NONE),
		CFG_SEC("guest", guest_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("peer", peer_opts, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_END(),
	};
	const char *path = getenv("LIFEBOAT_CONFIG");
	bool given = path != NULL;
	char *text = NULL;
	cfg_t *cfg;
	int rc;

	*out = (struct config){0};
	if (sodium_init() < 0)
		return error_set(err, -EIO, NULL, "libsodium cannot start");
	snprintf(out->path, sizeof(out->path), "%s", given ? path : CONFIG_PATH);
	cfg = cfg_init(opts, CFGF_NONE);
	if (!cfg)
		return error_set(err, -ENOMEM, NULL, "no memory for the config");
	load_error = err;
	load_path = out->path;
	cfg_set_error_function(cfg, report);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		cfg_set_validate_func(cfg, checks[i].key, checks[i].check);
	rc = given || access(out->path, F_OK) == 0 ? read_text(out->path, &text, err) : 0;
	if (rc == 0 && text && cfg_parse_buf(cfg, text) != CFG_SUCCESS)
		rc = error_set(err, -EINVAL, NULL, "%s cannot be parsed", out->path);
	if (rc == 0)
		rc = fill(out, cfg, err);
	free(text);
	load_error = NULL;
	load_path = NULL;
	cfg_free(cfg);
	return rc;
}

enum config_no_converge config_no_converge(const char *name)
{
	return (enum config_no_converge)name_lookup(no_converge_names, name);
}

const char *config_no_converge_name(enum config_no_converge value)
{
	for (size_t i = 0; no_converge_names[i].name; i++)
		if (no_converge_names[i].value == (int)value)
			return no_converge_names[i].name;
	return "?";
}

const struct config_peer *config_peer_by_name(const struct config *cfg, const char *name)
{
	for (unsigned i = 0; i < cfg->nr_peers; i++)
		if (strcmp(cfg->peer[i].name, name) == 0)
			return &cfg->peer[i];
	return NULL;
}

const struct config_peer *config_peer_by_key(const struct config *cfg, const uint8_t *key)
{
	for (unsigned i = 0; i < cfg->nr_peers; i++)
		if (sodium_memcmp(cfg->peer[i].key, key, HOST_KEY_LEN) == 0)
			return &cfg->peer[i];
	return NULL;
}
