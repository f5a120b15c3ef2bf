/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>

#include "base/clock.h"
#include "netfix/netfix.h"

#define FORWARD_MS 30000 /* STP takes that long to let a new port speak */
#define ANSWER_MS  2000

static void fill_job(const struct netfix *n, struct announce_job *job)
{
	*job = (struct announce_job){
		.nr_vifs = n->nr_vifs,
		.known = n->known,
		.ask = n->ask,
		.rounds = n->rounds,
		.forward_ms = FORWARD_MS,
		.answer_ms = ANSWER_MS,
		.start = clock_ms(),
	};
	for (unsigned i = 0; i < n->nr_vifs; i++)
		job->vif[i] = n->vif[i];
}

static void print_vif(const struct netfix *n, const struct netfix_vif *v)
{
	char mac[MAC_TEXT_LEN], text[ADDRESS_TEXT_LEN];
	bool any = false;

	mac_text(v->mac, mac);
	printf("%s %s\n", v->device[0] ? v->device : "(no link)", mac);
	for (unsigned i = 0; i < n->known.nr; i++) {
		const struct address *a = &n->known.list[i];

		if (a->vif != v->nr || a->family == ADDRESS_NONE)
			continue;
		address_text(a, text);
		printf("  %s, from %s\n", text, address_origin_name(a->origin));
		any = true;
	}
	if (!any)
		printf("  no address known: RARP\n");
}

static void print_place(const struct place *p)
{
	printf("  %u frames, %s", p->frames, place_state_name(p->state));
	if (p->state == PLACE_REACHABLE)
		printf(" after %u ms", p->reachable_ms);
	printf("%s%s\n", p->what[0] ? ": " : "", p->what);
}

static json_t *vif_json(const struct netfix *n, unsigned i, const struct place *p)
{
	const struct netfix_vif *v = &n->vif[i];
	char mac[MAC_TEXT_LEN];
	json_t *o;

	mac_text(v->mac, mac);
	o = json_pack("{s:s, s:s, s:s, s:o}", "device", v->device, "mac", mac, "bridge", v->bridge,
		"addresses", netfix_addresses_json(n, v->nr));
	if (o && p) {
		json_object_set_new(o, "state", json_string(place_state_name(p->state)));
		json_object_set_new(o, "what", json_string(p->what));
		json_object_set_new(o, "frames", json_integer(p->frames));
		json_object_set_new(o, "forwarding_ms", json_integer(p->forwarding_ms));
		json_object_set_new(o, "reachable_ms",
			p->state == PLACE_REACHABLE ? json_integer(p->reachable_ms) : json_null());
	}
	return o;
}

static int print_all(struct netfix *n, const struct place *place)
{
	json_t *list = n->json ? json_array() : NULL;

	for (unsigned i = 0; i < n->nr_vifs; i++) {
		if (list) {
			json_array_append_new(list, vif_json(n, i, place ? &place[i] : NULL));
			continue;
		}
		print_vif(n, &n->vif[i]);
		if (place)
			print_place(&place[i]);
	}
	return list ? netfix_print(n, list) : 0;
}

static unsigned count_frames(const struct netfix *n)
{
	static struct announcement out[ANNOUNCEMENTS_MAX];
	unsigned nr = 0;

	for (unsigned i = 0; i < n->nr_vifs; i++)
		nr += announce_frames(&n->vif[i], &n->known, out, ANNOUNCEMENTS_MAX);
	return nr;
}

int netfix_announce(struct netfix *n)
{
	struct place place[ADDRESS_VIFS_MAX], all;
	static struct announce_job job;
	int rc = netfix_find(n);

	if (rc == 0)
		rc = netfix_learn(n);
	if (rc)
		return rc;
	if (n->dry_run) {
		rc = print_all(n, NULL);
		if (!n->json)
			printf("%u frames a round, %u rounds; nothing was sent\n", count_frames(n),
				n->rounds);
		return rc;
	}
	fill_job(n, &job);
	rc = announce_run(&job, place, &n->err);
	if (rc == 0)
		rc = print_all(n, place);
	announce_verdict(place, n->nr_vifs, &all);
	return rc ? rc : all.state == PLACE_BLOCKED || all.state == PLACE_FAILED;
}
