/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the contract adds to its backends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/hypervisor.h"

static struct {
	unsigned lists, refreshes;
	bool known; /* to refresh */
} calls;

static int list(struct domain **out, size_t *nr, struct error *err)
{
	(void)err;
	calls.lists++;
	*nr = 2;
	*out = calloc(*nr, sizeof(**out));
	assert_non_null(*out);
	(*out)[0] = (struct domain){.name = "h", .domid = 4, .uuid = {4}};
	(*out)[1] = (struct domain){.name = "g", .domid = 6, .uuid = {5}, .nr_disks = 2};
	return 0;
}

static int refresh(struct domain *dom)
{
	calls.refreshes++;
	if (!calls.known)
		return -ENOENT;
	strcpy(dom->name, "g--migratedaway");
	dom->state = DOMAIN_SUSPENDED;
	return 0;
}

static const struct hypervisor hv = {.list = list, .refresh = refresh};
static const uint8_t uuid[DOMAIN_UUID_LEN] = {5}, other[DOMAIN_UUID_LEN] = {9};

static int reset(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	return 0;
}

static void test_find_what_is_not_known(void **state)
{
	struct domain dom = {0};

	(void)state;
	calls.known = true;
	assert_int_equal(hypervisor_find_uuid(&hv, uuid, &dom, NULL), 0);
	assert_string_equal(dom.name, "g");
	assert_int_equal(calls.refreshes, 0);
	dom = (struct domain){.domid = 6, .uuid = {4}}; /* known, and another */
	assert_int_equal(hypervisor_find_uuid(&hv, uuid, &dom, NULL), 0);
	assert_string_equal(dom.name, "g");
	assert_int_equal(calls.refreshes, 0);
	assert_int_equal(hypervisor_find_uuid(&hv, other, &dom, NULL), -ENOENT);
}

static void test_find_what_is_known(void **state)
{
	struct domain dom = {.name = "g", .domid = 6, .uuid = {5}, .nr_disks = 1};

	(void)state;
	calls.known = true;
	assert_int_equal(hypervisor_find_uuid(&hv, uuid, &dom, NULL), 0);
	assert_string_equal(dom.name, "g--migratedaway");
	assert_int_equal(dom.state, DOMAIN_SUSPENDED);
	assert_int_equal(dom.nr_disks, 1); /* as it was */
	assert_int_equal(calls.lists, 0);
}

/* It may have been made anew, under another domid. */
static void test_find_what_is_not_it_any_more(void **state)
{
	struct domain dom = {.name = "g", .domid = 3, .uuid = {5}};

	(void)state;
	assert_int_equal(hypervisor_find_uuid(&hv, uuid, &dom, NULL), 0);
	assert_int_equal(calls.refreshes, 1);
	assert_int_equal(dom.domid, 6);
	assert_int_equal(dom.nr_disks, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_find_what_is_not_known, reset),
		cmocka_unit_test_setup(test_find_what_is_known, reset),
		cmocka_unit_test_setup(test_find_what_is_not_it_any_more, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
