/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "hypervisor/embedded.h"

int embedded_memory_create(uint64_t bytes, struct error *err)
{
	int fd = memfd_create("lifeboat-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

	/* Of fixed size, so that nobody who maps it can be hit by its end moving. */
	if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	rc = error_sys(err, -errno, NULL, "cannot make the domain's memory");
	fd_close(&fd);
	return rc;
}

int embedded_image_create(struct error *err)
{
	int fd = memfd_create("lifeboat-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd >= 0 ? fd : error_sys(err, -errno, NULL, "cannot keep the kernel image");
}

int embedded_image_seal(int fd, struct error *err)
{
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return 0;
	return error_sys(err, -errno, NULL, "cannot keep the kernel image");
}

static int config_file(const char *json)
{
	int fd = memfd_create("lifeboat-config", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, json, strlen(json)) != (ssize_t)strlen(json))
		fd_close(&fd);
	return fd;
}

static int start(const struct embedded_host *host, const char *name, bool incoming,
	const struct proc_fd *fds, size_t nr_fds, struct error *err)
{
	char path[PATH_MAX], option[] = "--incoming";
	char *argv[5], **arg = argv;
	pid_t pid;
	int rc = proc_our_program("lifeboat-vmm", path, sizeof(path));

	if (rc)
		return error_set(
			err, rc, "Install lifeboat completely", "lifeboat-vmm is not there");
	*arg++ = path;
	if (incoming)
		*arg++ = option;
	*arg++ = (char *)(uintptr_t)host->run_dir;
	*arg++ = (char *)(uintptr_t)name;
	*arg = NULL;
	pid = proc_spawn(path, argv, fds, nr_fds, PROC_DETACH);
	if (pid < 0)
		return error_sys(err, pid, NULL, "cannot start %s", path);
	/* It forks at once and the first process ends. */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

int embedded_spawn(const struct embedded_host *host, const char *name, const char *json,
	bool incoming, int memory_fd, int image_fd, struct error *err)
{
	int pair[2] = {-1, -1}, config = config_file(json), rc;
	struct vmm_reply hello;

	if (config < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		rc = error_sys(err, -errno, NULL, "cannot start a vmm");
		goto out;
	}
	rc = start(host, name, incoming,
		(struct proc_fd[]){{pair[1], START_FD_CONTROL}, {memory_fd, START_FD_MEMORY},
			{image_fd, START_FD_IMAGE}, {config, START_FD_CONFIG}},
		4, err);
	fd_close(&pair[1]);
	if (!rc)
		rc = client_receive(pair[0], &hello, NULL, NULL, err);
	if (!rc) {
		rc = pair[0];
		pair[0] = -1; /* the caller's now */
	}
out:
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	fd_close(&config);
	return rc;
}
