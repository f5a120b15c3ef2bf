/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_builder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/xen_host.h"

#define PIPE_BYTES     (1 << 20)
#define STREAM_VERSION 2 /* libxl's default is 1, its format of before 2014 */

/* The child's side. */

static int build(libxl_domain_config *cfg, int image, uint32_t *domid, struct error *err)
{
	libxl_domain_restore_params params;
	libxl_ctx *ctx;
	int rc = xen_host_open(&ctx, err);

	if (rc)
		return rc;
	libxl_domain_restore_params_init(&params);
	params.stream_version = STREAM_VERSION;
	rc = libxl_domain_create_restore(ctx, cfg, domid, image, -1, &params, NULL, NULL);
	if (rc)
		rc = xen_host_error(err, rc, NULL, "libxl could not build %s", cfg->c_info.name);
	libxl_domain_restore_params_dispose(&params);
	return rc;
}

static void builder_main(libxl_domain_config *cfg, int image, int report_fd)
{
	struct error err = ERROR_INIT;
	struct xen_builder_report report = {.domid = XEN_NO_DOMID};

	report.rc = build(cfg, image, &report.domid, &err);
	memcpy(report.text, err.what, sizeof(report.text));
	report.text[sizeof(report.text) - 1] = '\0';
	if (io_write_all(report_fd, &report, sizeof(report), DEADLINE_NEVER))
		log_debug("%s was built unseen", cfg->c_info.name);
	_exit(report.rc ? 1 : 0);
}

/* The parent's side. */

int xen_builder_start(struct xen_builder *b, libxl_domain_config *cfg, struct error *err)
{
	int image[2] = {-1, -1}, report[2] = {-1, -1};
	int rc;

	/* CLOEXEC: a helper of libxl that held the write end would keep the pipe open for ever. */
	if (pipe2(image, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0) {
		rc = error_sys(err, -errno, NULL, "cannot make a pipe");
		goto out;
	}
	if (fcntl(image[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
		log_debug("the pipe stays small: %s", strerror(errno));
	b->pid = xen_host_fork("lifeboat-build", (const int[]){image[0], report[1]}, 2);
	if (b->pid == 0)
		builder_main(cfg, image[0], report[1]);
	if (b->pid < 0) {
		rc = error_sys(err, b->pid, NULL, "cannot fork");
		goto out;
	}
	b->image = image[1];
	b->report = report[0];
	image[1] = report[0] = -1; /* b owns them now */
	rc = 0;
out:
	for (int i = 0; i < 2; i++) {
		fd_close(&image[i]);
		fd_close(&report[i]);
	}
	return rc;
}

int xen_builder_write(void *builder, struct iovec *iov, size_t nr)
{
	struct xen_builder *b = builder;

	while (nr) {
		ssize_t n = writev(b->image, iov, (int)nr);
		size_t left = n > 0 ? (size_t)n : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		while (nr && left >= iov->iov_len) {
			left -= iov->iov_len;
			iov++;
			nr--;
		}
		if (nr) {
			iov->iov_base = (char *)iov->iov_base + left;
			iov->iov_len -= left;
		}
	}
	return 0;
}

void xen_builder_end(struct xen_builder *b, struct xen_builder_report *report)
{
	*report = (struct xen_builder_report){.rc = -EIO, .domid = XEN_NO_DOMID};
	fd_close(&b->image);
	if (b->report >= 0 &&
		io_read_exact(b->report, report, sizeof(*report), DEADLINE_NEVER) != 0)
		*report = (struct xen_builder_report){.rc = -EIO, .domid = XEN_NO_DOMID};
	report->text[sizeof(report->text) - 1] = '\0';
	fd_close(&b->report);
	while (b->pid > 0 && waitpid(b->pid, NULL, 0) < 0 && errno == EINTR)
		;
	b->pid = -1;
}
