/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire: the parts of lifeboat-wire. */
#ifndef MIGRATE_WIRE_H
#define MIGRATE_WIRE_H

#include "migrate/adapt.h"
#include "migrate/channel.h"
#include "migrate/codec.h"
#include "migrate/lane.h"
#include "migrate/link.h"
#include "migrate/pace.h"

/* One direction: a unit is read whole, turned over, written whole, then the next one is read. */
struct pump {
	int from, to;
	uint8_t *in;
	size_t have, need;
	uint8_t *out;
	size_t out_len, out_done;
	size_t unit_head;  /* bytes that announce a unit's length */
	bool ended;	   /* nothing more will come */
	struct pace pace;  /* how fast `out` may leave */
	bool blocked;	   /* a unit is complete, but the lane has no free slot for it */
	int64_t held_ns;   /* since when the rest of `out` may not leave; 0 = it may */
	int64_t waited_ns; /* that `out` was held so far */
};

struct wire {
	enum record_role role;
	char peer[HOST_NAME_LEN];
	char address[64];
	enum channel_cipher cipher;
	struct channel_key seal, open;
	bool up; /* the peer's first frame was good and the engine knows */
	uint64_t bytes_out, bytes_in;
	struct codec codec; /* of the direction in which pages go */
	struct adapt adapt; /* source */
	struct lane lane;
	int lane_fds[LANE_FDS]; /* come, but not announced yet; -1 = none */
	struct pump outbound, inbound;
};

/*
 * wire_handshake.c: prove our key, check the peer's, agree on a cipher; on 0 `w` has its peer,
 * cipher and keys. `setup` is wiped on every path. Blocks for LINK_HANDSHAKE_MS at most.
 */
int wire_handshake(struct wire *w, struct link_setup *setup, struct error *err) WARN_UNUSED;

/*
 * wire_turn.c: turn `p->in` over into `p->out`. 0, with nothing in `p->out` when nothing goes out
 * for it, or a negative errno: then the link must end. Neither blocks.
 */
int wire_seal_record(struct wire *w, struct pump *p) WARN_UNUSED; /* of our engine: a frame */
/* Of the peer: a record for our engine, after its MAC and its kind were checked. */
int wire_open_frame(struct wire *w, struct pump *p) WARN_UNUSED;
/* The word that the link is up; its length. */
size_t wire_put_link_up(const struct wire *w, uint8_t *out);

/* wire_relay.c: both directions until one of them ends. 0 when it was our engine; blocks. */
int wire_relay(struct wire *w, struct error *err) WARN_UNUSED;

#endif
