/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/proc.h"

/* Run a shell script to its end by proc_spawn with these descriptors; its wait status. */
static int spawn_shell(const char *script, const struct proc_fd *fds, size_t nr, unsigned flags)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
	pid_t pid = proc_spawn("/bin/sh", argv, fds, nr, flags);
	int status = -1;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int run_shell(const char *script, char *out, size_t size, int64_t deadline)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};

	return proc_run(argv, out, size, deadline);
}

static void no_child_left(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* A pipe with `text` in it, its reading end at descriptor `at`. */
static void pipe_at(int at, const char *text)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
	close(fds[1]);
	assert_int_equal(dup3(fds[0], at, O_CLOEXEC), at);
	close(fds[0]);
}

/* Descriptors whose numbers here are other descriptors' numbers there, in a ring. */
static void test_overlapping_descriptors(void **state)
{
	static const struct proc_fd swap[][4] = {
		{{5, 6}, {6, 7}, {7, 5}, {8, 8}},
		{{8, 5}, {7, 6}, {6, 7}, {5, 8}},
		{{5, 8}, {5, 5}, {5, 6}, {8, 7}},
	};
	static const char *const want[] = {"c a b d ", "d c b a ", "a "};
	char out[64];

	(void)state;
	for (size_t i = 0; i < COUNT(swap); i++) {
		struct proc_fd fds[5];
		int result[2];
		ssize_t n;

		pipe_at(5, "a ");
		pipe_at(6, "b ");
		pipe_at(7, "c ");
		pipe_at(8, "d ");
		assert_int_equal(pipe2(result, O_CLOEXEC), 0);
		memcpy(fds, swap[i], sizeof(swap[i]));
		fds[4] = (struct proc_fd){result[1], 3};
		if (i == 2) /* the same descriptor under three numbers: its text comes once */
			assert_int_equal(
				spawn_shell(
					"(cat <&5; cat <&6; cat <&8) >&3; test -e /proc/$$/fd/7",
					fds, 5, 0),
				0);
		else
			assert_int_equal(
				spawn_shell("(cat <&5; cat <&6; cat <&7; cat <&8) >&3", fds, 5, 0),
				0);
		close(result[1]);
		n = read(result[0], out, sizeof(out) - 1);
		assert_true(n > 0);
		out[n > 0 ? n : 0] = '\0';
		assert_string_equal(out, want[i]);
		close(result[0]);
		for (int fd = 5; fd <= 8; fd++)
			close(fd);
	}
}

/* Nothing of ours but what was listed, even where CLOEXEC is missing. */
static void test_other_descriptors_are_closed(void **state)
{
	int leak = fcntl(STDERR_FILENO, F_DUPFD, 9), high = fcntl(STDERR_FILENO, F_DUPFD, 300);
	char script[256];

	(void)state;
	assert_true(leak >= 9 && high >= 300);
	snprintf(script, sizeof(script),
		"test -e /proc/$$/fd/4 && ! test -e /proc/$$/fd/%d && "
		"! test -e /proc/$$/fd/%d && ! test -e /proc/$$/fd/3 && "
		"! test -e /proc/$$/fd/5",
		leak, high);
	assert_int_equal(spawn_shell(script, &(struct proc_fd){STDERR_FILENO, 4}, 1, 0), 0);
	snprintf(script, sizeof(script), "! test -e /proc/$$/fd/%d && ! test -e /proc/$$/fd/%d",
		leak, high);
	assert_int_equal(run_shell(script, NULL, 0, deadline_in(5000)), 0);
	close(leak);
	close(high);
}

/* A blocked or ignored signal here is neither there: SIGTERM must be able to end a helper. */
static void test_signals_are_default(void **state)
{
	sigset_t set, old;
	int status;

	(void)state;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	status = spawn_shell("kill -TERM $$; exit 3", NULL, 0, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	status = spawn_shell("kill -PIPE $$; exit 3", NULL, 0, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
	assert_int_equal(run_shell("kill -TERM $$; exit 3", NULL, 0, deadline_in(5000)), -EIO);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, SIG_DFL);
}

static void test_spawn_failures(void **state)
{
	char *argv[] = {(char[]){"x"}, NULL};
	struct proc_fd many[17];
	unsigned before = test_open_fds();

	(void)state;
	assert_int_equal(proc_spawn("/nonexistent", argv, NULL, 0, 0), -ENOENT);
	assert_int_equal(proc_spawn("/etc/passwd", argv, NULL, 0, 0), -EACCES);
	assert_int_equal(proc_spawn("/bin/true", argv, &(struct proc_fd){-1, 3}, 1, 0), -EBADF);
	assert_int_equal(proc_spawn("/bin/true", argv, &(struct proc_fd){999, 3}, 1, 0), -EBADF);
	for (int i = 0; i < 17; i++)
		many[i] = (struct proc_fd){0, 3 + i};
	assert_int_equal(proc_spawn("/bin/true", argv, many, 17, 0), -EINVAL);
	no_child_left();
	assert_int_equal(test_open_fds(), before);
}

static void test_detach(void **state)
{
	/* The sixth field of stat is the session. */
	static const char script[] =
		"read -r pid comm state ppid group session rest </proc/$$/stat; "
		"test \"$session\" = $$";

	(void)state;
	assert_int_equal(spawn_shell(script, NULL, 0, PROC_DETACH), 0);
	assert_int_not_equal(spawn_shell(script, NULL, 0, 0), 0);
}

static void test_run_output(void **state)
{
	char out[16];

	(void)state;
	assert_int_equal(run_shell("echo out; echo err >&2; cat; exit 3", out, sizeof(out),
				 deadline_in(5000)),
		3);
	assert_string_equal(out, "out\nerr\n");
	assert_int_equal(run_shell("exit 0", NULL, 0, DEADLINE_NEVER), 0);
	assert_int_equal(proc_run((char *[]){(char[]){"no-such-program"}, NULL}, out, sizeof(out),
				 deadline_in(5000)),
		-ENOENT);
	assert_string_equal(out, "");
	no_child_left();
}

/* What does not fit is thrown away, and the program is not stuck on it. */
static void test_run_output_is_cut(void **state)
{
	struct {
		char out[10], guard;
	} buf = {.guard = 'G'};

	(void)state;
	assert_int_equal(run_shell("head -c 300000 /dev/zero | tr '\\0' x", buf.out,
				 sizeof(buf.out), deadline_in(20000)),
		0);
	assert_string_equal(buf.out, "xxxxxxxxx");
	assert_int_equal(buf.guard, 'G');
}

static void run_too_long(const char *script)
{
	int64_t start = clock_ms();
	char out[16];

	assert_int_equal(run_shell(script, out, sizeof(out), deadline_in(300)), -ETIMEDOUT);
	assert_in_range(clock_ms() - start, 290, 4000);
	no_child_left();
}

static void test_run_timeout(void **state)
{
	(void)state;
	run_too_long("exec sleep 8");
	run_too_long("trap '' TERM; exec sleep 8");
	run_too_long("exec >/dev/null 2>&1; exec sleep 8"); /* its output ends, it does not */
	run_too_long("while :; do echo x; done");
}

static pid_t sleeper(const char *script)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
	pid_t pid = proc_spawn("/bin/sh", argv, NULL, 0, 0);

	assert_true(pid > 0);
	return pid;
}

static void test_reap(void **state)
{
	int64_t start = clock_ms();
	int status = proc_reap(sleeper("exit 4"), deadline_in(5000));

	(void)state;
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 4);
	status = proc_reap(sleeper("exec sleep 20"), deadline_in(100));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	assert_true(clock_ms() - start < 4000);
	status = proc_reap(sleeper("trap '' TERM; while :; do sleep 1; done"), deadline_in(300));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	no_child_left();
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* Signals that interrupt the waiting neither shorten the child's time nor skip a step. */
static void test_reap_interrupted(void **state)
{
	const struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
	const struct sigaction act = {.sa_handler = on_alarm};
	int64_t start;
	int status;
	pid_t pid;

	(void)state;
	sigaction(SIGALRM, &act, NULL);
	pid = sleeper("exec sleep 20");
	start = clock_ms();
	setitimer(ITIMER_REAL, &often, NULL);
	status = proc_reap(pid, deadline_in(500));
	assert_true(clock_ms() - start >= 490);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	setitimer(ITIMER_REAL, &never, NULL);
	pid = sleeper("sleep 0.5; exit 5");
	setitimer(ITIMER_REAL, &often, NULL);
	status = proc_reap(pid, deadline_in(5000));
	setitimer(ITIMER_REAL, &never, NULL);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
}

static void test_find_programs(void **state)
{
	char path[512], small[4];

	(void)state;
	assert_int_equal(proc_our_program("test_proc", path, sizeof(path)), 0);
	assert_int_equal(access(path, X_OK), 0);
	assert_int_equal(path[0], '/');
	assert_int_equal(proc_our_program("no-such-program", path, sizeof(path)), -ENOENT);
	assert_int_equal(proc_guest_image("no-such-guest", path, sizeof(path)), -ENOENT);
	assert_int_equal(proc_our_program("test_proc", small, sizeof(small)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlapping_descriptors),
		cmocka_unit_test(test_other_descriptors_are_closed),
		cmocka_unit_test(test_signals_are_default),
		cmocka_unit_test(test_spawn_failures),
		cmocka_unit_test(test_detach),
		cmocka_unit_test(test_run_output),
		cmocka_unit_test(test_run_output_is_cut),
		cmocka_unit_test(test_run_timeout),
		cmocka_unit_test(test_reap),
		cmocka_unit_test(test_reap_interrupted),
		cmocka_unit_test(test_find_programs),
	};

	return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
