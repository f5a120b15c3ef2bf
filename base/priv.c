/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/priv.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * A sanitizer reads /proc to print its report; it then gets EPERM and prints a shorter one instead
 * of dying without a word.
 */
#ifdef __SANITIZE_ADDRESS__
#define FORBIDDEN SCMP_ACT_ERRNO(EPERM)
#else
#define FORBIDDEN SCMP_ACT_KILL_PROCESS
#endif

static const int allowed_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(close),
	SCMP_SYS(shutdown),
	SCMP_SYS(fcntl),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(getrandom),
	SCMP_SYS(brk),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(mprotect),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

void priv_hide_memory(void)
{
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
}

static int become(const char *user, struct error *err)
{
	const struct passwd *pw = getpwnam(user);

	if (!pw)
		return error_set(err, -ENOENT, "Set wire_user in the config to an existing user",
			"there is no user '%s' to drop privileges to", user);
	if (setgroups(0, NULL) < 0 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
		setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		return error_sys(err, -errno, NULL, "cannot become user '%s'", user);
	if (setresuid(0, 0, 0) == 0)
		return error_set(err, -EPERM, NULL, "root is still within reach of '%s'", user);
	return 0;
}

static int load_filter(void)
{
	scmp_filter_ctx filter = seccomp_init(FORBIDDEN);
	int rc = filter ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < sizeof(allowed_calls) / sizeof(allowed_calls[0]); i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_calls[i], 0);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	return rc;
}

int priv_confine(const char *user, struct error *err)
{
	int rc;

	if (geteuid() == 0) {
		rc = become(user, err);
		if (rc)
			return rc;
	}
	/* setresuid made the process dumpable again where the ids differ. */
	priv_hide_memory();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_sys(err, -errno, NULL, "cannot give up new privileges");
	rc = load_filter();
	if (rc)
		return error_sys(err, rc, NULL, "cannot load the system call filter");
	return 0;
}
