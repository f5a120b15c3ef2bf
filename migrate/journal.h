/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * journal: what this host has written about who owns a domain, one file a domain,
 * state_dir/journal/UUID. Append-only records of JOURNAL_RECORD_LEN bytes, each with a hash of
 * itself; the last whole one counts. A record torn by a crash is as if it had never been written.
 * When older ones are dropped, the last answer (OWNER or REFUSED) to each peer stays: a peer can
 * have one hand-over of a domain open and may ask about it long after this host went on.
 *
 *   0      4      8       12      16      24      32      48      64      128     192    224 256
 *   +------+------+-------+-------+-------+-------+-------+-------+-------+-------+------+-------+
 *   | magic| seq  | state |   0   | term  | time  | token | uuid  | name  | peer  |  0   | hash  |
 *   +------+------+-------+-------+-------+-------+-------+-------+-------+-------+------+-------+
 *
 * While a journal is open its lock file is locked: one hand-over of a domain at a time.
 */
#ifndef MIGRATE_JOURNAL_H
#define MIGRATE_JOURNAL_H

#include "base/config.h"
#include "hypervisor/hypervisor.h"
#include "migrate/handover.h"

#define JOURNAL_RECORD_LEN  256u
#define JOURNAL_TOKEN_LEN   16u
#define JOURNAL_RECORDS_MAX 64u		     /* older ones are dropped when it is opened */
#define JOURNAL_ANSWERS_MAX CONFIG_PEERS_MAX /* but for so many answers, the latest */

struct journal_entry {
	enum handover_state state;
	uint64_t term;	  /* of ownership: one more with each hand-over */
	uint64_t time_ms; /* wall clock, for people */
	uint8_t token[JOURNAL_TOKEN_LEN];
	uint8_t uuid[DOMAIN_UUID_LEN];
	char name[DOMAIN_NAME_LEN];
	char peer[HOST_NAME_LEN];
};

struct journal {
	int fd, lock;
	uint32_t seq;
	off_t end;
	struct journal_entry last; /* state HANDOVER_NONE and term 0 when there is none */
};

#define JOURNAL_INIT ((struct journal){.fd = -1, .lock = -1})

/*
 * Open a domain's journal and lock it. 0; -EBUSY when a hand-over of it is under way; -errno.
 * A journal that holds something but no whole record is -EBADMSG: it must not be taken for a new
 * one.
 */
int journal_open(struct journal *j, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], struct error *err) WARN_UNUSED;

/* Is a hand-over of that domain under way? Takes no lock, so that nobody finds it taken. */
bool journal_is_held(const struct config *cfg, const uint8_t uuid[static DOMAIN_UUID_LEN]);

/* Write `entry` durably: on 0 it is on disk and is j->last. On failure nothing may be built on it.
 */
int journal_append(
	struct journal *j, const struct journal_entry *entry, struct error *err) WARN_UNUSED;

/*
 * How the hand-over with this token ended at this host as a destination: its last OWNER or REFUSED
 * record, however long ago that was. 0; -ENOENT when there is none; -errno. Takes no lock: such a
 * record of a hand-over that is not the journal's last one never changes again.
 */
int journal_answer(const struct config *cfg, const uint8_t uuid[static DOMAIN_UUID_LEN],
	const uint8_t token[static JOURNAL_TOKEN_LEN], struct journal_entry *answer,
	struct error *err) WARN_UNUSED;

/* Unlock and close; idempotent. */
void journal_close(struct journal *j);

/* The last entry of every domain of this host, locked or not. The caller frees `*list`. */
int journal_list(const struct config *cfg, struct journal_entry **list, size_t *nr,
	struct error *err) WARN_UNUSED;

#endif
