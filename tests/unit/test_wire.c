/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "test.h"

#include "base/wire.h"

static void test_layout(void **state)
{
	static const uint8_t want[] = {0x12, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 0xef, 0xcd, 0xab,
		0x89, 0x67, 0x45, 0x23, 0x01, 3, 0, 'x', 'e', 'n', 0xff, 0xfe};
	uint8_t buf[sizeof(want)];
	struct wire_writer w = wire_writer(buf, sizeof(buf));

	(void)state;
	wire_put_u8(&w, 0x12);
	wire_put_u16(&w, 0x1234);
	wire_put_u32(&w, 0x12345678);
	wire_put_u64(&w, UINT64_C(0x0123456789abcdef));
	wire_put_string(&w, "xen");
	wire_put_bytes(&w, "\xff\xfe", 2);
	assert_false(w.failed);
	assert_int_equal(wire_writer_len(&w), sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
}

/* Random fields in random order come back as they went in, from a buffer that fits exactly. */
static void test_round_trip(void **state)
{
	struct test_random random = TEST_RANDOM(1);

	(void)state;
	for (int pass = 0; pass < 2000; pass++) {
		unsigned kind[16], nr = 1 + test_random_below(&random, 16);
		uint64_t value[16];
		uint8_t buf[16 * 8], *exact;
		struct wire_writer w = wire_writer(buf, sizeof(buf));
		struct wire_reader r;

		for (unsigned i = 0; i < nr; i++) {
			static const uint64_t mask[] = {0xff, 0xffff, 0xffffffff, UINT64_MAX};

			kind[i] = test_random_below(&random, 4);
			value[i] = test_random_next(&random) & mask[kind[i]];
			if (kind[i] == 0)
				wire_put_u8(&w, (uint8_t)value[i]);
			else if (kind[i] == 1)
				wire_put_u16(&w, (uint16_t)value[i]);
			else if (kind[i] == 2)
				wire_put_u32(&w, (uint32_t)value[i]);
			else
				wire_put_u64(&w, value[i]);
		}
		exact = test_exact_copy(buf, wire_writer_len(&w));
		r = wire_reader(exact, wire_writer_len(&w));
		for (unsigned i = 0; i < nr; i++) {
			uint64_t got = kind[i] == 0   ? wire_get_u8(&r)
				       : kind[i] == 1 ? wire_get_u16(&r)
				       : kind[i] == 2 ? wire_get_u32(&r)
						      : wire_get_u64(&r);

			assert_int_equal(got, value[i]);
			assert_int_equal(wire_reader_done(&r), i == nr - 1);
		}
		free(exact);
	}
}

static void test_reader_failure_sticks(void **state)
{
	uint8_t *buf = test_exact_copy("\x01\x02\x03", 3);
	struct wire_reader r = wire_reader(buf, 3);

	(void)state;
	assert_int_equal(wire_get_u8(&r), 1);
	assert_int_equal(wire_get_u32(&r), 0);
	assert_true(r.failed);
	/* Two bytes are left and would be enough; a failed reader gives them to nobody. */
	assert_int_equal(wire_get_u8(&r), 0);
	assert_int_equal(wire_get_u16(&r), 0);
	assert_null(wire_get_bytes(&r, 1));
	assert_null(wire_get_bytes(&r, 0));
	assert_false(wire_reader_done(&r));
	free(buf);
}

static void test_reader_wants_the_end(void **state)
{
	struct wire_reader r = wire_reader("\x01\x02", 2);

	(void)state;
	wire_get_u8(&r);
	assert_false(wire_reader_done(&r));
	wire_get_u8(&r);
	assert_true(wire_reader_done(&r));
	wire_get_u8(&r);
	assert_false(wire_reader_done(&r));
}

static void test_reader_huge_length(void **state)
{
	struct wire_reader r = wire_reader("\x01\x02", 2);

	(void)state;
	assert_null(wire_get_bytes(&r, SIZE_MAX));
	assert_true(r.failed);
}

static void test_writer_failure_sticks(void **state)
{
	uint8_t buf[6] = {0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa};
	struct wire_writer w = wire_writer(buf, 5);

	(void)state;
	wire_put_u32(&w, 0);
	wire_put_u16(&w, 0);
	assert_true(w.failed);
	wire_put_u8(&w, 1);
	wire_put_bytes(&w, "", 0);
	wire_put_string(&w, "");
	assert_true(w.failed);
	assert_int_equal(wire_writer_len(&w), 4);
	assert_int_equal(buf[4], 0xaa);
	assert_int_equal(buf[5], 0xaa);
}

static void test_strings(void **state)
{
	static const struct {
		const char *bytes;
		size_t len, room;
		const char *want; /* NULL = refused */
	} cases[] = {
		{"\x00\x00", 2, 1, ""}, {"\x03\x00xen", 5, 4, "xen"},
		{"\x03\x00xen", 5, 3, NULL},  /* no room for the NUL */
		{"\x03\x00xe", 4, 8, NULL},   /* ends too early */
		{"\x03\x00x\0n", 5, 8, NULL}, /* a NUL inside would hide the rest */
		{"\xff\xff", 2, 8, NULL},     /* length without body */
		{"\x03", 1, 8, NULL},	      /* half a length */
		{"\x01\x00\x00", 3, 8, NULL}, /* nothing but a NUL */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t *bytes = test_exact_copy(cases[i].bytes, cases[i].len);
		char *out = test_exact_copy("????????", cases[i].room);
		struct wire_reader r = wire_reader(bytes, cases[i].len);

		wire_get_string(&r, out, cases[i].room);
		assert_int_equal(wire_reader_done(&r), cases[i].want != NULL);
		assert_string_equal(out, cases[i].want ? cases[i].want : "");
		free(bytes);
		free(out);
	}
}

static void test_string_too_long_to_write(void **state)
{
	static char text[65537], buf[70000];
	struct wire_writer w = wire_writer(buf, sizeof(buf));

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	wire_put_string(&w, text);
	assert_true(w.failed);
	text[65535] = '\0';
	w = wire_writer(buf, sizeof(buf));
	wire_put_string(&w, text);
	assert_false(w.failed);
	assert_int_equal(wire_writer_len(&w), 65537);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_reader_failure_sticks),
		cmocka_unit_test(test_reader_wants_the_end),
		cmocka_unit_test(test_reader_huge_length),
		cmocka_unit_test(test_writer_failure_sticks),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_string_too_long_to_write),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
