/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wire.h"

#define MAGIC	  0x314a424cu /* "LBJ1" */
#define HASH_LEN  32u
#define HASH_AT	  (JOURNAL_RECORD_LEN - HASH_LEN)
#define UUID_TEXT (2 * DOMAIN_UUID_LEN + 1)
#define FIX_DISK  "Check that the file system of state_dir is sound, writable and not full"

static void put_text(struct wire_writer *w, const char *text, size_t size)
{
	char field[DOMAIN_NAME_LEN > HOST_NAME_LEN ? DOMAIN_NAME_LEN : HOST_NAME_LEN] = {0};

	snprintf(field, size, "%s", text);
	wire_put_bytes(w, field, size);
}

static void get_bytes(struct wire_reader *r, void *out, size_t size)
{
	const uint8_t *p = wire_get_bytes(r, size);

	if (p)
		memcpy(out, p, size);
}

static void seal(uint8_t rec[static JOURNAL_RECORD_LEN])
{
	crypto_generichash(rec + HASH_AT, HASH_LEN, rec, HASH_AT, NULL, 0);
}

static void encode(
	const struct journal_entry *e, uint32_t seq, uint8_t rec[static JOURNAL_RECORD_LEN])
{
	struct wire_writer w = wire_writer(rec, JOURNAL_RECORD_LEN);

	memset(rec, 0, JOURNAL_RECORD_LEN);
	wire_put_u32(&w, MAGIC);
	wire_put_u32(&w, seq);
	wire_put_u32(&w, e->state);
	wire_put_u32(&w, 0);
	wire_put_u64(&w, e->term);
	wire_put_u64(&w, e->time_ms);
	wire_put_bytes(&w, e->token, sizeof(e->token));
	wire_put_bytes(&w, e->uuid, sizeof(e->uuid));
	put_text(&w, e->name, sizeof(e->name));
	put_text(&w, e->peer, sizeof(e->peer));
	seal(rec);
}

static bool decode(
	const uint8_t rec[static JOURNAL_RECORD_LEN], struct journal_entry *e, uint32_t *seq)
{
	struct wire_reader r = wire_reader(rec, HASH_AT);
	uint8_t hash[HASH_LEN];
	uint32_t magic, state;

	crypto_generichash(hash, sizeof(hash), rec, HASH_AT, NULL, 0);
	if (sodium_memcmp(hash, rec + HASH_AT, HASH_LEN) != 0)
		return false;
	magic = wire_get_u32(&r);
	*seq = wire_get_u32(&r);
	state = wire_get_u32(&r);
	wire_get_u32(&r);
	e->term = wire_get_u64(&r);
	e->time_ms = wire_get_u64(&r);
	get_bytes(&r, e->token, sizeof(e->token));
	get_bytes(&r, e->uuid, sizeof(e->uuid));
	get_bytes(&r, e->name, sizeof(e->name));
	get_bytes(&r, e->peer, sizeof(e->peer));
	e->state = (enum handover_state)state;
	e->name[sizeof(e->name) - 1] = '\0';
	e->peer[sizeof(e->peer) - 1] = '\0';
	return magic == MAGIC && state > HANDOVER_NONE && state < HANDOVER_STATES;
}

/*
 * Is all of it the zeros of a new journal, but for a first record that may be torn? What stands
 * behind the first record was written after that one was whole.
 */
static bool never_written(int fd, off_t size)
{
	uint8_t rec[JOURNAL_RECORD_LEN];

	for (off_t at = JOURNAL_RECORD_LEN; at < size; at += JOURNAL_RECORD_LEN) {
		ssize_t n = pread(fd, rec, sizeof(rec), at);

		if (n < 0 || !sodium_is_zero(rec, (size_t)n))
			return false;
	}
	/* A whole first record that does not check was written, and spoilt. */
	return pread(fd, rec, sizeof(rec), 0) != (ssize_t)sizeof(rec) ||
	       sodium_is_zero(rec + HASH_AT, HASH_LEN);
}

/*
 * Read to the last whole record. `*end` is where the next one goes; what lies behind it is a torn
 * write. -EBADMSG when there is something but not one whole record.
 */
static int replay(int fd, struct journal_entry *last, uint32_t *seq, off_t *end)
{
	uint8_t rec[JOURNAL_RECORD_LEN];
	struct journal_entry e;
	struct stat st;
	uint32_t n;

	*last = (struct journal_entry){.state = HANDOVER_NONE};
	*seq = 0;
	*end = 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	while (pread(fd, rec, sizeof(rec), *end) == (ssize_t)sizeof(rec) && decode(rec, &e, &n) &&
		(*end == 0 || n == *seq + 1)) {
		*last = e;
		*seq = n;
		*end += JOURNAL_RECORD_LEN;
	}
	return *end == 0 && !never_written(fd, st.st_size) ? -EBADMSG : 0;
}

static void uuid_text(const uint8_t uuid[static DOMAIN_UUID_LEN], char out[static UUID_TEXT])
{
	sodium_bin2hex(out, UUID_TEXT, uuid, DOMAIN_UUID_LEN);
}

static bool is_answer(const struct journal_entry *e)
{
	return e->state == HANDOVER_OWNER || e->state == HANDOVER_REFUSED;
}

/* Entry `i` of a file that replay() has found whole that far. */
static bool entry_at(int fd, off_t i, struct journal_entry *e)
{
	uint8_t rec[JOURNAL_RECORD_LEN];
	uint32_t seq;

	return pread(fd, rec, sizeof(rec), i * (off_t)JOURNAL_RECORD_LEN) == (ssize_t)sizeof(rec) &&
	       decode(rec, e, &seq);
}

/* The latest answer to each peer, oldest first; returns how many. */
static size_t collect_answers(
	const struct journal *j, struct journal_entry keep[static JOURNAL_ANSWERS_MAX])
{
	struct journal_entry e;
	size_t nr = 0, same;

	for (off_t i = 0; i < j->end / (off_t)JOURNAL_RECORD_LEN; i++) {
		if (!entry_at(j->fd, i, &e) || !is_answer(&e))
			continue;
		for (same = 0; same < nr && strcmp(keep[same].peer, e.peer) != 0;)
			same++;
		if (same == nr && nr == JOURNAL_ANSWERS_MAX)
			same = 0; /* the oldest has to go */
		if (same < nr) {
			memmove(&keep[same], &keep[same + 1], (nr - same - 1) * sizeof(keep[0]));
			nr--;
		}
		keep[nr++] = e;
	}
	return nr;
}

/* Begin the file again with the answers and its last record only, in one atomic step. */
static int compact(struct journal *j, const char *path, struct error *err)
{
	struct journal_entry keep[JOURNAL_ANSWERS_MAX];
	uint8_t rec[JOURNAL_ANSWERS_MAX + 1][JOURNAL_RECORD_LEN];
	uint32_t nr;
	int rc;

	if (j->end < (off_t)(JOURNAL_RECORDS_MAX * JOURNAL_RECORD_LEN))
		return 0;
	nr = (uint32_t)collect_answers(j, keep);
	for (uint32_t i = 0; i < nr; i++)
		encode(&keep[i], i + 1, rec[i]);
	encode(&j->last, nr + 1, rec[nr]);
	rc = io_write_file(path, rec, (nr + 1) * sizeof(rec[0]), 0600);
	if (rc)
		return error_sys(err, rc, FIX_DISK, "cannot compact the journal %s", path);
	fd_close(&j->fd);
	j->fd = open(path, O_RDWR | O_CLOEXEC);
	if (j->fd < 0)
		return error_sys(err, -errno, FIX_DISK, "cannot open the journal %s", path);
	j->seq = nr + 1;
	j->end = (off_t)((nr + 1) * JOURNAL_RECORD_LEN);
	return 0;
}

static void journal_path(const struct config *cfg, const uint8_t uuid[static DOMAIN_UUID_LEN],
	char out[static PATH_MAX])
{
	char name[UUID_TEXT];

	uuid_text(uuid, name);
	snprintf(out, PATH_MAX, "%s/journal/%s", cfg->state_dir, name);
}

static int dir_path(const struct config *cfg, char out[static PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%s/journal", cfg->state_dir);
}

/* A new file's name must be as durable as what will be written into it. */
static int sync_dir(const struct config *cfg, struct error *err)
{
	char dir[PATH_MAX];
	int fd, rc = 0;

	dir_path(cfg, dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		rc = error_sys(err, -errno, FIX_DISK, "cannot make entries of %s durable", dir);
	fd_close(&fd);
	return rc;
}

/* A disk that fills up later must not be in the way of a hand-over that has begun. */
static int make_room(const struct journal *j, const char *path, struct error *err)
{
	int rc = -posix_fallocate(
		j->fd, 0, (off_t)((JOURNAL_RECORDS_MAX + 16) * JOURNAL_RECORD_LEN));

	return rc ? error_sys(err, rc, FIX_DISK, "cannot make room for the journal %s", path) : 0;
}

/* Of an open file, not of a process: children that only copied it hold it, too. */
static struct flock whole_file(void)
{
	return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static bool lock_path(const char *path, char lock[static PATH_MAX])
{
	return snprintf(lock, PATH_MAX, "%s.lock", path) < PATH_MAX;
}

static int lock_journal(struct journal *j, const char *path, struct error *err)
{
	struct flock whole = whole_file();
	char lock[PATH_MAX];

	if (!lock_path(path, lock))
		return error_set(err, -ENAMETOOLONG, "Shorten state_dir", "state_dir is too long");
	j->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->lock < 0)
		return error_sys(err, -errno, FIX_DISK, "cannot open %s", lock);
	if (fcntl(j->lock, F_OFD_SETLK, &whole) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, -EBUSY, "Wait for it, or see 'migrate status'",
			"a hand-over of this domain is under way");
	return error_sys(err, -errno, FIX_DISK, "cannot lock %s", lock);
}

bool journal_is_held(const struct config *cfg, const uint8_t uuid[static DOMAIN_UUID_LEN])
{
	struct flock whole = whole_file();
	char path[PATH_MAX], lock[PATH_MAX];
	int fd = -1;
	bool held;

	journal_path(cfg, uuid, path);
	if (lock_path(path, lock))
		fd = open(lock, O_RDONLY | O_CLOEXEC);
	held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
	fd_close(&fd);
	return held;
}

int journal_open(struct journal *j, const struct config *cfg,
	const uint8_t uuid[static DOMAIN_UUID_LEN], struct error *err)
{
	char path[PATH_MAX];
	int rc;

	*j = JOURNAL_INIT;
	dir_path(cfg, path);
	rc = io_mkdir_p(path, 0700);
	if (rc)
		return error_sys(err, rc, FIX_DISK, "cannot make %s", path);
	journal_path(cfg, uuid, path);
	rc = lock_journal(j, path, err);
	if (rc)
		goto out;
	j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (j->fd < 0) {
		rc = error_sys(err, -errno, FIX_DISK, "cannot open the journal %s", path);
		goto out;
	}
	rc = replay(j->fd, &j->last, &j->seq, &j->end);
	/* What is acted on must be on disk, also when its writer died before it had made sure. */
	if (rc == 0 && fdatasync(j->fd) < 0) {
		rc = error_sys(err, -errno, FIX_DISK, "cannot make the journal %s durable", path);
		goto out;
	}
	if (rc == 0)
		rc = compact(j, path, err);
	if (rc == 0)
		rc = make_room(j, path, err);
	if (rc == 0 && j->end == 0)
		rc = sync_dir(cfg, err);
	if (rc == -EBADMSG)
		error_sys(err, rc,
			"Restore it from a backup; without it nobody here knows who owns the domain",
			"the journal %s cannot be read", path);
out:
	if (rc)
		journal_close(j);
	return rc;
}

int journal_append(struct journal *j, const struct journal_entry *entry, struct error *err)
{
	uint8_t rec[JOURNAL_RECORD_LEN];
	struct journal_entry e = *entry;
	struct timespec now;
	ssize_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	e.time_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	encode(&e, j->seq + 1, rec);
	n = pwrite(j->fd, rec, sizeof(rec), j->end);
	if (n != (ssize_t)sizeof(rec) || fdatasync(j->fd) < 0)
		return error_sys(err, n < 0 || n == (ssize_t)sizeof(rec) ? -errno : -ENOSPC,
			FIX_DISK, "cannot write the journal of %s", e.name);
	j->seq++;
	j->end += JOURNAL_RECORD_LEN;
	j->last = e;
	return 0;
}

int journal_answer(const struct config *cfg, const uint8_t uuid[static DOMAIN_UUID_LEN],
	const uint8_t token[static JOURNAL_TOKEN_LEN], struct journal_entry *answer,
	struct error *err)
{
	struct journal_entry e;
	char path[PATH_MAX];
	uint32_t seq;
	off_t end;
	int fd, rc;

	journal_path(cfg, uuid, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT
				       : error_sys(err, -errno, FIX_DISK, "cannot open %s", path);
	rc = replay(fd, &e, &seq, &end);
	if (rc)
		error_sys(err, rc, FIX_DISK, "the journal %s cannot be read", path);
	else
		rc = -ENOENT;
	for (off_t i = end / (off_t)JOURNAL_RECORD_LEN; rc == -ENOENT && i-- > 0;)
		if (entry_at(fd, i, &e) && is_answer(&e) &&
			memcmp(e.token, token, sizeof(e.token)) == 0) {
			*answer = e;
			rc = 0;
		}
	fd_close(&fd);
	return rc;
}

void journal_close(struct journal *j)
{
	fd_close(&j->fd);
	fd_close(&j->lock);
}

static int add_entry(
	const struct config *cfg, const char *name, struct journal_entry **list, size_t *nr)
{
	char path[PATH_MAX];
	struct journal_entry e, *more;
	uint32_t seq;
	off_t end;
	int fd, rc;

	snprintf(path, sizeof(path), "%s/journal/%.64s", cfg->state_dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = replay(fd, &e, &seq, &end);
	fd_close(&fd);
	if (rc || e.state == HANDOVER_NONE)
		return rc;
	more = realloc(*list, (*nr + 1) * sizeof(**list));
	if (!more)
		return -ENOMEM;
	*list = more;
	more[(*nr)++] = e;
	return 0;
}

int journal_list(
	const struct config *cfg, struct journal_entry **list, size_t *nr, struct error *err)
{
	char dir[PATH_MAX];
	const struct dirent *entry;
	int rc = 0;
	DIR *d;

	*list = NULL;
	*nr = 0;
	dir_path(cfg, dir);
	d = opendir(dir);
	if (!d)
		return errno == ENOENT
			       ? 0
			       : error_sys(err, -errno, "Run as root", "cannot read %s", dir);
	while (rc == 0 && (entry = readdir(d))) {
		if (strlen(entry->d_name) != UUID_TEXT - 1)
			continue;
		rc = add_entry(cfg, entry->d_name, list, nr);
		/* One that is ruined must not keep the others from being settled. */
		if (rc && rc != -ENOMEM) {
			log_error("the journal %s/%s cannot be read: %s", dir, entry->d_name,
				strerror(-rc));
			rc = 0;
		}
	}
	closedir(d);
	if (rc) {
		free(*list);
		*list = NULL;
		return error_sys(err, rc, FIX_DISK, "cannot read the journals in %s", dir);
	}
	return 0;
}
