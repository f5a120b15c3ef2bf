/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netfix: the parts that are pure. What leaves a real link is judged by tests/e2e/test_netfix.py.
 */
#include "test.h"

#include "netfix/announce.h"
#include "netfix/map.h"
#include "netfix/plug.h"

static const uint8_t guest[MAC_LEN] = {0, 0x16, 0x3e, 0, 0, 5};
static const uint8_t other[MAC_LEN] = {0, 0x16, 0x3e, 0, 0, 6};

static struct address address(const char *text, unsigned vif, enum address_origin origin)
{
	struct address a = {.vif = (uint8_t)vif, .origin = origin};

	if (strcmp(text, "-") != 0)
		assert_int_equal(address_parse(text, &a), 0);
	return a;
}

static void add(struct addresses *set, const char *text, unsigned vif, enum address_origin origin)
{
	struct address a = address(text, vif, origin);

	assert_true(address_add(set, &a));
}

static void test_address_text(void **state)
{
	static const char *const good[] = {
		"192.0.2.5", "192.0.2.5@1", "2001:db8::5", "fe80::1", "2001:db8::5@4094"};
	static const char *const bad[] = {"", "192.0.2", "192.0.2.5@0", "192.0.2.5@4095",
		"192.0.2.5@", "192.0.2.5@7x", "192.0.2.5/24", "0.0.0.0", "0.1.2.3", "127.0.0.1",
		"224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1", "::ffff:192.0.2.5", "host",
		"192.0.2.5 ", "192.0.2.5@-1"};
	char text[ADDRESS_TEXT_LEN];
	struct address a;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		a = address(good[i], 0, ADDRESS_CONFIG);
		address_text(&a, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(address_parse(bad[i], &a), -EINVAL);
}

static void test_mac_text(void **state)
{
	static const char *const bad[] = {"", "00:16:3e:00:00", "00:16:3e:00:00:05:06",
		"00-16-3e-00-00-05", "01:16:3e:00:00:05", "00:16:3e:00:00:0g", "0:16:3e:00:00:05"};
	uint8_t mac[MAC_LEN];
	char text[MAC_TEXT_LEN];

	(void)state;
	assert_int_equal(mac_parse("00:16:3e:00:00:05", mac), 0);
	assert_memory_equal(mac, guest, MAC_LEN);
	mac_text(mac, text);
	assert_string_equal(text, "00:16:3e:00:00:05");
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(mac_parse(bad[i], mac), -EINVAL);
}

static void test_an_address_is_kept_once_with_its_best_origin(void **state)
{
	struct addresses set = {0};

	(void)state;
	add(&set, "192.0.2.5", 0, ADDRESS_SNIFF);
	add(&set, "192.0.2.5", 0, ADDRESS_NEIGHBOUR);
	add(&set, "192.0.2.5", 0, ADDRESS_SNIFF);
	assert_int_equal(set.nr, 1);
	assert_int_equal(set.list[0].origin, ADDRESS_NEIGHBOUR);
	add(&set, "192.0.2.5@7", 0, ADDRESS_SNIFF);
	add(&set, "192.0.2.5", 1, ADDRESS_SNIFF);
	assert_int_equal(set.nr, 3);
	while (set.nr < ADDRESSES_MAX) {
		struct address a = address("192.0.2.9", 0, ADDRESS_SNIFF);

		a.vlan = (uint16_t)set.nr;
		assert_true(address_add(&set, &a));
	}
	assert_false(address_add(&set, &(struct address){.family = ADDRESS_V4, .ip = {10}}));
}

static void test_an_administrators_word_stands_alone(void **state)
{
	struct addresses set = {0};

	(void)state;
	add(&set, "192.0.2.66", 0, ADDRESS_SNIFF);
	add(&set, "192.0.2.5", 0, ADDRESS_CONFIG);
	add(&set, "-", 0, ADDRESS_SNIFF);
	add(&set, "192.0.2.7", 1, ADDRESS_SNIFF);
	add(&set, "-", 1, ADDRESS_FDB);
	add(&set, "-", 2, ADDRESS_SNIFF);
	address_settle(&set);
	assert_int_equal(set.nr, 3);
	assert_int_equal(address_count(&set, 0), 1);
	assert_int_equal(set.list[0].ip[3], 5);
	assert_int_equal(address_count(&set, 1), 1);
	assert_int_equal(address_count(&set, 2), 0);
}

static void test_addresses_travel(void **state)
{
	struct addresses set = {0}, got;
	uint8_t buf[1024], *copy;
	size_t len;

	(void)state;
	add(&set, "192.0.2.5@7", 0, ADDRESS_SNIFF);
	add(&set, "2001:db8::5", 7, ADDRESS_CONFIG);
	add(&set, "-", 1, ADDRESS_FDB);
	set.list[1].router = true;
	len = address_put(buf, sizeof(buf), &set);
	assert_int_equal(len, 2 + 3 * 6 + 4 + 16);
	assert_true(address_get(buf, len, &got));
	assert_int_equal(got.nr, set.nr);
	assert_memory_equal(got.list, set.list, set.nr * sizeof(set.list[0]));
	assert_int_equal(address_put(buf, len - 1, &set), 0);
	for (size_t cut = 0; cut < len; cut++) {
		copy = test_exact_copy(buf, cut);
		assert_false(address_get(copy, cut, &got));
		assert_int_equal(got.nr, 0);
		free(copy);
	}
	buf[len] = 0;
	assert_false(address_get(buf, len + 1, &got));
	assert_int_equal(got.nr, 0);
}

static void test_bad_addresses_do_not(void **state)
{
	/* offset and value in one entry: u16 nr | vif family origin router vlan.2 ip.4 */
	static const struct {
		unsigned at;
		uint8_t value;
	} bad[] = {{0, 2}, {0, 33}, {2, 8}, {3, 1}, {3, 5}, {4, 0}, {4, ADDRESS_ORIGINS}, {5, 2},
		{7, 0x10}, {8, 0}, {8, 127}, {8, 224}};
	uint8_t good[12] = {1, 0, 0, 4, 1, 0, 7, 0, 192, 0, 2, 5}, buf[12];
	struct addresses got;

	(void)state;
	assert_true(address_get(good, sizeof(good), &got));
	for (size_t i = 0; i < COUNT(bad); i++) {
		memcpy(buf, good, sizeof(buf));
		buf[bad[i].at] = bad[i].value;
		assert_false(address_get(buf, sizeof(buf), &got));
	}
}

static void test_what_is_announced_is_what_is_learned(void **state)
{
	static const char *const texts[] = {"192.0.2.5", "2001:db8::5"};
	struct frame f;

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		for (unsigned vlan = 0; vlan < 2; vlan++) {
			struct address a = address(texts[i], 0, ADDRESS_SNIFF), got = {0};
			uint8_t *copy;

			if (a.family == ADDRESS_V4)
				frame_garp(&f, guest, a.ip, vlan);
			else
				frame_na(&f, guest, a.ip, vlan);
			frame_tag(&f, (uint16_t)(vlan * 7));
			copy = test_exact_copy(f.data, f.len);
			assert_true(frame_learn(copy, f.len, guest, &got));
			assert_int_equal(got.vlan, vlan * 7);
			assert_int_equal(got.router, a.family == ADDRESS_V6 && vlan);
			assert_memory_equal(got.ip, a.ip, address_bytes(a.family));
			assert_false(frame_learn(copy, f.len, other, &got));
			free(copy);
			for (size_t cut = 0; cut < f.len; cut++) {
				copy = test_exact_copy(f.data, cut);
				frame_learn(copy, cut, guest, &got);
				free(copy);
			}
		}
}

/* An IPv4 frame by hand, from guest, with this hop limit. */
static bool learns(uint8_t hops, const uint8_t *ip, struct address *got)
{
	uint8_t p[34] = {[12] = 8, [14] = 0x45, [22] = hops};

	memcpy(p + 6, guest, MAC_LEN);
	memcpy(p + 26, ip, 4);
	return frame_learn(p, sizeof(p), guest, got);
}

static void test_what_a_guest_forwards_is_not_its_own(void **state)
{
	static const uint8_t ip[4] = {192, 0, 2, 5}, none[4], many[4] = {239, 1, 1, 1};
	struct address got;

	(void)state;
	assert_true(learns(64, ip, &got));
	assert_true(learns(128, ip, &got));
	assert_true(learns(255, ip, &got));
	assert_false(learns(63, ip, &got));
	assert_false(learns(1, ip, &got));
	assert_false(learns(64, none, &got));
	assert_false(learns(64, many, &got));
}

static void test_arp_in_anothers_name_is_not_believed(void **state)
{
	static const uint8_t ip[4] = {192, 0, 2, 5};
	struct address got;
	struct frame f;

	(void)state;
	frame_garp(&f, other, ip, false);
	memcpy(f.data + MAC_LEN, guest, MAC_LEN);
	assert_false(frame_learn(f.data, f.len, guest, &got));
}

static void test_answers(void **state)
{
	struct address who = address("192.0.2.1", 0, ADDRESS_CONFIG),
		       me = address("192.0.2.5", 0, 1);
	struct address who6 = address("2001:db8::1", 0, ADDRESS_CONFIG);
	struct frame f;

	(void)state;
	frame_garp(&f, other, who.ip, true);
	assert_false(frame_answers(f.data, f.len, guest, &who));
	memcpy(f.data, guest, MAC_LEN);
	assert_true(frame_answers(f.data, f.len, guest, &who));
	assert_false(frame_answers(f.data, f.len, other, &who));
	assert_false(frame_answers(f.data, f.len, guest, &me));
	assert_false(frame_answers(f.data, f.len, guest, &who6));
	assert_false(frame_answers(f.data, 41, guest, &who));
	frame_garp(&f, other, who.ip, false);
	memcpy(f.data, guest, MAC_LEN);
	assert_false(frame_answers(f.data, f.len, guest, &who));
	frame_na(&f, other, who6.ip, false);
	memcpy(f.data, guest, MAC_LEN);
	assert_true(frame_answers(f.data, f.len, guest, &who6));
	frame_ask(&f, other, &who6, &who6);
	memcpy(f.data, guest, MAC_LEN);
	assert_false(frame_answers(f.data, f.len, guest, &who6));
}

static void test_probe(void **state)
{
	uint8_t token[FRAME_TOKEN_LEN] = {1, 2, 3}, *copy;
	struct frame f;
	unsigned vif = 99;

	(void)state;
	frame_probe(&f, guest, token, 3);
	assert_true(frame_is_probe(f.data, f.len, token, &vif));
	assert_int_equal(vif, 3);
	frame_tag(&f, 7);
	assert_true(frame_is_probe(f.data, f.len, token, &vif));
	for (size_t cut = 0; cut < 43; cut++) {
		copy = test_exact_copy(f.data, cut);
		assert_false(frame_is_probe(copy, cut, token, &vif));
		free(copy);
	}
	token[15] = 1;
	assert_false(frame_is_probe(f.data, f.len, token, &vif));
	frame_probe(&f, guest, token, 8);
	assert_false(frame_is_probe(f.data, f.len, token, &vif));
}

static void set_vlan(struct port_vlans *v, unsigned id, bool untagged)
{
	v->member[id / 64] |= UINT64_C(1) << id % 64;
	if (untagged)
		v->untagged[id / 64] |= UINT64_C(1) << id % 64;
}

static void test_way_out(void **state)
{
	struct nethost_link bridge = {.index = 1, .bridge = true};
	struct nethost_link vif = {.index = 2, .master = 1};
	struct nethost_link up = {
		.index = 3, .master = 1, .up = true, .carrier = true, .state = PORT_FORWARDING};
	struct nethost_link bad;

	(void)state;
	assert_int_equal(nethost_way_out(&bridge, &vif, &up, 0), 0);
	assert_int_equal(nethost_way_out(&bridge, &vif, &up, 7), 7);
	assert_int_equal(nethost_way_out(&bridge, &up, &up, 0), -1);
	bad = up, bad.master = 9;
	assert_int_equal(nethost_way_out(&bridge, &vif, &bad, 0), -1);
	bad = up, bad.carrier = false;
	assert_int_equal(nethost_way_out(&bridge, &vif, &bad, 0), -1);
	bad = up, bad.state = PORT_LEARNING;
	assert_int_equal(nethost_way_out(&bridge, &vif, &bad, 0), -1);

	/* An access port of VLAN 10, a trunk that carries 10 and 7, the latter not for this guest.
	 */
	bridge.filtering = true;
	assert_int_equal(nethost_way_out(&bridge, &vif, &up, 0), -1);
	vif.vlans.pvid = 10;
	set_vlan(&vif.vlans, 10, true);
	set_vlan(&up.vlans, 10, false);
	set_vlan(&up.vlans, 7, false);
	assert_int_equal(nethost_way_out(&bridge, &vif, &up, 0), 10);
	assert_int_equal(nethost_way_out(&bridge, &vif, &up, 7), -1);
	set_vlan(&up.vlans, 10, true);
	assert_int_equal(nethost_way_out(&bridge, &vif, &up, 0), 0);
}

static void test_port_reasons(void **state)
{
	struct nethost_link port = {.state = PORT_FORWARDING};

	(void)state;
	assert_string_equal(nethost_port_reason(&port), "it is down");
	port.up = true;
	assert_non_null(strstr(nethost_port_reason(&port), "no carrier"));
	port.carrier = true;
	assert_string_equal(nethost_port_reason(&port), "");
	port.state = PORT_LEARNING;
	assert_non_null(strstr(nethost_port_reason(&port), "STP"));
	port.state = PORT_NONE;
	assert_string_equal(nethost_port_reason(&port), "it is in no Linux bridge");
}

static void test_rounds_back_off(void **state)
{
	int sum = 0;

	(void)state;
	assert_int_equal(announce_pause_ms(0), 0);
	assert_int_equal(announce_pause_ms(1), 50);
	assert_int_equal(announce_pause_ms(2), 100);
	assert_int_equal(announce_pause_ms(ANNOUNCE_ROUNDS_MAX), 5000);
	for (unsigned i = 1; i < ANNOUNCE_ROUNDS; i++)
		sum += announce_pause_ms(i);
	assert_in_range(sum, 3000, 3300);
}

static void test_frames_of_a_vif(void **state)
{
	const struct netfix_vif first = {.nr = 0, .mac = {0, 1}}, second = {.nr = 1, .mac = {0, 2}};
	struct announcement out[ANNOUNCEMENTS_MAX];
	struct addresses known = {0};

	(void)state;
	add(&known, "192.0.2.5@7", 0, ADDRESS_CONFIG);
	add(&known, "2001:db8::5", 0, ADDRESS_CONFIG);
	add(&known, "-", 0, ADDRESS_FDB);
	assert_int_equal(announce_frames(&first, &known, out, COUNT(out)), 4);
	assert_int_equal(out[0].vlan, 7);
	assert_int_equal(out[0].frame.data[21], 1); /* ARP request, then reply */
	assert_int_equal(out[1].frame.data[21], 2);
	assert_int_equal(out[2].frame.data[12], 0x86);
	assert_int_equal(out[3].frame.data[12], 0x80); /* RARP */
	assert_int_equal(announce_frames(&second, &known, out, COUNT(out)), 1);
	assert_int_equal(out[0].frame.data[13], 0x35);
	assert_int_equal(announce_frames(&first, &known, out, 3), 3);
}

static void test_verdict(void **state)
{
	struct place p[3] = {
		{.state = PLACE_REACHABLE, .frames = 3, .reachable_ms = 40, .forwarding_ms = 9},
		{.state = PLACE_REACHABLE, .frames = 4, .reachable_ms = 70, .what = "b"},
		{.state = PLACE_SILENT, .frames = 5, .what = "nobody"},
	};
	struct place all;

	(void)state;
	announce_verdict(p, 2, &all);
	assert_int_equal(all.state, PLACE_REACHABLE);
	assert_int_equal(all.reachable_ms, 70);
	assert_int_equal(all.forwarding_ms, 9);
	assert_int_equal(all.frames, 7);
	announce_verdict(p, 3, &all);
	assert_int_equal(all.state, PLACE_SILENT);
	assert_int_equal(all.reachable_ms, 0);
	assert_string_equal(all.what, "nobody");
	announce_verdict(p, 0, &all);
	assert_int_equal(all.state, PLACE_UNKNOWN);
}

/* A release is only ever that of the one epoch that waits. */
static void test_output_is_released_by_its_acknowledgement_only(void **state)
{
	struct plug p = {0};

	(void)state;
	assert_int_equal(plug_may_release(&p, 0), -EINVAL);
	assert_int_equal(plug_may_release(&p, 1), -EINVAL);
	assert_int_equal(plug_may_buffer(&p, 0), -EINVAL);
	assert_int_equal(plug_may_buffer(&p, 1), 0);
	p.buffered = 1;
	assert_int_equal(plug_may_buffer(&p, 2), -EBUSY);
	assert_int_equal(plug_may_release(&p, 0), -EINVAL);
	assert_int_equal(plug_may_release(&p, 2), -EINVAL);
	assert_int_equal(plug_may_release(&p, 1), 0);
	p = (struct plug){.released = 1};
	assert_int_equal(plug_may_buffer(&p, 1), -EINVAL);
	assert_int_equal(plug_may_release(&p, 1), -EINVAL);
	assert_int_equal(plug_may_buffer(&p, 2), 0);
}

static void test_map(void **state)
{
	static struct config_peer peer = {.nr_bridges = 1, .nr_moved = 1};
	char *json = strdup("{\"vif\": [{\"bridge\": \"a\"}, {\"bridge\": \"c\"}], \"x\": 1}");
	struct map_changes changes;
	struct addresses set = {0};

	(void)state;
	snprintf(peer.bridge[0].there, sizeof(peer.bridge[0].there), "a");
	snprintf(peer.bridge[0].here, sizeof(peer.bridge[0].here), "b");
	snprintf(peer.moved[0].there, sizeof(peer.moved[0].there), "192.0.2.5");
	snprintf(peer.moved[0].here, sizeof(peer.moved[0].here), "198.51.100.5");
	assert_int_equal(map_config(&peer, &json, &changes), 0);
	assert_int_equal(changes.nr, 1);
	assert_non_null(strstr(json, "\"bridge\": \"b\""));
	assert_non_null(strstr(json, "\"bridge\": \"c\""));
	free(json);
	json = strdup("[]");
	assert_int_equal(map_config(&peer, &json, &changes), -EINVAL);
	assert_string_equal(json, "[]");
	free(json);
	add(&set, "192.0.2.5", 3, ADDRESS_SNIFF);
	add(&set, "192.0.2.6", 3, ADDRESS_SNIFF);
	map_addresses(&peer, &set);
	assert_int_equal(set.list[0].ip[0], 198);
	assert_int_equal(set.list[0].vif, 3);
	assert_int_equal(set.list[1].ip[0], 192);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_text),
		cmocka_unit_test(test_mac_text),
		cmocka_unit_test(test_an_address_is_kept_once_with_its_best_origin),
		cmocka_unit_test(test_an_administrators_word_stands_alone),
		cmocka_unit_test(test_addresses_travel),
		cmocka_unit_test(test_bad_addresses_do_not),
		cmocka_unit_test(test_what_is_announced_is_what_is_learned),
		cmocka_unit_test(test_what_a_guest_forwards_is_not_its_own),
		cmocka_unit_test(test_arp_in_anothers_name_is_not_believed),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_way_out),
		cmocka_unit_test(test_port_reasons),
		cmocka_unit_test(test_rounds_back_off),
		cmocka_unit_test(test_frames_of_a_vif),
		cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_output_is_released_by_its_acknowledgement_only),
		cmocka_unit_test(test_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
