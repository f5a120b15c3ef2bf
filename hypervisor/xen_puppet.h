/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xen_puppet: the child process in which xc_domain_save() runs. libxc wants to be called and calls
 * back; our hooks want to run on the one thread of the parent. So the child decides nothing:
 *
 *    child:  xc_domain_save() --image and marks--> pipe ---> parent: xen_reader -> hooks
 *            its callbacks    <------answers------ socket --
 *            its end          -------report------> socket ->
 *
 * A mark travels in the image's own pipe, so the parent has consumed all that came before when it
 * sees one; the child stands still until it is answered. When the parent closes its ends, at any
 * time, the next write or read of the child fails and libxc cleans up (log-dirty off). It must not
 * be killed: nobody would do that then.
 */
#ifndef HYPERVISOR_XEN_PUPPET_H
#define HYPERVISOR_XEN_PUPPET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/io.h"
#include "hypervisor/hypervisor.h"

struct xen_puppet {
	pid_t pid;
	int image;   /* read end of the pipe */
	int control; /* SOCK_SEQPACKET */
};

#define XEN_PUPPET_INIT ((struct xen_puppet){.pid = -1, .image = -1, .control = -1})

/* How the child ended. */
struct xen_puppet_report {
	int32_t rc;			 /* 0 or a negative errno */
	char text[ERROR_TEXT_LEN - 128]; /* what libxc said */
};

/* Start saving a domain, live or not: then the first mark is SUSPEND, and pages follow it. */
int xen_puppet_start(
	struct xen_puppet *p, const struct domain *dom, bool live, struct error *err) WARN_UNUSED;

/*
 * Answer a mark. PASS: XGS_POLICY_CONTINUE_PRECOPY. ROUND: an XGS_POLICY_ value, or
 * XEN_ANSWER_SUSPEND: do not send this round live. SUSPEND: 1 when the domain stands still, else 0.
 */
#define XEN_ANSWER_SUSPEND 100
int xen_puppet_answer(struct xen_puppet *p, int32_t answer) WARN_UNUSED;

/*
 * Close our ends and wait for the child however long its cleanup takes. After a failure on our
 * side this is also how it is told.
 */
void xen_puppet_end(struct xen_puppet *p, struct xen_puppet_report *report);

#endif
