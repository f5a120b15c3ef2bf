/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lifeboatd: the daemon of a host. It accepts peers and clients and starts the programs that serve
 * them; it reads nothing of what they say itself but that a peer has proved its key.
 */
#include <argp.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/proc.h"
#include "migrate/drbd.h"
#include "migrate/event.h"
#include "migrate/hostkey.h"
#include "migrate/journal.h"
#include "migrate/link.h"

/* Connections that have not proved their key yet; more are closed at once. */
#define PENDING_MAX 16

/* For the handshake, which lifeboat-wire ends itself, and then for the peer's first record. */
#define FIRST_WORD_MS (LINK_HANDSHAKE_MS + 2000)

#define PREDECESSOR_MS 2000 /* how long its last child may have the port */

enum { POLL_SIGNAL, POLL_NET, POLL_CLIENT, POLL_PENDING, POLL_MAX = POLL_PENDING + PENDING_MAX };

struct pending {
	int sock; /* lifeboat-wire; -1 = free */
	int64_t deadline;
};

/* How often a hand-over that is open is tried again: nothing tells when a peer is back. */
#define RESOLVE_EVERY_MS 5000

struct daemon {
	struct config cfg;
	pid_t resolver; /* 0 = none runs */
	int64_t resolve_at;
	bool look_again; /* an engine ended badly: look even where all seems settled */
	int signals, net, client;
	struct pending pending[PENDING_MAX];
};

/* What a killed predecessor had just forked has its socket until it executes its program. */
static int bind_soon(int fd, const struct addrinfo *ai)
{
	int64_t deadline = deadline_in(PREDECESSOR_MS);

	while (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
		if (errno != EADDRINUSE || clock_ms() >= deadline)
			return -errno;
		clock_pause(20);
	}
	return 0;
}

static int listen_net(const struct config *cfg, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
	const char *address = cfg->listen;
	struct addrinfo *ai = NULL;
	const int on = 1, off = 0;
	char port[8];
	int fd, rc = 0;

	snprintf(port, sizeof(port), "%u", cfg->port);
	/* A kernel without IPv6 still has the other half of "all addresses". */
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 && strcmp(address, "::") == 0)
		address = "0.0.0.0";
	fd_close(&fd);
	if (getaddrinfo(address, port, &hints, &ai))
		return error_set(err, -EINVAL, "Set listen to a numeric address of this host",
			"'%s' is no address", cfg->listen);
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		rc = -errno;
	if (rc == 0) {
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (ai->ai_family == AF_INET6)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		rc = bind_soon(fd, ai);
		if (rc == 0 && listen(fd, PENDING_MAX) < 0)
			rc = -errno;
	}
	freeaddrinfo(ai);
	if (rc) {
		fd_close(&fd);
		return error_sys(err, rc,
			"Is another lifeboatd running? Set port or listen in the config otherwise",
			"cannot listen on %s port %s", address, port);
	}
	return fd;
}

static int listen_clients(const struct config *cfg, struct error *err)
{
	char path[PATH_MAX];
	int fd = io_mkdir_p(cfg->run_dir, 0755);

	event_socket_path(cfg, path, sizeof(path));
	if (fd == 0)
		fd = unix_listen(path, SOCK_STREAM);
	if (fd == -EADDRINUSE)
		return error_set(err, fd,
			"See 'systemctl status lifeboatd', or set run_dir for a second one",
			"a lifeboatd already serves %s", path);
	if (fd >= 0 && chmod(path, 0600) < 0) {
		int rc = -errno;

		fd_close(&fd);
		fd = rc;
	}
	if (fd < 0)
		error_sys(err, fd, "Run as root, or set run_dir in the config",
			"cannot listen on %s", path);
	return fd;
}

static int open_signals(struct error *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? error_sys(err, -errno, NULL, "cannot watch signals") : fd;
}

/* Start one of our programs with `sock` as its descriptor 3; it outlives us. */
static void start_engine(const char *name, const char *arg, int sock)
{
	char path[PATH_MAX];
	char *argv[] = {(char *)(uintptr_t)name, (char *)(uintptr_t)arg, NULL};
	pid_t pid = -ENOENT;

	if (proc_our_program(name, path, sizeof(path)) == 0)
		pid = proc_spawn(path, argv, &(struct proc_fd){sock, 3}, 1, PROC_DETACH);
	if (pid < 0)
		log_error("cannot start %s: %s", name, strerror(-pid));
}

/* Is there a hand-over, or what one left behind, that nobody acts on? An engine holds its own. */
static bool something_open(const struct config *cfg)
{
	struct journal_entry *list;
	uint8_t(*windows)[DOMAIN_UUID_LEN];
	struct error err = ERROR_INIT;
	bool open = false;
	size_t nr;

	if (journal_list(cfg, &list, &nr, &err)) {
		log_error("%s", err.what);
		return false;
	}
	for (size_t i = 0; i < nr; i++)
		open |= !handover_settled(list[i].state) && !journal_is_held(cfg, list[i].uuid);
	free(list);
	if (drbd_window_list(cfg, &windows, &nr, &err))
		log_error("%s", err.what);
	for (size_t i = 0; i < nr; i++)
		open |= !journal_is_held(cfg, windows[i]);
	free(windows);
	return open;
}

static void resolve(struct daemon *d, bool always)
{
	char path[PATH_MAX], name[] = "lifeboat-resolve";
	char *argv[] = {name, NULL};

	always |= d->look_again;
	d->resolve_at = deadline_in(RESOLVE_EVERY_MS);
	if (d->resolver || (!always && !something_open(&d->cfg)))
		return;
	d->look_again = false;
	if (proc_our_program(name, path, sizeof(path)) == 0)
		d->resolver = proc_spawn(path, argv, NULL, 0, PROC_DETACH);
	if (d->resolver < 0) {
		log_error("cannot start %s: %s", name, strerror(-d->resolver));
		d->resolver = 0;
	}
}

static struct pending *free_pending(struct daemon *d)
{
	for (int i = 0; i < PENDING_MAX; i++)
		if (d->pending[i].sock < 0)
			return &d->pending[i];
	return NULL;
}

static void accept_peer(struct daemon *d)
{
	struct pending *p = free_pending(d);
	struct error err = ERROR_INIT;
	int net = accept4(d->net, NULL, NULL, SOCK_CLOEXEC);
	pid_t wire;

	if (net < 0)
		return;
	if (!p) {
		log_warn("too many connections without a proved key; one more was closed");
	} else {
		link_tune(net);
		if (link_start(&d->cfg, ROLE_DESTINATION, NULL, net, &p->sock, &wire, &err))
			log_error("%s", err.what);
		p->deadline = deadline_in(FIRST_WORD_MS);
	}
	fd_close(&net);
}

static void pending_expired(struct pending *p)
{
	log_warn("a connection on which nothing followed the handshake within %d s was closed",
		FIRST_WORD_MS / 1000);
	fd_close(&p->sock);
}

/* lifeboat-wire speaks once the peer's first frame was good, or hangs up after logging why. */
static void pending_ready(struct pending *p)
{
	struct record rec;
	struct record_link link;
	int rc = record_init(&rec);

	if (rc == 0)
		rc = record_read(p->sock, &rec, deadline_in(1000));
	if (rc == 0 && rec.type == RECORD_LINK_UP && record_get_link(&rec, &link)) {
		log_info("%s connected (%s)", link.peer, link.cipher);
		start_engine("lifeboat-receive", link.peer, p->sock);
	}
	record_dispose(&rec);
	fd_close(&p->sock);
}

static void accept_client(int listener)
{
	int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (client < 0)
		return;
	start_engine("lifeboat-send", NULL, client);
	fd_close(&client);
}

/* True when it is time to end. */
static bool handle_signals(struct daemon *d)
{
	struct signalfd_siginfo info;
	bool end = false;
	int status;
	pid_t pid;

	while (read(d->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		end |= info.ssi_signo != SIGCHLD;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == d->resolver) {
			d->resolver = 0;
			continue;
		}
		d->look_again |= status != 0;
		d->resolve_at = clock_ms();
	}
	return end;
}

static void run(struct daemon *d)
{
	for (;;) {
		struct pollfd fds[POLL_MAX] = {
			[POLL_SIGNAL] = {.fd = d->signals, .events = POLLIN},
			[POLL_NET] = {.fd = d->net, .events = POLLIN},
			[POLL_CLIENT] = {.fd = d->client, .events = POLLIN},
		};
		int64_t deadline = d->resolve_at;

		for (int i = 0; i < PENDING_MAX; i++) {
			fds[POLL_PENDING + i] =
				(struct pollfd){.fd = d->pending[i].sock, .events = POLLIN};
			if (d->pending[i].sock >= 0 && d->pending[i].deadline < deadline)
				deadline = d->pending[i].deadline;
		}
		if (poll(fds, POLL_MAX, deadline_poll_ms(deadline)) < 0 && errno != EINTR) {
			log_error("poll: %s", strerror(errno));
			return;
		}
		if (fds[POLL_SIGNAL].revents && handle_signals(d))
			return;
		if (clock_ms() >= d->resolve_at)
			resolve(d, false);
		for (int i = 0; i < PENDING_MAX; i++) {
			if (fds[POLL_PENDING + i].revents)
				pending_ready(&d->pending[i]);
			else if (d->pending[i].sock >= 0 && clock_ms() >= d->pending[i].deadline)
				pending_expired(&d->pending[i]);
		}
		if (fds[POLL_NET].revents)
			accept_peer(d);
		if (fds[POLL_CLIENT].revents)
			accept_client(d->client);
	}
}

/* systemd's readiness protocol: one datagram. Without systemd nothing happens. */
static void notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	if (!path || strlen(path) >= sizeof(sa.sun_path))
		return;
	strcpy(sa.sun_path, path);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
		sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&sa,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
		log_warn("cannot tell systemd that lifeboatd is ready: %s", strerror(errno));
	fd_close(&fd);
}

static int serve(const struct config *cfg, struct error *err)
{
	static struct daemon d = {.signals = -1, .net = -1, .client = -1};
	uint8_t secret[HOST_KEY_LEN], key[HOST_KEY_LEN];
	char text[HOST_KEY_TEXT_LEN], path[PATH_MAX];
	int rc;

	d.cfg = *cfg;
	for (int i = 0; i < PENDING_MAX; i++)
		d.pending[i].sock = -1;
	rc = hostkey_load(cfg, secret, key, err);
	sodium_memzero(secret, sizeof(secret));
	if (rc)
		return rc;
	rc = d.signals = open_signals(err);
	if (rc >= 0)
		rc = d.net = listen_net(cfg, err);
	if (rc >= 0)
		rc = d.client = listen_clients(cfg, err);
	if (rc < 0)
		goto out;
	hostkey_text(key, text);
	log_info("%s listens on %s port %u, key %s, %u peers", cfg->host, cfg->listen, cfg->port,
		text, cfg->nr_peers);
	notify_ready();
	resolve(&d, true);
	run(&d);
	event_socket_path(cfg, path, sizeof(path));
	unlink(path);
	log_info("ended; moves under way go on");
	rc = 0;
out:
	fd_close(&d.client);
	fd_close(&d.net);
	fd_close(&d.signals);
	return rc;
}

static int show_key(const struct config *cfg, struct error *err)
{
	uint8_t secret[HOST_KEY_LEN], key[HOST_KEY_LEN];
	char text[HOST_KEY_TEXT_LEN];
	int rc = hostkey_load(cfg, secret, key, err);

	sodium_memzero(secret, sizeof(secret));
	if (rc)
		return rc;
	hostkey_text(key, text);
	puts(text);
	return 0;
}

static int check_config(const struct config *cfg, struct error *err)
{
	(void)err;
	printf("%s: good, host %s, port %u, %u peer%s\n", cfg->path, cfg->host, cfg->port,
		cfg->nr_peers, cfg->nr_peers == 1 ? "" : "s");
	return 0;
}

enum { KEY_SHOW = 256 };

static const struct argp_option options[] = {
	{"config", 'c', "FILE", 0, "Read FILE instead of /etc/lifeboat/lifeboat.conf", 0},
	{"check", 'n', NULL, 0, "Check the config and end", 0},
	{"show-key", KEY_SHOW, NULL, 0, "Print this host's public key, made on first use, and end",
		0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	int (**job)(const struct config *, struct error *) = state->input;

	switch (key) {
	case 'c':
		return setenv("LIFEBOAT_CONFIG", arg, 1) ? errno : 0;
	case 'n':
		*job = check_config;
		return 0;
	case KEY_SHOW:
		*job = show_key;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%s'", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const char *argp_program_version = "lifeboatd " LIFEBOAT_VERSION;

int main(int argc, char **argv)
{
	const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "The lifeboat daemon of a host: accepts domains from its peers and moves its own.",
	};
	int (*job)(const struct config *, struct error *) = serve;
	struct error err = ERROR_INIT;
	static struct config cfg;

	log_init("lifeboatd");
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &job);
	if (config_load(&cfg, &err) || job(&cfg, &err)) {
		error_print("lifeboatd", &err);
		return 1;
	}
	return 0;
}
