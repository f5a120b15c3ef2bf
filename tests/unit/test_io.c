/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/io.h"

#define SOON_MS 150 /* a deadline that is meant to pass */

static int pair[2];
static char *dir;

static int setup(void **state)
{
	(void)state;
	dir = test_tmp_make();
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
	(void)state;
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	test_tmp_remove(dir);
	return 0;
}

static const char *in_dir(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void set_nonblocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

static void test_deadlines(void **state)
{
	(void)state;
	assert_int_equal(deadline_poll_ms(DEADLINE_NEVER), -1);
	assert_int_equal(deadline_poll_ms(clock_ms() - 5), 0);
	assert_int_equal(deadline_poll_ms(INT64_MIN / 2), 0);
	assert_int_equal(deadline_poll_ms(DEADLINE_NEVER - 1), INT_MAX);
	assert_in_range(deadline_poll_ms(deadline_in(1000)), 900, 1000);
}

static void test_close_keeps_errno(void **state)
{
	int fd = 9999;

	(void)state;
	errno = ENOTTY;
	fd_close(&fd); /* EBADF inside */
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(fd, -1);
	fd_close(&fd);
	assert_int_equal(fd, -1);
}

/* A writer that gives one byte at a time is read whole, whatever the descriptor's mode. */
static void test_short_reads(void **state)
{
	static const char text[] = "one byte at a time";

	(void)state;
	for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
		char got[sizeof(text)];
		pid_t child = fork();

		if (child == 0) {
			for (size_t i = 0; i < sizeof(text); i++) {
				if (write(pair[1], text + i, 1) != 1)
					_exit(1);
				usleep(1000);
			}
			_exit(0);
		}
		if (nonblocking)
			set_nonblocking(pair[0]);
		assert_int_equal(io_read_exact(pair[0], got, sizeof(got), deadline_in(5000)), 0);
		assert_string_equal(got, text);
		assert_int_equal(waitpid(child, NULL, 0), child);
	}
}

static void test_end_of_file(void **state)
{
	char got[8];

	(void)state;
	assert_int_equal(io_write_all(pair[1], "abcd", 4, DEADLINE_NEVER), 0);
	fd_close(&pair[1]);
	assert_int_equal(io_read_exact(pair[0], got, 8, deadline_in(1000)), -EPIPE);
	assert_int_equal(io_read_exact(pair[0], got, 1, DEADLINE_NEVER), -EPIPE);
	assert_int_equal(io_read_exact(pair[0], got, 0, DEADLINE_NEVER), 0);
}

static void test_read_deadline(void **state)
{
	char got[8];

	(void)state;
	for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
		int64_t start = clock_ms();

		if (nonblocking)
			set_nonblocking(pair[0]);
		assert_int_equal(io_write_all(pair[1], "abcd", 4, DEADLINE_NEVER), 0);
		assert_int_equal(io_read_exact(pair[0], got, 8, deadline_in(SOON_MS)), -ETIMEDOUT);
		assert_in_range(clock_ms() - start, SOON_MS - 10, SOON_MS + 2000);
	}
}

static void write_into_full(int fd)
{
	static uint8_t big[4 << 20];
	int64_t start = clock_ms();

	alarm(20); /* without a working deadline this would hang */
	assert_int_equal(io_write_all(fd, big, sizeof(big), deadline_in(SOON_MS)), -ETIMEDOUT);
	alarm(0);
	assert_in_range(clock_ms() - start, SOON_MS - 10, SOON_MS + 2000);
}

/* More than fits at once: even on a blocking descriptor, the deadline ends it. */
static void test_write_deadline(void **state)
{
	int fds[2];

	(void)state;
	write_into_full(pair[1]);
	set_nonblocking(pair[1]);
	write_into_full(pair[1]);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	write_into_full(fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static void test_write_to_closed(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	fd_close(&pair[0]);
	assert_int_equal(io_write_all(pair[1], "x", 1, deadline_in(1000)), -EPIPE);
	assert_int_equal(io_write_all(pair[1], "x", 1, DEADLINE_NEVER), -EPIPE);
	assert_int_equal(io_write_all(-1, "x", 1, DEADLINE_NEVER), -EBADF);
}

static void test_read_file(void **state)
{
	char *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(io_write_file(in_dir("f"), "12345678", 8, 0600), 0);
	assert_int_equal(io_read_file(in_dir("f"), 8, &text, &len), 0);
	assert_int_equal(len, 8);
	assert_string_equal(text, "12345678");
	free(text);
	assert_int_equal(io_read_file(in_dir("f"), 7, &text, &len), -EFBIG);
	assert_int_equal(io_read_file(in_dir("none"), 7, &text, &len), -ENOENT);
	assert_int_equal(io_read_file(dir, 7, &text, &len), -EISDIR);
}

static unsigned files_in_dir(void)
{
	DIR *d = opendir(dir);
	unsigned nr = 0;

	assert_non_null(d);
	while (readdir(d))
		nr++;
	closedir(d);
	return nr - 2;
}

static void test_write_file(void **state)
{
	char tmp[600], *text = NULL;
	struct stat st;
	size_t len;

	(void)state;
	/* What a crash of a process with our number left behind is not in the way. */
	snprintf(tmp, sizeof(tmp), "%s.tmp.%d", in_dir("f"), (int)getpid());
	assert_int_equal(close(open(tmp, O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(io_write_file(in_dir("f"), "old", 3, 0600), 0);
	assert_int_equal(io_write_file(in_dir("f"), "", 0, 0640), 0);
	assert_int_equal(stat(in_dir("f"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640 & ~022);
	assert_int_equal(io_read_file(in_dir("f"), 8, &text, &len), 0);
	assert_int_equal(len, 0);
	free(text);
	assert_int_equal(files_in_dir(), 1);
	assert_int_equal(io_write_file(in_dir("none/f"), "x", 1, 0600), -ENOENT);
	/* The rename fails: nothing half-made may stay. */
	assert_int_equal(mkdir(in_dir("d"), 0700), 0);
	assert_true(io_write_file(in_dir("d"), "x", 1, 0600) < 0);
	assert_int_equal(files_in_dir(), 2);
}

static void test_mkdir_p(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(io_mkdir_p(in_dir("a"), 0700), 0);
	assert_int_equal(io_mkdir_p(in_dir("a"), 0700), 0);
	assert_int_equal(io_mkdir_p(in_dir("b/c"), 0710), 0);
	assert_int_equal(stat(in_dir("b/c"), &st), 0);
	assert_true(S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0710);
	assert_int_equal(rmdir(in_dir("b/c")), 0);
	assert_int_equal(io_write_file(in_dir("f"), "x", 1, 0600), 0);
	assert_int_equal(io_mkdir_p(in_dir("f/g"), 0700), -ENOTDIR);
	assert_int_equal(io_mkdir_p("", 0700), -ENOENT);
}

static void test_pass_fds(void **state)
{
	char text[4];

	(void)state;
	for (size_t nr = 0; nr <= IO_FDS_MAX; nr++) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC), fds[IO_FDS_MAX], got[IO_FDS_MAX];
		size_t nr_got = IO_FDS_MAX;

		for (size_t i = 0; i < nr; i++)
			fds[i] = null;
		assert_int_equal(io_send_fds(pair[0], "abc", 4, fds, nr), 0);
		assert_int_equal(io_recv_fds(pair[1], text, sizeof(text), got, &nr_got), 4);
		assert_string_equal(text, "abc");
		assert_int_equal(nr_got, nr);
		for (size_t i = 0; i < nr; i++) {
			assert_int_equal(fcntl(got[i], F_GETFD), FD_CLOEXEC);
			assert_int_equal(write(got[i], "x", 1), 1);
			close(got[i]);
		}
		assert_int_equal(fcntl(null, F_GETFD), FD_CLOEXEC); /* the sender keeps its own */
		close(null);
	}
	assert_int_equal(io_send_fds(pair[0], "a", 1, pair, IO_FDS_MAX + 1), -EINVAL);
}

/* Send any number of descriptors, as io_send_fds refuses to. */
static void send_many(int sock, unsigned nr)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int) * 32)];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = "x", .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(sizeof(int) * nr)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	assert_non_null(c);
	if (!c)
		return;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * nr);
	for (unsigned i = 0; i < nr; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){STDERR_FILENO}, sizeof(int));
	assert_int_equal(sendmsg(sock, &msg, 0), 1);
}

/* Too many descriptors are an error, and none of them stays open. */
static void test_too_many_fds(void **state)
{
	unsigned before = test_open_fds();
	char text[1];

	(void)state;
	for (unsigned nr = 1; nr <= 20; nr++)
		for (size_t room = 0; room <= IO_FDS_MAX; room++) {
			int got[IO_FDS_MAX];
			size_t nr_got = room;
			ssize_t n;

			send_many(pair[0], nr);
			n = io_recv_fds(pair[1], text, 1, got, &nr_got);
			if (nr <= room) {
				assert_int_equal(n, 1);
				assert_int_equal(nr_got, nr);
				while (nr_got)
					close(got[--nr_got]);
			} else {
				assert_int_equal(n, -EPROTO);
				assert_int_equal(nr_got, 0);
			}
			assert_int_equal(test_open_fds(), before);
		}
	send_many(pair[0], 1);
	assert_int_equal(io_recv_fds(pair[1], text, 1, NULL, NULL), -EPROTO);
	assert_int_equal(test_open_fds(), before);
}

static void test_recv_end_and_truncation(void **state)
{
	int seq[2];
	char text[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, seq), 0);
	assert_int_equal(io_send_fds(seq[0], "abc", 3, NULL, 0), 0);
	assert_int_equal(io_recv_fds(seq[1], text, 2, NULL, NULL), -EPROTO); /* cut */
	close(seq[0]);
	assert_int_equal(io_recv_fds(seq[1], text, 2, NULL, NULL), 0);
	close(seq[1]);
}

static void test_unix_sockets(void **state)
{
	char path[300], name[200];
	int live, client;

	(void)state;
	snprintf(path, sizeof(path), "%s/sock", dir);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(unix_connect(path, SOCK_STREAM), -ENOENT);
	live = unix_listen(path, SOCK_STREAM);
	assert_true(live >= 0);
	assert_int_equal(fcntl(live, F_GETFD), FD_CLOEXEC);
	assert_int_equal(unix_listen(path, SOCK_STREAM), -EADDRINUSE);
	client = unix_connect(path, SOCK_STREAM);
	assert_true(client >= 0);
	assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
	fd_close(&client);
	fd_close(&live);
	assert_int_equal(unix_connect(path, SOCK_STREAM), -ECONNREFUSED);
	live = unix_listen(path, SOCK_STREAM); /* over the dead one */
	assert_true(live >= 0);
	fd_close(&live);
	assert_int_equal(unix_connect(name, SOCK_STREAM), -ENAMETOOLONG);
	assert_int_equal(unix_listen(name, SOCK_STREAM), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadlines),
		cmocka_unit_test(test_close_keeps_errno),
		cmocka_unit_test_setup_teardown(test_short_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_of_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_to_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mkdir_p, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pass_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recv_end_and_truncation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix_sockets, setup, teardown),
	};

	umask(022);
	return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
