/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/embedded.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/embedded_tracker.h"

#ifndef LIFEBOAT_VERSION
#define LIFEBOAT_VERSION "0.1"
#endif

struct embedded_host embedded_host;

static int probe(const struct config *cfg, struct error *err)
{
	char path[PATH_MAX];
	int rc;

	snprintf(embedded_host.run_dir, sizeof(embedded_host.run_dir), "%s", cfg->run_dir);
	embedded_host.memory_mb = cfg->embedded_memory_mb;
	embedded_host.tracker = cfg->dirty_tracking;
	if ((size_t)snprintf(path, sizeof(path), "%s/embedded", cfg->run_dir) >= sizeof(path))
		return error_sys(err, -ENAMETOOLONG, NULL, "%s", cfg->run_dir);
	rc = io_mkdir_p(path, 0700);
	if (rc)
		return error_sys(err, rc, "Run it as root, or set run_dir to a directory of yours",
			"cannot make %s", path);
	return 0;
}

static int host(struct hv_host *out, struct error *err)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->backend, sizeof(out->backend), "embedded");
	snprintf(out->version, sizeof(out->version), "%s", LIFEBOAT_VERSION);
	out->cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	tracker_host(out->tracker_reason, sizeof(out->tracker_reason));
	if (embedded_host.tracker == TRACKER_COMPARE)
		snprintf(out->tracker_reason, sizeof(out->tracker_reason),
			"dirty_tracking = compare in the configuration");
	snprintf(out->tracker, sizeof(out->tracker), "%s",
		out->tracker_reason[0] ? "compare" : "pagemap");
	return embedded_memory_kb(&embedded_host, &out->memory_free_kb, &out->memory_total_kb, err);
}

/* The tracker that a save would use: what works, unless the configuration says otherwise. */
static void use_configured_tracker(struct domain *dom)
{
	if (embedded_host.tracker == TRACKER_COMPARE)
		snprintf(dom->tracker, sizeof(dom->tracker), "compare");
}

static int by_domid(const void *a, const void *b)
{
	const struct vmm_reply *x = a, *y = b;

	return (x->dom.domid > y->dom.domid) - (x->dom.domid < y->dom.domid);
}

/* NAME of "NAME.sock", or false. */
static bool socket_name(const char *file, char name[static DOMAIN_NAME_LEN])
{
	size_t len = strlen(file);

	if (len <= 5 || len - 5 >= DOMAIN_NAME_LEN || strcmp(file + len - 5, ".sock") != 0)
		return false;
	memcpy(name, file, len - 5);
	name[len - 5] = '\0';
	return domain_name_valid(name);
}

/* A socket without a vmm behind it, or one whose vmm ends while we ask, is no domain. */
int embedded_list(
	const struct embedded_host *on, struct vmm_reply **list, size_t *nr, struct error *err)
{
	char path[PATH_MAX], name[DOMAIN_NAME_LEN];
	struct vmm_reply *all = NULL, *more;
	struct dirent *entry;
	int rc = 0;
	DIR *dir;

	*list = NULL;
	*nr = 0;
	snprintf(path, sizeof(path), "%.4000s/embedded", on->run_dir);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : error_sys(err, -errno, NULL, "cannot read %s", path);
	while ((entry = readdir(dir))) {
		if (!socket_name(entry->d_name, name))
			continue;
		more = reallocarray(all, *nr + 1, sizeof(*all));
		if (!more) {
			free(all);
			closedir(dir);
			return error_sys(err, -ENOMEM, NULL, "cannot list the domains");
		}
		all = more;
		rc = client_simple(on->run_dir, name, VMM_STATUS, 0, NULL, &all[*nr], NULL);
		if (rc == 0)
			(*nr)++;
		/* One that does not answer is there all the same: nobody may take it for gone. */
		if (rc == -ETIMEDOUT || rc == -EAGAIN)
			break;
		rc = 0;
	}
	closedir(dir);
	if (rc) {
		free(all);
		return error_sys(
			err, rc, "Look at its log in run_dir/embedded", "%s does not answer", name);
	}
	if (*nr)
		qsort(all, *nr, sizeof(*all), by_domid);
	*list = all;
	return 0;
}

static int list(struct domain **out, size_t *nr, struct error *err)
{
	struct vmm_reply *all;
	int rc = embedded_list(&embedded_host, &all, nr, err);

	if (rc)
		return rc;
	*out = calloc(*nr + 1, sizeof(**out));
	for (size_t i = 0; *out && i < *nr; i++) {
		(*out)[i] = all[i].dom;
		use_configured_tracker(&(*out)[i]);
	}
	free(all);
	return *out ? 0 : error_sys(err, -ENOMEM, NULL, "cannot list the domains");
}

static int refresh(struct domain *dom)
{
	struct vmm_reply now;

	if (client_simple(embedded_host.run_dir, dom->name, VMM_STATUS, 0, NULL, &now, NULL) != 0 ||
		now.dom.domid != dom->domid ||
		memcmp(now.dom.uuid, dom->uuid, sizeof(dom->uuid)) != 0)
		return -ENOENT;
	dom->state = now.dom.state;
	return 0;
}

static int find(const char *name, struct domain *dom, struct error *err)
{
	struct vmm_reply reply;
	int rc = client_simple(embedded_host.run_dir, name, VMM_STATUS, 0, NULL, &reply, err);

	if (rc)
		return rc;
	*dom = reply.dom;
	use_configured_tracker(dom);
	return 0;
}

static int simple(const struct domain *dom, enum vmm_op op, const char *text, struct error *err)
{
	return client_simple(embedded_host.run_dir, dom->name, op, 0, text, NULL, err);
}

static int pause_domain(const struct domain *dom, struct error *err)
{
	return simple(dom, VMM_PAUSE, NULL, err);
}

static int unpause(const struct domain *dom, struct error *err)
{
	return simple(dom, VMM_UNPAUSE, NULL, err);
}

static int shutdown_domain(const struct domain *dom, struct error *err)
{
	return simple(dom, VMM_SHUTDOWN, NULL, err);
}

static int reboot_domain(const struct domain *dom, struct error *err)
{
	return simple(dom, VMM_REBOOT, NULL, err);
}

static int destroy(const struct domain *dom, struct error *err)
{
	return simple(dom, VMM_DESTROY, NULL, err);
}

static int rename_domain(struct domain *dom, const char *name, struct error *err)
{
	int rc = simple(dom, VMM_RENAME, name, err);

	if (rc == 0)
		snprintf(dom->name, sizeof(dom->name), "%s", name);
	return rc;
}

static int flush(const struct domain *dom, const struct domain_disk *disk, struct error *err)
{
	int fd = open(disk->path, O_RDWR | O_CLOEXEC), rc = 0;

	if (fd < 0 || fsync(fd) < 0)
		rc = error_sys(err, -errno, "Look at dmesg and at the space on its file system",
			"disk %s of %s cannot be flushed", disk->path, dom->name);
	fd_close(&fd);
	return rc;
}

/* The guest's writes are done when its hypercall returns, but only as far as the page cache. */
static int quiesce(const struct domain *dom, struct error *err)
{
	int rc = 0;

	for (unsigned i = 0; i < dom->nr_disks && rc == 0; i++)
		if (!dom->disk[i].readonly)
			rc = flush(dom, &dom->disk[i], err);
	return rc;
}

static int throttle(const struct domain *dom, unsigned percent, struct error *err)
{
	return client_simple(
		embedded_host.run_dir, dom->name, VMM_THROTTLE, percent, NULL, NULL, err);
}

static int resume(const struct domain *dom, struct error *err)
{
	return simple(dom, VMM_RESUME, NULL, err);
}

static int config(const struct domain *dom, char **json, struct error *err)
{
	struct client_call call = {.op = VMM_CONFIG, .fd_out = -1};
	struct vmm_reply reply;
	int sock = client_connect(embedded_host.run_dir, dom->name, err), fd = -1, rc;
	size_t nr_fds = 1;
	ssize_t n;

	*json = NULL;
	if (sock < 0)
		return sock;
	rc = client_request(sock, &call, &reply, &fd, &nr_fds, err);
	if (rc)
		goto out;
	*json = calloc(1, HV_OPAQUE_MAX + 1);
	n = *json && nr_fds ? pread(fd, *json, HV_OPAQUE_MAX, 0) : -1;
	if (n <= 0) {
		free(*json);
		*json = NULL;
		rc = error_sys(err, -EIO, NULL, "cannot read the configuration of `%s'", dom->name);
	}
out:
	fd_close(&fd);
	fd_close(&sock);
	return rc;
}

const struct hypervisor hypervisor_embedded = {
	.name = "embedded",
	.probe = probe,
	.host = host,
	.list = list,
	.find = find,
	.refresh = refresh,
	.create = embedded_create,
	.create_check = embedded_create_check,
	.pause = pause_domain,
	.unpause = unpause,
	.shutdown = shutdown_domain,
	.reboot = reboot_domain,
	.destroy = destroy,
	.rename = rename_domain,
	.console = embedded_console,
	.config = config,
	.save_check = embedded_save_check,
	.save = embedded_save,
	.quiesce = quiesce,
	.watch = embedded_watch,
	.throttle = throttle,
	.resume = resume,
	.restore_check = embedded_restore_check,
	.restore_begin = embedded_restore_begin,
	.restore_head = embedded_restore_head,
	.restore_pages = embedded_restore_pages,
	.restore_tail = embedded_restore_tail,
	.restore_finish = embedded_restore_finish,
	.restore_abort = embedded_restore_abort,
	.activate = embedded_activate,
};
