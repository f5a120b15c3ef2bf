/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What each fake of libxl begins with. Included once in a test program. */
#ifndef TESTS_UNIT_XEN_FAKE_H
#define TESTS_UNIT_XEN_FAKE_H

/* A context is nothing but the logger that it was made with. */
int libxl_ctx_alloc(libxl_ctx **ctx, int version, unsigned flags, xentoollog_logger *lg)
{
	(void)version;
	(void)flags;
	*ctx = (libxl_ctx *)lg;
	return 0;
}

void libxl_childproc_setmode(libxl_ctx *ctx, const libxl_childproc_hooks *hooks, void *user)
{
	(void)ctx;
	(void)user;
	assert_int_equal(hooks->chldowner, libxl_sigchld_owner_libxl_always_selective_reap);
}

#endif
