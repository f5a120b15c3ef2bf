/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

#define KILL_GRACE_MS 2000
#define FDS_MAX	      15u /* for one child */

/* In the build tree everything lies beside the running program; installed, it has its own place. */
static int find_program(const char *name, const char *installed_dir, char *out, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash) {
			*slash = '\0';
			if (snprintf(out, size, "%s/%s", self, name) < (int)size &&
				access(out, R_OK) == 0)
				return 0;
		}
	}
	if (snprintf(out, size, "%s/%s", installed_dir, name) < (int)size && access(out, R_OK) == 0)
		return 0;
	return -ENOENT;
}

int proc_our_program(const char *name, char *out, size_t size)
{
	return find_program(name, LIFEBOAT_LIBEXECDIR, out, size);
}

int proc_guest_image(const char *name, char *out, size_t size)
{
	return find_program(name, LIFEBOAT_GUESTDIR, out, size);
}

/*
 * Place the descriptors in the child. Sources are first moved above every target so that no move
 * overwrites a descriptor that is still needed. Only async-signal-safe calls between fork and exec.
 */
static void place_fds(const struct proc_fd *fds, size_t nr_fds)
{
	int high[FDS_MAX + 1], top = 2; /* one more for the status pipe */

	for (size_t i = 0; i < nr_fds; i++)
		if (fds[i].to > top)
			top = fds[i].to;
	for (size_t i = 0; i < nr_fds; i++) {
		high[i] = fcntl(fds[i].from, F_DUPFD, top + 1);
		if (high[i] < 0)
			_exit(127);
	}
	for (int fd = 3; fd <= top; fd++)
		close(fd);
	for (size_t i = 0; i < nr_fds; i++)
		if (dup2(high[i], fds[i].to) < 0)
			_exit(127);
	syscall(SYS_close_range, (unsigned)top + 1, ~0u, 0);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Fork with every signal blocked, so that no handler of ours runs in the child. */
static pid_t fork_blocked(void)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid != 0)
		sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

pid_t proc_spawn(const char *path, char *const argv[], const struct proc_fd *fds, size_t nr_fds,
	unsigned flags)
{
	int status[2], failure = 0;
	pid_t pid;
	ssize_t n;

	/* The child could not say it: what cannot be placed is refused here. */
	if (nr_fds > FDS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < nr_fds; i++)
		if (fcntl(fds[i].from, F_GETFD) < 0)
			return -EBADF;
	if (pipe2(status, O_CLOEXEC) < 0)
		return -errno;
	pid = fork_blocked();
	if (pid < 0) {
		pid = -errno;
		fd_close(&status[0]);
		fd_close(&status[1]);
		return pid;
	}
	if (pid == 0) {
		struct proc_fd all[FDS_MAX + 1];
		int top = 2;

		if (flags & PROC_DETACH)
			setsid();
		reset_signals();
		/* The status pipe travels as one more descriptor, above all the others. */
		for (size_t i = 0; i < nr_fds; i++) {
			all[i] = fds[i];
			if (fds[i].to > top)
				top = fds[i].to;
		}
		all[nr_fds] = (struct proc_fd){status[1], top + 1};
		place_fds(all, nr_fds + 1);
		fcntl(top + 1, F_SETFD, FD_CLOEXEC);
		execv(path, argv);
		failure = errno;
		if (write(top + 1, &failure, sizeof(failure)) < 0)
			_exit(126);
		_exit(127);
	}
	fd_close(&status[1]);
	do {
		n = read(status[0], &failure, sizeof(failure));
	} while (n < 0 && errno == EINTR);
	fd_close(&status[0]);
	if (n == (ssize_t)sizeof(failure)) {
		waitpid(pid, NULL, 0);
		return -failure;
	}
	return pid;
}

/* Read the child's output until end of file or deadline, keeping what fits. */
static int collect(int fd, char *out, size_t size, int64_t deadline)
{
	char sink[4096];
	size_t used = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int r = poll(&p, 1, deadline_poll_ms(deadline));
		ssize_t n;

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		n = read(fd, sink, sizeof(sink));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if (out && used + 1 < size) {
			size_t room = size - 1 - used;
			size_t take = (size_t)n < room ? (size_t)n : room;

			memcpy(out + used, sink, take);
			used += take;
			out[used] = '\0';
		}
	}
}

/* Wait for the end of a child without reaping it. 0, -ETIMEDOUT or -errno. */
static int wait_end(pid_t pid, int64_t deadline)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int r;

	if (pidfd < 0)
		return -errno;
	do {
		r = poll(&p, 1, deadline_poll_ms(deadline));
	} while (r < 0 && errno == EINTR);
	r = r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
	fd_close(&pidfd);
	return r;
}

int proc_run(char *const argv[], char *out, size_t size, int64_t deadline)
{
	int pipe_fd[2], rc, status;
	pid_t pid;

	if (out)
		out[0] = '\0';
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	pid = fork_blocked();
	if (pid < 0) {
		rc = -errno;
		fd_close(&pipe_fd[0]);
		fd_close(&pipe_fd[1]);
		return rc;
	}
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		reset_signals();
		dup2(null, 0);
		dup2(pipe_fd[1], 1);
		dup2(pipe_fd[1], 2);
		syscall(SYS_close_range, 3u, ~0u, 0);
		execvp(argv[0], argv);
		_exit(errno == ENOENT ? 127 : 126);
	}
	fd_close(&pipe_fd[1]);
	rc = collect(pipe_fd[0], out, size, deadline);
	fd_close(&pipe_fd[0]);
	/* A program may close its output and go on. */
	if (rc == 0)
		rc = wait_end(pid, deadline);
	if (rc)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc)
		return rc;
	if (!WIFEXITED(status))
		return -EIO;
	return WEXITSTATUS(status) == 127 ? -ENOENT : WEXITSTATUS(status);
}

int proc_reap(pid_t pid, int64_t deadline)
{
	const int steps[] = {SIGTERM, SIGKILL};
	int status = 0;

	for (size_t i = 0; i < 2 && wait_end(pid, deadline) == -ETIMEDOUT; i++) {
		kill(pid, steps[i]);
		deadline = deadline_in(KILL_GRACE_MS);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}
