/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "netfix/announce.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define PAUSE_FIRST_MS 50
#define PAUSE_MAX_MS   5000
#define LOOK_MS	       500 /* at the ports, should a change have been missed */
#define LOOK_UNTOLD_MS 50  /* where no change is told */
#define BURST	       16  /* frames, then a breath of a millisecond */
#define ASK_MAX	       4

/* One vif on its way. */
struct lane {
	const struct netfix_vif *vif;
	struct place *place;
	struct announcement out[ANNOUNCEMENTS_MAX];
	unsigned nr_out, round;
	struct addresses ask;
	int64_t next, give_up;
	int listener;
	bool decided, done;
};

struct run {
	struct announce_job *job;
	struct nethost host;
	struct lane lane[ADDRESS_VIFS_MAX];
	int sender, watch;
	bool told;
};

int announce_pause_ms(unsigned round)
{
	int ms = PAUSE_FIRST_MS;

	if (round == 0)
		return 0;
	while (--round && ms < PAUSE_MAX_MS)
		ms *= 2;
	return ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : ms;
}

static void put(
	struct announcement *out, unsigned max, unsigned *nr, const struct frame *f, uint16_t vlan)
{
	if (*nr < max)
		out[(*nr)++] = (struct announcement){.frame = *f, .vlan = vlan};
}

unsigned announce_frames(const struct netfix_vif *vif, const struct addresses *known,
	struct announcement *out, unsigned max)
{
	unsigned nr = 0;
	struct frame f;

	for (unsigned i = 0; i < known->nr; i++) {
		const struct address *a = &known->list[i];

		if (a->vif != vif->nr)
			continue;
		if (a->family == ADDRESS_V4) {
			frame_garp(&f, vif->mac, a->ip, false);
			put(out, max, &nr, &f, a->vlan);
			frame_garp(&f, vif->mac, a->ip, true);
		} else if (a->family == ADDRESS_V6) {
			frame_na(&f, vif->mac, a->ip, a->router);
		} else {
			frame_rarp(&f, vif->mac);
		}
		put(out, max, &nr, &f, a->vlan);
	}
	if (nr == 0) {
		frame_rarp(&f, vif->mac);
		put(out, max, &nr, &f, 0);
	}
	return nr;
}

const char *place_state_name(enum place_state state)
{
	static const char *const names[PLACE_STATES] = {
		[PLACE_REACHABLE] = "reachable",
		[PLACE_UNKNOWN] = "unknown",
		[PLACE_SILENT] = "silent",
		[PLACE_BLOCKED] = "blocked",
		[PLACE_FAILED] = "failed",
	};

	return state > 0 && state < PLACE_STATES ? names[state] : "untried";
}

void announce_verdict(const struct place *vif, unsigned nr, struct place *all)
{
	uint32_t frames = 0, forwarding = 0, reachable = 0;
	unsigned worst = 0;

	*all = (struct place){.state = PLACE_UNKNOWN};
	snprintf(all->what, sizeof(all->what), "it has no vif");
	for (unsigned i = 0; i < nr; i++) {
		frames += vif[i].frames;
		if (vif[i].forwarding_ms > forwarding)
			forwarding = vif[i].forwarding_ms;
		if (vif[i].reachable_ms > reachable)
			reachable = vif[i].reachable_ms;
		if (vif[i].state > vif[worst].state)
			worst = i;
	}
	if (nr)
		*all = vif[worst];
	all->frames = frames;
	all->forwarding_ms = forwarding;
	all->reachable_ms = all->state == PLACE_REACHABLE ? reachable : 0;
}

static uint32_t since(const struct run *r)
{
	int64_t ms = clock_ms() - r->job->start;

	return ms < 0 ? 0 : (uint32_t)ms;
}

static void decide(struct lane *l, enum place_state state)
{
	l->decided = true;
	l->place->state = state;
}

/* Its bridge learns from frames that come in, and ours only go out: say it by hand. */
static void move_here(struct run *r, struct lane *l, const struct nethost_link *port)
{
	const struct nethost_link *bridge = nethost_by_index(&r->host, port->master);

	if (r->job->keep_fdb || !bridge)
		return;
	for (unsigned i = 0; i < l->nr_out; i++) {
		uint16_t vlan = l->out[i].vlan ? l->out[i].vlan : port->vlans.pvid;

		int rc = nethost_fdb_move(l->vif->mac, port->index, bridge->filtering ? vlan : 0);

		if (rc)
			l->place->fdb_rc = rc;
		if (!bridge->filtering)
			return;
	}
}

static void send_round(struct run *r, struct lane *l, const struct nethost_link *port)
{
	for (unsigned i = 0; i < l->nr_out; i++) {
		int n = packet_inject(r->sender, &r->host, port, &l->out[i].frame, l->out[i].vlan);

		if (n > 0)
			l->place->frames += (uint32_t)n;
		if (i % BURST == BURST - 1)
			clock_pause(1);
	}
}

/* The guest's address in the family and VLAN of the one that is asked; ARP also goes without. */
static bool asker(
	const struct run *r, const struct lane *l, struct address *target, struct address *from)
{
	const struct addresses *known = &r->job->known;

	*from = (struct address){.family = target->family};
	for (unsigned i = 0; i < known->nr; i++)
		if (known->list[i].vif == l->vif->nr && known->list[i].family == target->family &&
			(!target->vlan || known->list[i].vlan == target->vlan)) {
			*from = known->list[i];
			target->vlan = from->vlan;
			return true;
		}
	return target->family == ADDRESS_V4;
}

static void ask(struct run *r, struct lane *l, const struct nethost_link *port)
{
	for (unsigned i = 0; i < l->ask.nr && i < ASK_MAX; i++) {
		struct address *target = &l->ask.list[i], from;
		struct frame f;

		if (!asker(r, l, target, &from))
			continue;
		frame_ask(&f, l->vif->mac, &from, target);
		packet_inject(r->sender, &r->host, port, &f, target->vlan);
	}
}

/* The first time that its port forwards. */
static void begin_lane(struct run *r, struct lane *l, const struct nethost_link *port)
{
	struct error why = ERROR_INIT;

	l->place->forwarding_ms = since(r);
	l->ask = r->job->ask;
	learn_peers(&r->host, l->vif, &l->ask);
	l->listener = packet_listener(port->index, PACKET_TO, l->vif->mac, &why);
	if (l->listener < 0) {
		decide(l, PLACE_FAILED);
		snprintf(l->place->what, sizeof(l->place->what), "%.150s", why.what);
	} else if (l->ask.nr == 0) {
		decide(l, PLACE_UNKNOWN);
		snprintf(l->place->what, sizeof(l->place->what),
			"there is nobody to ask: no gateway is configured, and this host knows no neighbour on its bridge");
	}
	move_here(r, l, port);
	l->give_up = deadline_in(r->job->answer_ms);
}

static void lane_round(struct run *r, struct lane *l)
{
	const struct nethost_link *port = nethost_by_name(&r->host, l->vif->device);
	const char *reason = port ? nethost_port_reason(port) : "there is no such link";

	if (reason[0]) {
		l->next = deadline_in(r->watch >= 0 ? LOOK_MS : LOOK_UNTOLD_MS);
		if (l->round == 0)
			snprintf(l->place->what, sizeof(l->place->what), "%s: %s",
				l->vif->device[0] ? l->vif->device : "its vif", reason);
		if (clock_ms() >= l->give_up) {
			if (!l->decided)
				decide(l, PLACE_BLOCKED);
			l->done = true;
		}
		return;
	}
	if (l->round == 0) {
		l->place->what[0] = '\0';
		begin_lane(r, l, port);
	}
	if (l->round < r->job->rounds)
		send_round(r, l, port);
	if (!l->decided)
		ask(r, l, port);
	l->round++;
	l->next = deadline_in(announce_pause_ms(l->round));
	l->done = l->round >= r->job->rounds && l->decided;
}

static void hear(struct run *r, struct lane *l)
{
	struct packet p;

	while (l->listener >= 0 && packet_read(l->listener, &p))
		for (unsigned i = 0; i < l->ask.nr && !l->decided; i++)
			if (frame_answers(p.data, p.len, l->vif->mac, &l->ask.list[i])) {
				char text[ADDRESS_TEXT_LEN];

				decide(l, PLACE_REACHABLE);
				l->place->reachable_ms = since(r);
				address_text(&l->ask.list[i], text);
				snprintf(l->place->what, sizeof(l->place->what), "%s answered",
					text);
			}
}

static void out_of_patience(struct lane *l)
{
	char text[ADDRESS_TEXT_LEN];

	if (l->decided || l->round == 0 || clock_ms() < l->give_up)
		return;
	address_text(&l->ask.list[0], text);
	decide(l, PLACE_SILENT);
	snprintf(l->place->what, sizeof(l->place->what), "%s%s did not answer", text,
		l->ask.nr > 1 ? " and others" : "");
}

static void tell(struct run *r)
{
	struct place places[ADDRESS_VIFS_MAX], all;

	for (unsigned i = 0; i < r->job->nr_vifs; i++) {
		if (!r->lane[i].decided)
			return;
		places[i] = *r->lane[i].place;
	}
	announce_verdict(places, r->job->nr_vifs, &all);
	if (r->job->verdict)
		r->job->verdict(r->job->ctx, &all);
	r->told = true;
}

/* Wait for an answer, a change of the links, or the next round. */
static void wait_lanes(struct run *r)
{
	struct pollfd fds[1 + ADDRESS_VIFS_MAX] = {{.fd = r->watch, .events = POLLIN}};
	int64_t next = DEADLINE_NEVER;
	unsigned nr = r->job->nr_vifs;

	for (unsigned i = 0; i < nr; i++) {
		const struct lane *l = &r->lane[i];

		fds[1 + i] = (struct pollfd){.fd = l->decided ? -1 : l->listener, .events = POLLIN};
		if (!l->done && l->next < next)
			next = l->next;
		if (!l->decided && l->round && l->give_up < next)
			next = l->give_up;
	}
	poll(fds, 1 + nr, deadline_poll_ms(next));
	if (fds[0].revents) {
		nethost_drain(r->watch);
		for (unsigned i = 0; i < nr; i++)
			if (r->lane[i].round == 0)
				r->lane[i].next = 0;
	}
}

static bool step(struct run *r)
{
	bool done = true, due = false;
	int64_t now = clock_ms();

	for (unsigned i = 0; i < r->job->nr_vifs; i++)
		due |= !r->lane[i].done && r->lane[i].next <= now;
	if (due) {
		nethost_dispose(&r->host);
		if (nethost_read(&r->host, NULL))
			return true;
	}
	for (unsigned i = 0; i < r->job->nr_vifs; i++) {
		struct lane *l = &r->lane[i];

		hear(r, l);
		out_of_patience(l);
		if (!l->done && l->next <= now)
			lane_round(r, l);
		l->done |= l->decided && l->round >= r->job->rounds && l->round;
		done &= l->done;
	}
	if (!r->told)
		tell(r);
	return done;
}

int announce_run(struct announce_job *job, struct place *place, struct error *err)
{
	static struct run r;
	int rc = 0;

	r = (struct run){.job = job, .sender = -1, .watch = -1};
	for (unsigned i = 0; i < job->nr_vifs; i++) {
		struct lane *l = &r.lane[i];

		place[i] = (struct place){.state = PLACE_FAILED};
		*l = (struct lane){.vif = &job->vif[i], .place = &place[i], .listener = -1};
		l->nr_out = announce_frames(l->vif, &job->known, l->out, ANNOUNCEMENTS_MAX);
		l->give_up = deadline_in(job->forward_ms);
	}
	r.sender = packet_sender(err);
	if (r.sender < 0)
		return r.sender;
	r.watch = nethost_watch();
	rc = nethost_read(&r.host, err);
	while (rc == 0 && !step(&r))
		wait_lanes(&r);
	for (unsigned i = 0; i < job->nr_vifs; i++)
		fd_close(&r.lane[i].listener);
	nethost_dispose(&r.host);
	fd_close(&r.sender);
	if (r.watch >= 0)
		fd_close(&r.watch);
	return rc;
}
