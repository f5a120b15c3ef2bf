/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migrate/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/proc.h"
#include "migrate/hostkey.h"

size_t link_put_setup(void *buf, size_t size, const struct link_setup *setup)
{
	struct wire_writer w = wire_writer(buf, size);

	wire_put_u32(&w, setup->role);
	wire_put_bytes(&w, setup->secret, sizeof(setup->secret));
	wire_put_string(&w, setup->user);
	wire_put_u32(&w, setup->nr_peers);
	for (uint32_t i = 0; i < setup->nr_peers; i++) {
		wire_put_string(&w, setup->peer[i].name);
		wire_put_bytes(&w, setup->peer[i].key, HOST_KEY_LEN);
	}
	return w.failed ? 0 : wire_writer_len(&w);
}

static void get_key(struct wire_reader *r, uint8_t out[static HOST_KEY_LEN])
{
	const uint8_t *p = wire_get_bytes(r, HOST_KEY_LEN);

	if (p)
		memcpy(out, p, HOST_KEY_LEN);
}

bool link_get_setup(const struct record *rec, struct link_setup *setup)
{
	struct wire_reader r = wire_reader(rec->body, rec->len);

	setup->role = (enum record_role)wire_get_u32(&r);
	get_key(&r, setup->secret);
	wire_get_string(&r, setup->user, sizeof(setup->user));
	setup->nr_peers = wire_get_u32(&r);
	if (setup->nr_peers > CONFIG_PEERS_MAX)
		return false;
	for (uint32_t i = 0; i < setup->nr_peers; i++) {
		wire_get_string(&r, setup->peer[i].name, sizeof(setup->peer[i].name));
		get_key(&r, setup->peer[i].key);
	}
	return wire_reader_done(&r) &&
	       (setup->role == ROLE_DESTINATION ||
		       (setup->role == ROLE_SOURCE && setup->nr_peers == 1));
}

static void add_peer(struct link_setup *setup, const struct config_peer *peer)
{
	memcpy(setup->peer[setup->nr_peers].name, peer->name, HOST_NAME_LEN);
	memcpy(setup->peer[setup->nr_peers].key, peer->key, HOST_KEY_LEN);
	setup->nr_peers++;
}

static int send_setup(const struct config *cfg, enum record_role role,
	const struct config_peer *only, int sock, struct error *err)
{
	struct link_setup setup = {.role = role};
	uint8_t public_key[HOST_KEY_LEN], body[4096];
	size_t len;
	int rc = hostkey_load(cfg, setup.secret, public_key, err);

	if (rc == 0) {
		memcpy(setup.user, cfg->wire_user, sizeof(setup.user));
		for (unsigned i = 0; i < cfg->nr_peers; i++)
			if (!only || only == &cfg->peer[i])
				add_peer(&setup, &cfg->peer[i]);
		len = link_put_setup(body, sizeof(body), &setup);
		rc = record_write(sock, RECORD_SETUP, body, len, deadline_in(LINK_HANDSHAKE_MS));
		if (rc)
			error_sys(err, rc, NULL, "cannot talk to lifeboat-wire");
	}
	sodium_memzero(&setup, sizeof(setup));
	sodium_memzero(body, sizeof(body));
	return rc;
}

int link_start(const struct config *cfg, enum record_role role, const struct config_peer *only,
	int net, int *sock, pid_t *pid, struct error *err)
{
	char path[PATH_MAX], name[] = "lifeboat-wire";
	char *argv[] = {name, NULL};
	int pair[2] = {-1, -1}, rc;
	pid_t child;

	rc = proc_our_program(name, path, sizeof(path));
	if (rc)
		return error_sys(err, rc, "Install lifeboat again", "cannot find lifeboat-wire");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_sys(err, -errno, NULL, "cannot make a socket pair");
	child = proc_spawn(path, argv,
		(struct proc_fd[]){{pair[1], WIRE_FD_ENGINE}, {net, WIRE_FD_NET}}, 2, 0);
	fd_close(&pair[1]);
	if (child < 0) {
		rc = error_sys(err, child, NULL, "cannot start lifeboat-wire");
		goto out;
	}
	rc = send_setup(cfg, role, only, pair[0], err);
	if (rc) {
		fd_close(&pair[0]);
		proc_reap(child, deadline_in(1000));
		goto out;
	}
	*sock = pair[0];
	*pid = child;
	pair[0] = -1; /* the caller's now */
out:
	fd_close(&pair[0]);
	return rc;
}

void link_tune(int net)
{
	const struct {
		int level, name, value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 5},
		{IPPROTO_TCP, TCP_KEEPINTVL, 5},
		{IPPROTO_TCP, TCP_KEEPCNT, 2},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, 15000},
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(net, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static int connect_one(const struct addrinfo *ai, int64_t deadline)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int failure = 0, r;

	if (fd < 0)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
		failure = errno;
		if (failure == EINPROGRESS) {
			r = poll(&p, 1, deadline_poll_ms(deadline));
			if (r <= 0)
				failure = ETIMEDOUT;
			else
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len);
		}
	}
	if (failure) {
		fd_close(&fd);
		return -failure;
	}
	return fd;
}

/* One of the peer's addresses. The descriptor or -errno with the reason. */
static int connect_address(const struct config_peer *peer, const char *address, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	int64_t deadline = deadline_in(LINK_CONNECT_MS);
	struct addrinfo *list = NULL;
	char port[8];
	int fd = -EHOSTUNREACH, r;

	snprintf(port, sizeof(port), "%u", peer->port);
	r = getaddrinfo(address, port, &hints, &list);
	if (r)
		return error_set(err, -EHOSTUNREACH, "Correct the peer's address in the config",
			"cannot find an address for %s (%s): %s", peer->name, address,
			gai_strerror(r));
	for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
		fd = connect_one(ai, deadline);
	freeaddrinfo(list);
	if (fd < 0) {
		error_sys(err, fd, NULL, "cannot reach %s at %s port %u", peer->name, address,
			peer->port);
		error_fix(err,
			"Check that %s is up, that lifeboatd runs there, and that no firewall is between",
			peer->name);
	}
	return fd;
}

int link_connect(const struct config_peer *peer, struct error *err)
{
	char addresses[sizeof(peer->address)], *save = NULL;
	int fd = -EHOSTUNREACH;

	memcpy(addresses, peer->address, sizeof(addresses));
	for (char *one = strtok_r(addresses, " ", &save); one && fd < 0;
		one = strtok_r(NULL, " ", &save)) {
		struct error why = ERROR_INIT;

		fd = connect_address(peer, one, &why);
		if (fd < 0 && err)
			*err = why;
	}
	if (fd >= 0 && err)
		*err = ERROR_INIT;
	if (fd >= 0)
		link_tune(fd);
	return fd;
}

int link_up(struct link *l, const struct config *cfg, const struct config_peer *peer,
	struct record *rec, struct error *err)
{
	struct record_link up;
	int net = link_connect(peer, err), rc;

	if (net < 0)
		return net;
	rc = link_start(cfg, ROLE_SOURCE, peer, net, &l->sock, &l->wire, err);
	fd_close(&net);
	if (rc == 0)
		rc = link_expect(l->sock, rec, RECORD_LINK_UP, NULL,
			deadline_in(LINK_HANDSHAKE_MS + 1000), err);
	if (rc == 0 && !record_get_link(rec, &up))
		rc = error_set(err, -EPROTO, NULL, "lifeboat-wire sent a bad LINK_UP");
	if (rc == 0)
		memcpy(l->cipher, up.cipher, sizeof(l->cipher));
	return rc;
}

void link_down(struct link *l)
{
	fd_close(&l->sock);
	l->past.bytes_out += l->stats.bytes_out;
	l->past.bytes_in += l->stats.bytes_in;
	l->stats = (struct record_stats){0};
	if (l->wire > 0)
		proc_reap(l->wire, deadline_in(3000));
	l->wire = 0;
}

uint64_t link_bytes_out(const struct link *l)
{
	return l->past.bytes_out + l->stats.bytes_out;
}

int link_get_pages(const struct record *rec, const struct lane *lane, struct page_batch *batch)
{
	if (rec->type == RECORD_PAGES)
		return record_get_pages(rec, batch) ? 0 : -EPROTO;
	if (rec->type != RECORD_SLOT || !lane->base || !record_get_slot(rec, batch))
		return -EPROTO;
	batch->data = lane_slot(lane);
	return 0;
}

int link_done_pages(const struct record *rec, struct lane *lane)
{
	return rec->type == RECORD_SLOT ? lane_give(lane) : 0;
}

/* Kinds that end what is under way, and what they come to. */
static int judge(const struct record *rec, struct error *err)
{
	int rc;

	switch (rec->type) {
	case RECORD_ABORT:
		return error_set(err, -EREMOTEIO, NULL, "the source called the move off");
	case RECORD_LINK_DOWN:
		rc = -ECONNRESET;
		break;
	case RECORD_REFUSED:
		rc = -EREMOTEIO;
		break;
	case RECORD_UNKNOWN:
		rc = -EAGAIN;
		break;
	default:
		return 0;
	}
	if (err && !err->rc && !record_get_reason(rec, err))
		return error_set(err, -EPROTO, NULL, "the other host gave an unreadable reason");
	if (err)
		err->rc = rc;
	return rc;
}

int link_read(int sock, struct record *rec, struct record_stats *stats, int64_t deadline,
	struct error *err)
{
	struct record_stats ignored;
	int rc;

	for (;;) {
		rc = record_read(sock, rec, deadline);
		if (rc == -ETIMEDOUT)
			return error_set(err, rc, "Look at the log of lifeboatd on the other host",
				"no answer from the other host in time");
		if (rc)
			return error_sys(err, -ECONNRESET, NULL, "lifeboat-wire has gone (%s)",
				strerror(-rc));
		if (rec->type != RECORD_STATS)
			break;
		if (!record_get_stats(rec, stats ? stats : &ignored))
			return error_set(err, -EPROTO, NULL, "lifeboat-wire sent bad statistics");
	}
	return judge(rec, err);
}

int link_expect(int sock, struct record *rec, uint32_t want, struct record_stats *stats,
	int64_t deadline, struct error *err)
{
	int rc = link_read(sock, rec, stats, deadline, err);

	if (rc == 0 && rec->type != want)
		rc = error_set(err, -EPROTO, "Run the same lifeboat version on both hosts",
			"the other host sent %s where %s was due", record_type_name(rec->type),
			record_type_name(want));
	return rc;
}
