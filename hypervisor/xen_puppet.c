/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/xen_puppet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "hypervisor/xen_ctrl.h"
#include "hypervisor/xen_host.h"
#include "hypervisor/xen_log.h"
#include "hypervisor/xen_qemu.h"
#include "hypervisor/xen_stream.h"

#define PIPE_BYTES (1 << 20)
#define QEMU_MS	   10000 /* libxl gives it as long */

/* The child's side. */

struct strings {
	xc_interface *xch;
	uint32_t domid;
	bool has_qemu;
	int image, control;
	uint32_t round;
	bool asked;	/* about the round that comes next, after the pass before it */
	int32_t answer; /* what was said then */
};

static int ask(struct strings *s, const struct xen_mark *mark, int32_t on_failure)
{
	uint8_t raw[XEN_STREAM_MARK_LEN];
	int32_t answer;
	ssize_t n;

	xen_stream_mark_encode(raw, mark);
	if (io_write_all(s->image, raw, sizeof(raw), DEADLINE_NEVER))
		return on_failure;
	do {
		n = recv(s->control, &answer, sizeof(answer), 0);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(answer) ? answer : on_failure;
}

static int32_t ask_round(struct strings *s, uint64_t dirty, uint64_t written)
{
	struct xen_mark mark = {
		.kind = XEN_MARK_ROUND,
		.round = s->round++,
		.dirty_pages = dirty,
		.written_pages = written,
	};

	return ask(s, &mark, XGS_POLICY_ABORT);
}

/*
 * After a pass libxc does not tell how many pages are dirty by now, but stands still meanwhile, so
 * Xen may be asked. Only here can it be told to suspend without sending one more round.
 */
static int after_pass(struct strings *s, uint64_t written)
{
	struct xen_mark mark = {.kind = XEN_MARK_PASS, .round = s->round};
	xc_shadow_op_stats_t now = {0};

	if (ask(s, &mark, XGS_POLICY_ABORT) == XGS_POLICY_ABORT)
		return XGS_POLICY_ABORT;

	s->asked = xc_logdirty_control(
			   s->xch, s->domid, XEN_DOMCTL_SHADOW_OP_PEEK, NULL, 0, 0, &now) >= 0;
	if (!s->asked)
		return XGS_POLICY_CONTINUE_PRECOPY;
	s->answer = ask_round(s, now.dirty_count, written);
	if (s->answer == XEN_ANSWER_SUSPEND)
		return XGS_POLICY_STOP_AND_COPY;
	return s->answer == XGS_POLICY_ABORT ? XGS_POLICY_ABORT : XGS_POLICY_CONTINUE_PRECOPY;
}

/* libxc asks twice a round: before the pass with the number of dirty pages, and after it. */
static int on_policy(struct precopy_stats stats, void *data)
{
	struct strings *s = data;

	if (stats.dirty_count < 0)
		return after_pass(s, stats.total_written);
	if (!s->asked)
		s->answer = ask_round(s, (uint64_t)stats.dirty_count, stats.total_written);
	s->asked = false;
	/* By now this round is sent in any case. */
	return s->answer == XEN_ANSWER_SUSPEND ? XGS_POLICY_STOP_AND_COPY : s->answer;
}

/* Nonzero is success here. */
static int on_suspend(void *data)
{
	struct strings *s = data;
	struct xen_mark mark = {.kind = XEN_MARK_SUSPEND, .round = s->round};

	return ask(s, &mark, 0);
}

/* Nonzero is failure here. libxc asks for PVH too, which has no QEMU. */
static int on_qemu_logdirty(uint32_t domid, unsigned enable, void *data)
{
	struct strings *s = data;
	struct error why = ERROR_INIT;

	if (!s->has_qemu)
		return 0;
	if (xen_qemu_log_dirty(domid, enable, deadline_in(QEMU_MS), &why) == 0)
		return 0;
	xtl_log(xen_log_logger(), XTL_ERROR, -1, "qemu", "%s", why.what);
	return -1;
}

static void puppet_main(uint32_t domid, bool live, struct strings *s)
{
	struct save_callbacks callbacks = {
		.suspend = on_suspend,
		.precopy_policy = on_policy,
		.switch_qemu_logdirty = on_qemu_logdirty,
		.data = s,
	};
	struct xen_puppet_report report = {.rc = 0};
	xc_interface *xch = xc_interface_open(xen_log_logger(), xen_log_logger(), 0);

	s->xch = xch;
	s->domid = domid;
	if (!xch || xc_domain_save(xch, s->image, domid, live ? XCFLAGS_LIVE : 0, &callbacks,
			    XC_STREAM_PLAIN, -1))
		report.rc = errno ? -errno : -EIO;
	xen_log_reason(report.text, sizeof(report.text));
	if (send(s->control, &report, sizeof(report), MSG_NOSIGNAL) < 0)
		log_debug("the save of domain %u ended unseen", domid);
	_exit(report.rc ? 1 : 0);
}

/* The parent's side. */

int xen_puppet_start(struct xen_puppet *p, const struct domain *dom, bool live, struct error *err)
{
	int image[2] = {-1, -1}, control[2] = {-1, -1};
	int rc;

	if (pipe2(image, O_CLOEXEC) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) < 0) {
		rc = error_sys(err, -errno, NULL, "cannot make a pipe");
		goto out;
	}
	if (fcntl(image[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
		log_debug("the pipe stays small: %s", strerror(errno));
	p->pid = xen_host_fork("lifeboat-save", (const int[]){image[1], control[1]}, 2);
	if (p->pid == 0)
		puppet_main(dom->domid, live,
			&(struct strings){.image = image[1],
				.control = control[1],
				.has_qemu = dom->type == DOMAIN_HVM});
	if (p->pid < 0) {
		rc = error_sys(err, p->pid, NULL, "cannot fork");
		goto out;
	}
	p->image = image[0];
	p->control = control[0];
	image[0] = control[0] = -1; /* p owns them now */
	rc = 0;
out:
	for (int i = 0; i < 2; i++) {
		fd_close(&image[i]);
		fd_close(&control[i]);
	}
	return rc;
}

int xen_puppet_answer(struct xen_puppet *p, int32_t answer)
{
	return send(p->control, &answer, sizeof(answer), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void xen_puppet_end(struct xen_puppet *p, struct xen_puppet_report *report)
{
	struct xen_puppet_report got;
	ssize_t n = -1;

	*report = (struct xen_puppet_report){.rc = -EIO};
	fd_close(&p->image);
	if (p->control >= 0) {
		/* No more answers, so that a child that waits for one goes on. */
		shutdown(p->control, SHUT_WR);
		do {
			n = recv(p->control, &got, sizeof(got), 0);
		} while (n < 0 && errno == EINTR);
		fd_close(&p->control);
	}
	if (n == (ssize_t)sizeof(got)) {
		*report = got;
		report->text[sizeof(report->text) - 1] = '\0';
	}
	while (p->pid > 0 && waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	p->pid = -1;
}
