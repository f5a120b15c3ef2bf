/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/plug.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <netlink/netlink.h>
#include <netlink/route/act/mirred.h>
#include <netlink/route/classifier.h>
#include <netlink/route/cls/matchall.h>
#include <netlink/route/link.h>
#include <netlink/route/qdisc.h>
#include <netlink/route/qdisc/plug.h>
#include <netlink/route/tc.h>
#include <stdio.h>
#include <string.h>

#define INGRESS 0xffff0000u /* ffff:, the handle of every ingress qdisc */
#define PLUG	0x00010000u /* 1: */
#define FIX                                                                                        \
	"modprobe -a sch_plug ifb sch_ingress act_mirred cls_matchall; this needs root or CAP_NET_ADMIN"

static int failed(struct error *err, int nl, const char *what)
{
	return error_set(err, -EIO, FIX, "the output buffer: %s: %s", what, nl_geterror(nl));
}

static struct nl_sock *open_socket(void)
{
	struct nl_sock *sk = nl_socket_alloc();

	if (sk && nl_connect(sk, NETLINK_ROUTE) < 0) {
		nl_socket_free(sk);
		sk = NULL;
	}
	return sk;
}

static int make_ifb(struct nl_sock *sk, const char *name)
{
	struct rtnl_link *link = rtnl_link_alloc(), *up = rtnl_link_alloc();
	int rc = -NLE_NOMEM;

	if (link && up) {
		rtnl_link_set_name(link, name);
		rc = if_nametoindex(name) ? 0 : rtnl_link_set_type(link, "ifb");
		if (rc == 0 && !if_nametoindex(name))
			rc = rtnl_link_add(sk, link, NLM_F_CREATE | NLM_F_EXCL);
		rtnl_link_set_ifindex(up, (int)if_nametoindex(name));
		rtnl_link_set_flags(up, IFF_UP);
		if (rc == 0)
			rc = rtnl_link_change(sk, up, up, 0);
	}
	rtnl_link_put(link);
	rtnl_link_put(up);
	return rc;
}

/* A qdisc, made or removed. */
static int qdisc(
	struct nl_sock *sk, int index, uint32_t parent, uint32_t handle, const char *kind, bool add)
{
	struct rtnl_qdisc *q = rtnl_qdisc_alloc();
	int rc = -NLE_NOMEM;

	if (q) {
		rtnl_tc_set_ifindex(TC_CAST(q), index);
		rtnl_tc_set_parent(TC_CAST(q), parent);
		rtnl_tc_set_handle(TC_CAST(q), handle);
		rc = rtnl_tc_set_kind(TC_CAST(q), kind);
		if (rc == 0)
			rc = add ? rtnl_qdisc_add(sk, q, NLM_F_CREATE | NLM_F_EXCL)
				 : rtnl_qdisc_delete(sk, q);
	}
	rtnl_qdisc_put(q);
	return rc;
}

static int redirect(struct nl_sock *sk, int from, int to)
{
	struct rtnl_cls *cls = rtnl_cls_alloc();
	struct rtnl_act *act = rtnl_act_alloc();
	int rc = -NLE_NOMEM;

	if (cls && act) {
		rtnl_tc_set_ifindex(TC_CAST(cls), from);
		rtnl_tc_set_parent(TC_CAST(cls), INGRESS);
		rtnl_cls_set_prio(cls, 1);
		rtnl_cls_set_protocol(cls, ETH_P_ALL);
		rc = rtnl_tc_set_kind(TC_CAST(cls), "matchall");
		if (rc == 0)
			rc = rtnl_tc_set_kind(TC_CAST(act), "mirred");
		if (rc == 0)
			rc = rtnl_mirred_set_ifindex(act, (uint32_t)to);
		if (rc == 0)
			rc = rtnl_mirred_set_action(act, TCA_EGRESS_REDIR);
		if (rc == 0)
			rc = rtnl_mirred_set_policy(act, TC_ACT_STOLEN);
		if (rc == 0)
			rc = rtnl_mall_append_action(cls, act);
		if (rc == 0)
			rc = rtnl_cls_add(sk, cls, NLM_F_CREATE | NLM_F_EXCL);
	}
	rtnl_cls_put(cls);
	rtnl_act_put(act);
	return rc;
}

/* One word to sch_plug, or its limit. */
static int tell(struct nl_sock *sk, int ifb, int (*word)(struct rtnl_qdisc *), int limit)
{
	struct rtnl_qdisc *q = rtnl_qdisc_alloc();
	int rc = -NLE_NOMEM;

	if (q) {
		rtnl_tc_set_ifindex(TC_CAST(q), ifb);
		rtnl_tc_set_parent(TC_CAST(q), TC_H_ROOT);
		rtnl_tc_set_handle(TC_CAST(q), PLUG);
		rc = rtnl_tc_set_kind(TC_CAST(q), "plug");
		if (rc == 0)
			rc = word ? word(q) : rtnl_qdisc_plug_set_limit(q, limit);
		if (rc == 0)
			rc = rtnl_qdisc_add(sk, q, 0);
	}
	rtnl_qdisc_put(q);
	return rc;
}

int plug_open(struct plug *p, const char *vif, const char *ifb, struct error *err)
{
	struct nl_sock *sk = open_socket();
	const char *what = "no socket";
	int rc = sk ? 0 : -NLE_NOMEM;

	*p = (struct plug){.vif = (int)if_nametoindex(vif)};
	if (!p->vif) {
		nl_socket_free(sk);
		return error_set(err, -ENODEV, "ip link shows them", "there is no link %s", vif);
	}
	if (rc == 0)
		rc = make_ifb(sk, ifb), what = "the ifb";
	p->ifb = (int)if_nametoindex(ifb);
	if (rc == 0)
		rc = qdisc(sk, p->ifb, TC_H_ROOT, PLUG, "plug", true), what = "sch_plug";
	if (rc == 0)
		rc = tell(sk, p->ifb, NULL, PLUG_LIMIT_BYTES), what = "its limit";
	if (rc == 0)
		rc = qdisc(sk, p->vif, TC_H_INGRESS, INGRESS, "ingress", true), what = "ingress";
	if (rc == 0)
		rc = redirect(sk, p->vif, p->ifb), what = "the redirection";
	nl_socket_free(sk);
	if (rc == 0)
		return 0;
	plug_close(p, NULL);
	return failed(err, rc, what);
}

int plug_may_buffer(const struct plug *p, uint64_t epoch)
{
	if (p->buffered)
		return -EBUSY;
	return epoch > p->released ? 0 : -EINVAL;
}

int plug_may_release(const struct plug *p, uint64_t epoch)
{
	return p->buffered && epoch == p->buffered ? 0 : -EINVAL;
}

static int say(
	struct plug *p, int (*word)(struct rtnl_qdisc *), const char *what, struct error *err)
{
	struct nl_sock *sk = open_socket();
	int rc = sk ? tell(sk, p->ifb, word, 0) : -NLE_NOMEM;

	nl_socket_free(sk);
	return rc ? failed(err, rc, what) : 0;
}

int plug_buffer(struct plug *p, uint64_t epoch, struct error *err)
{
	int rc = plug_may_buffer(p, epoch);

	if (rc)
		return error_set(err, rc, NULL,
			rc == -EBUSY
				? "epoch %llu cannot end before the one before it is acknowledged"
				: "epoch %llu has been before",
			(unsigned long long)epoch);
	rc = say(p, rtnl_qdisc_plug_buffer, "BUFFER", err);
	if (rc == 0)
		p->buffered = epoch;
	return rc;
}

int plug_release(struct plug *p, uint64_t epoch, struct error *err)
{
	int rc = plug_may_release(p, epoch);

	if (rc)
		return error_set(err, rc, NULL, "epoch %llu is not the one that waits (%llu)",
			(unsigned long long)epoch, (unsigned long long)p->buffered);
	rc = say(p, rtnl_qdisc_plug_release_one, "RELEASE_ONE", err);
	if (rc)
		return rc;
	p->released = epoch;
	p->buffered = 0;
	return 0;
}

int plug_close(struct plug *p, struct error *err)
{
	struct nl_sock *sk = open_socket();
	int rc = 0, gone;

	/* First let go, then stop redirecting: nothing that is held may be lost. */
	if (sk && p->ifb)
		rc = tell(sk, p->ifb, rtnl_qdisc_plug_release_indefinite, 0);
	if (sk && p->vif) {
		gone = qdisc(sk, p->vif, TC_H_INGRESS, INGRESS, "ingress", false);
		rc = rc ? rc : gone;
	}
	nl_socket_free(sk);
	*p = (struct plug){0};
	return rc ? failed(err, rc, "releasing it for good") : 0;
}
