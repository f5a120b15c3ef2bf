/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bodies of PROBED and PLACE. */
#include <string.h>

#include "migrate/record.h"

size_t record_put_probed(void *buf, size_t size, const struct record_probed *probed)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u32(&w, probed->nr);
	for (uint32_t i = 0; i < probed->nr; i++) {
		wire_put_u32(&w, probed->vif[i].sent);
		wire_put_u32(&w, probed->vif[i].mtu);
	}
	return w.failed ? 0 : wire_writer_len(&w);
}

bool record_get_probed(const struct record *rec, struct record_probed *probed)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	*probed = (struct record_probed){.nr = wire_get_u32(&r)};
	if (probed->nr > DOMAIN_VIFS_MAX)
		return false;
	for (uint32_t i = 0; i < probed->nr; i++) {
		uint32_t sent = wire_get_u32(&r);

		probed->vif[i].sent = sent;
		probed->vif[i].mtu = wire_get_u32(&r);
		if (sent > 1)
			return false;
	}
	return wire_reader_done(&r);
}

size_t record_put_place(void *buf, size_t size, const struct record_place *place)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u32(&w, place->state);
	wire_put_u32(&w, place->forwarding_ms);
	wire_put_u32(&w, place->reachable_ms);
	wire_put_u32(&w, place->frames);
	wire_put_string(&w, place->what);
	return w.failed ? 0 : wire_writer_len(&w);
}

bool record_get_place(const struct record *rec, struct record_place *place)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	place->state = wire_get_u32(&r);
	place->forwarding_ms = wire_get_u32(&r);
	place->reachable_ms = wire_get_u32(&r);
	place->frames = wire_get_u32(&r);
	wire_get_string(&r, place->what, sizeof(place->what));
	for (char *p = place->what; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return wire_reader_done(&r) && place->state >= 1 && place->state <= RECORD_PLACE_STATES;
}
