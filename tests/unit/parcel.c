/* parcel: how a message's recipients are cut into transactions, and what makes a message
 * one that cannot be sent. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file.h"
#include "parcel.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define ID "0GT2C3D4E5F6AAAAAAAA"

/* A parcel for the recipients, which are words, all of whom the job names. */
static void
make(struct parcel *p, const char *recipients)
{
	struct str rest = str_of(recipients);
	struct envelope *e;

	*p = (struct parcel){ .letter = LETTER_INIT, .from = "me@example.com" };
	e = &p->letter.envelope;
	while (rest.len > 0) {
		e->to = mem_grow(e->to, e->n + 1, sizeof *e->to);
		e->to[e->n++] = (struct recipient){ .address = mem_dup(str_word(&rest)) };
	}
	p->n = e->n;
	p->places = mem_grow(NULL, p->n, sizeof *p->places);
	for (size_t i = 0; i < p->n; i++)
		p->places[i] = i;
	p->given = mem_alloc(p->n * sizeof *p->given);
}

/* All shares that there are, as "a b|c". */
static void
cut(struct parcel *p, size_t most, size_t domains, struct buf *out)
{
	struct share *s;

	buf_clear(out);
	while ((s = parcel_share(p, most, domains)) != NULL) {
		if (out->len > 0)
			buf_addc(out, '|');
		for (size_t i = 0; i < s->t.n; i++)
			buf_addf(out, "%s%s", i > 0 ? " " : "", s->t.to[i].address);
		assert_false(parcel_is_over(p));
		share_return(s, true);
		share_free(s);
	}
	assert_true(parcel_is_over(p));
}

static void
test_shares(void **state)
{
	static const struct {
		const char *recipients;
		size_t most, domains;
		const char *shares;
	} rows[] = {
		{ "a@x", 0, 0, "a@x" }, { "a@x b@x c@x", 0, 0, "a@x b@x c@x" }, { "a@x b@x c@x", 3, 0, "a@x b@x c@x" },
		{ "a@x b@x c@x", 100, 0, "a@x b@x c@x" }, { "a@x b@x c@x", 2, 0, "a@x b@x|c@x" },
		{ "a@x b@x c@x", 1, 0, "a@x|b@x|c@x" },
		{ "a@x b@y c@X d@z e@y", 0, 1, "a@x c@X|b@y e@y|d@z" },
		{ "a@x b@y c@X d@z e@y", 0, 2, "a@x b@y c@X e@y|d@z" },
		{ "a@x b@y c@X d@z e@y", 2, 2, "a@x b@y|c@X d@z|e@y" },
		{ "a@x b@y c@x", 0, 9, "a@x b@y c@x" },
		/* The domain is behind the last @, and a name without one is its own. */
		{ "\"a@y\"@x b@x", 0, 1, "\"a@y\"@x b@x" }, { "postmaster a@x", 0, 1, "postmaster|a@x" },
	};
	struct buf got = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct parcel p;

		make(&p, rows[i].recipients);
		cut(&p, rows[i].most, rows[i].domains, &got);
		assert_string_equal(buf_c(&got), rows[i].shares);
		parcel_free(&p);
	}
	buf_free(&got);
}

static void
test_again(void **state)
{
	struct parcel p;
	struct share *one, *two;
	struct buf got = { 0 };

	(void)state;
	make(&p, "a@x b@x c@x d@x");
	one = parcel_share(&p, 2, 0);
	two = parcel_share(&p, 2, 0);
	assert_null(parcel_share(&p, 2, 0));
	one->t.answers[1].again = two->t.answers[0].again = two->t.answers[1].again = true;
	share_return(one, true);
	/* One that may not be asked again keeps the answer it has. */
	share_return(two, false);
	assert_false(parcel_is_over(&p));
	share_free(one);
	share_free(two);
	cut(&p, 0, 0, &got);
	assert_string_equal(buf_c(&got), "b@x");
	parcel_free(&p);
	parcel_free(&p);
	buf_free(&got);
}

/* What lies in a file that a job hands over. */
static void
test_damage(void **state)
{
	static const char *const files[] = { "", "no message\n", "subpost 1 size=10\n\nx" };

	(void)state;
	for (size_t i = 0; i < COUNT(files); i++) {
		struct errand job = { .n = 1, .recipients = mem_alloc(sizeof(size_t)), .has_fd = true };
		struct parcel p;
		struct why why;

		memcpy(job.id, ID, sizeof ID);
		job.fd = memfd_create("message", MFD_CLOEXEC);
		assert_int_equal(file_write(job.fd, str_of(files[i])), 0);
		assert_false(parcel_take(&p, &job, &why));
		assert_true(why.text[0] != '\0');
		assert_string_equal(p.id, ID);
		/* The descriptor is still the job's. */
		assert_true(job.fd >= 0);
		parcel_free(&p);
		errand_free(&job);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define ROW(promise, f) { promise, f, NULL, NULL, NULL }
		ROW("L-07, E-30: no share has more recipients or domains than it may", test_shares),
		ROW("L-08: who is to be asked again goes with the next, once", test_again),
		ROW("a job whose file is no message is not taken", test_damage),
#undef ROW
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
