/* pin: public keys that are believed by their fingerprint. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "pin.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define BASE64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define COLONS "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:" \
    "10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f"

static void
a_pin_is_32_octets_in_one_of_three_forms(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "sha256:" HEX, true }, { "sha256:" BASE64, true }, { "sha256:" COLONS, true },
		{ "SHA256:" HEX, true },
		{ "", false }, { "sha256:", false }, { HEX, false }, { "sha1:" HEX, false },
		{ "sha256:" HEX "0", false }, { "sha256:" HEX "00", false }, { "sha256:0" HEX, false },
		{ "sha256:g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", false },
		{ "sha256:" COLONS ":", false },
		{ "sha256:00-01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:"
		    "10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f", false },
		{ "sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", false },
		{ "sha256:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", false },
		{ "sha256: " HEX, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned char octets[PIN_LEN] = { 0 };

		if (pin_parse(str_of(rows[i].text), octets) != rows[i].good)
			fail_msg("\"%s\" is %s", rows[i].text, rows[i].good ? "not taken" : "taken");
		for (size_t j = 0; rows[i].good && j < PIN_LEN; j++)
			assert_int_equal(octets[j], j);
	}
}

static void
any_pin_of_a_list_fits_and_no_other(void **state)
{
	unsigned char octets[PIN_LEN], other[PIN_LEN] = { 0 };

	(void)state;
	assert_true(pin_parse(STR("sha256:" HEX), octets));
	assert_true(pin_fits(STR("sha256:" HEX), octets));
	assert_true(pin_fits(STR("sha256:0000000000000000000000000000000000000000000000000000000000000001"
	    " sha256:" BASE64), octets));
	assert_false(pin_fits(STR("sha256:" HEX), other));
	assert_false(pin_fits(STR(""), octets));
}

static void
what_is_shown_can_be_taken(void **state)
{
	unsigned char octets[PIN_LEN], again[PIN_LEN];
	struct buf out = { 0 };

	(void)state;
	assert_true(pin_parse(STR("sha256:" HEX), octets));
	pin_show(&out, octets);
	assert_string_equal(buf_c(&out), "sha256:" BASE64);
	assert_true(pin_parse(buf_str(&out), again));
	assert_memory_equal(octets, again, PIN_LEN);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pin_is_32_octets_in_one_of_three_forms),
		cmocka_unit_test(any_pin_of_a_list_fits_and_no_other),
		cmocka_unit_test(what_is_shown_can_be_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
