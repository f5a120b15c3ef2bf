/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_host.h"

#include <errno.h>
#include <libxl_event.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xenstore.h>

#include "base/log.h"
#include "hypervisor/xen_ctrl.h"
#include "hypervisor/xen_log.h"

/* 0x15 is the domctl interface of 4.17: another value means another release's headers. */
_Static_assert(XEN_DOMCTL_INTERFACE_VERSION == 0x15, "these are not the headers of Xen 4.17");

static struct {
	libxl_ctx *ctx;
	char run_dir[PATH_MAX];
} host = {.run_dir = "/run/lifeboat"};

static const char no_xen_fix[] =
	"Install Xen and boot into it (apt install xen-system-amd64), or set hypervisor = embedded";

/* Our children are reaped by pid, libxl's helpers by libxl. */
static const libxl_childproc_hooks child_hooks = {
	.chldowner = libxl_sigchld_owner_libxl_always_selective_reap};

/* A Xen guest has the same device files as a host; only the host is told that it has control. */
static bool is_guest(void)
{
	char text[64] = "";
	FILE *f = fopen("/proc/xen/capabilities", "re");

	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strstr(text, "control_d") == NULL;
}

static int check_version(struct error *err)
{
	xc_interface *xch = xc_interface_open(xen_log_logger(), xen_log_logger(), 0);
	int version, major, minor;

	if (!xch)
		return error_sys(err, -errno, no_xen_fix, "cannot talk to the hypervisor");
	version = xc_version(xch, XENVER_version, NULL);
	xc_interface_close(xch);
	if (version < 0)
		return error_set(err, -EIO, no_xen_fix, "the hypervisor does not tell its version");
	major = version >> 16;
	minor = version & 0xffff;
	if (major != XEN_HOST_MAJOR || minor != XEN_HOST_MINOR)
		return error_set(err, -ENODEV, "Build lifeboat with the libxen-dev of this Xen",
			"this host runs Xen %d.%d, lifeboat was built for %d.%d", major, minor,
			XEN_HOST_MAJOR, XEN_HOST_MINOR);
	return 0;
}

static int check_xenstore(struct error *err)
{
	struct xs_handle *xs = xs_open(0);

	if (!xs)
		return error_set(err, -ENODEV, "Start it: systemctl start xen",
			"xenstore does not answer on this host");
	xs_close(xs);
	return 0;
}

/* In the order in which things are usually missing, and before libxl prints a page about it. */
int xen_host_probe(const struct config *cfg, struct error *err)
{
	int rc;

	if (cfg)
		snprintf(host.run_dir, sizeof(host.run_dir), "%s", cfg->run_dir);
	if (access("/dev/xen/privcmd", F_OK) != 0)
		return error_set(err, -ENODEV, no_xen_fix, "this machine does not run Xen");
	if (is_guest())
		return error_set(err, -ENODEV, "Run lifeboat in dom0",
			"this machine is a guest of Xen, not a host");
	if (access("/dev/xen/privcmd", R_OK | W_OK) != 0)
		return error_sys(err, -errno, "Run it as root", "Xen may not be used");
	rc = check_xenstore(err);
	return rc ? rc : check_version(err);
}

const char *xen_host_run_dir(void)
{
	return host.run_dir;
}

int xen_host_open(libxl_ctx **ctx, struct error *err)
{
	int rc;

	xen_log_clear();
	if (!host.ctx) {
		rc = libxl_ctx_alloc(&host.ctx, LIBXL_VERSION, 0, xen_log_logger());
		if (rc) {
			host.ctx = NULL;
			return xen_host_error(err, rc, no_xen_fix, "cannot talk to Xen");
		}
		libxl_childproc_setmode(host.ctx, &child_hooks, NULL);
	}
	*ctx = host.ctx;
	return 0;
}

static int to_errno(int rc)
{
	static const struct {
		int libxl, err;
	} table[] = {
		{ERROR_NOMEM, -ENOMEM},
		{ERROR_INVAL, -EINVAL},
		{ERROR_TIMEDOUT, -ETIMEDOUT},
		{ERROR_GUEST_TIMEDOUT, -ETIMEDOUT},
		{ERROR_NOPARAVIRT, -EOPNOTSUPP},
		{ERROR_DOMAIN_NOTFOUND, -ENOENT},
		{ERROR_DOMAIN_DESTROYED, -ENOENT},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].libxl == rc)
			return table[i].err;
	return -EIO;
}

int xen_host_error(struct error *err, int rc, const char *fix, const char *fmt, ...)
{
	char what[ERROR_TEXT_LEN], reason[ERROR_TEXT_LEN];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	xen_log_reason(reason, sizeof(reason));
	return error_set(
		err, to_errno(rc), fix, "%.200s%s%.300s", what, reason[0] ? ": " : "", reason);
}

int xen_host_info(struct hv_host *out, struct error *err)
{
	const libxl_version_info *version;
	libxl_physinfo phys;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	libxl_physinfo_init(&phys);
	rc = libxl_get_physinfo(ctx, &phys);
	version = libxl_get_version_info(ctx);
	if (rc || !version) {
		rc = xen_host_error(err, rc, NULL, "cannot ask Xen about this host");
		goto out;
	}
	*out = (struct hv_host){
		.backend = "xen",
		.memory_free_kb = (phys.free_pages + phys.scrub_pages) * (PAGE_BYTES / 1024),
		.memory_total_kb = phys.total_pages * (PAGE_BYTES / 1024),
		.cpus = phys.nr_cpus,
		.tracker = "log-dirty",
	};
	snprintf(out->version, sizeof(out->version), "%d.%d%s", version->xen_version_major,
		version->xen_version_minor, version->xen_version_extra);
out:
	libxl_physinfo_dispose(&phys);
	return rc;
}

static void on_signal(int sig)
{
	(void)sig;
}

/* A handler, not SIG_IGN: the helpers that libxl starts must get the default again by exec. */
static void be_deaf(void)
{
	static const int sigs[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigset_t none;

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		sigaction(sigs[i], &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Close all but 0-2 and `keep`, ascending. */
static void close_others(const int *keep, size_t nr)
{
	int next = 3;

	for (;;) {
		int found = -1;

		for (size_t i = 0; i < nr; i++)
			if (keep[i] >= next && (found < 0 || keep[i] < found))
				found = keep[i];
		if (found < 0)
			break;
		if (found > next)
			syscall(SYS_close_range, (unsigned)next, (unsigned)found - 1, 0);
		next = found + 1;
	}
	syscall(SYS_close_range, (unsigned)next, ~0u, 0);
}

pid_t xen_host_fork(const char *name, const int *keep, size_t nr)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid > 0)
		return pid;
	setsid();
	prctl(PR_SET_NAME, name);
	if (host.ctx) {
		libxl_postfork_child_noexec(host.ctx);
		host.ctx = NULL; /* its connection belongs to the parent */
	}
	be_deaf();
	close_others(keep, nr);
	xen_log_clear();
	return 0;
}
