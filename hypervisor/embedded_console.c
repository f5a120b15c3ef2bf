/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "hypervisor/embedded.h"

#define ESCAPE 0x1d /* ^] */

/* Keys to the guest; 1 when the user leaves. At the end of a piped input the console goes on. */
static int forward_input(int sock, struct pollfd *in)
{
	char buf[512], *escape;
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));

	if (n <= 0) {
		in->fd = -1;
		return 0;
	}
	escape = memchr(buf, ESCAPE, (size_t)n);
	if (escape)
		n = escape - buf;
	if (n && send(sock, buf, (size_t)n, MSG_NOSIGNAL) < 0)
		return -errno;
	return escape ? 1 : 0;
}

/* Output to the user; 1 at the domain's end. */
static int forward_output(int sock)
{
	char buf[16384];
	ssize_t n = recv(sock, buf, sizeof(buf), 0);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return 1;
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return io_write_all(STDOUT_FILENO, buf, (size_t)n, DEADLINE_NEVER);
}

static int follow(int sock)
{
	struct pollfd p[2] = {
		{.fd = sock, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	int rc = 0;

	while (rc == 0) {
		if (poll(p, 2, -1) < 0) {
			if (errno != EINTR)
				rc = -errno;
			continue;
		}
		if (p[0].revents)
			rc = forward_output(sock);
		if (!rc && p[1].revents)
			rc = forward_input(sock, &p[1]);
	}
	return rc == 1 || rc == -EPIPE ? 0 : rc;
}

int embedded_console(const struct domain *dom, struct error *err)
{
	struct client_call call = {.op = VMM_CONSOLE, .fd_out = -1};
	struct termios saved, raw;
	struct vmm_reply reply;
	int sock = client_connect(embedded_host.run_dir, dom->name, err), rc;
	bool terminal;

	if (sock < 0)
		return sock;
	rc = client_request(sock, &call, &reply, NULL, NULL, err);
	if (rc)
		goto out;
	terminal = tcgetattr(STDIN_FILENO, &saved) == 0;
	if (terminal) {
		raw = saved;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
		raw.c_iflag &= ~(tcflag_t)(ICRNL | IXON);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	rc = follow(sock);
	if (terminal)
		tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	if (rc)
		error_sys(err, rc, NULL, "lost the console of `%s'", dom->name);
out:
	fd_close(&sock);
	return rc;
}
