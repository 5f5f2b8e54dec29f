#include "force.h"

#include "address.h"
#include "complete.h"
#include "phrase.h"

/* What the old header says of itself. */
struct old {
	const struct field *from;       /* the first that says something, else the first */
	bool is_ours;                   /* it names the account's address, and nobody else */
	bool is_readable;               /* it names a mailbox */
	bool has_reply_to;
	struct buf name;
};

static bool
is_blank(const struct header *h, const struct field *f)
{
	return str_trim(field_body(h, f)).len == 0;
}

static void
read_from(const struct header *h, struct str from, struct old *old)
{
	struct address_list list = { 0 };
	struct why why;

	if (address_parse(field_body(h, old->from), &list, &why) != DONE)
		goto out;
	old->is_readable = list.n > 0;
	old->is_ours = list.n == 1 && address_same(buf_str(&list.v[0].spec), from);
	for (size_t i = 0; i < list.n && old->name.len == 0; i++)
		phrase_add(&old->name, buf_str(&list.v[i].name));
out:
	address_list_free(&list);
}

static void
look(const struct header *h, struct str from, struct old *old)
{
	for (size_t i = 0; i < h->n; i++) {
		const struct field *f = &h->v[i];

		if (field_is(h, f, "From")) {
			if (old->from == NULL || (is_blank(h, old->from) && !is_blank(h, f)))
				old->from = f;
		} else if (field_is(h, f, "Reply-To")) {
			old->has_reply_to = old->has_reply_to || !is_blank(h, f);
		}
	}
	if (old->from != NULL)
		read_from(h, from, old);
}

static void
put_from(struct str from, struct str name, struct buf *out)
{
	struct buf value = { 0 };

	buf_addstr(&value, name);
	buf_adds(&value, name.len > 0 ? " <" : "");
	buf_addstr(&value, from);
	buf_adds(&value, name.len > 0 ? ">" : "");
	complete_field(out, "From", buf_str(&value));
	buf_free(&value);
}

static void
put_new(const struct header *h, const struct old *old, struct str from, struct buf *out)
{
	put_from(from, buf_str(&old->name), out);
	if (!old->is_readable || old->has_reply_to)
		return;
	buf_adds(out, "Reply-To:");
	buf_addstr(out, field_body(h, old->from));
	buf_addc(out, '\n');
}

/* Providers look at it as they do at From:, and the account is who sends now. */
static bool
is_foreign_sender(const struct header *h, const struct field *f, struct str from)
{
	struct buf spec = { 0 };
	struct why why;
	bool foreign;

	if (!field_is(h, f, "Sender"))
		return false;
	foreign = address_parse_one(field_body(h, f), &spec, &why) != DONE ||
	    !address_same(buf_str(&spec), from);
	buf_free(&spec);
	return foreign;
}

/* A blank Reply-To: beside ours would be a second one. */
static bool
stays(const struct header *h, const struct field *f, const struct old *old, struct str from)
{
	if (field_is(h, f, "From"))
		return f == old->from;
	if (field_is(h, f, "Reply-To") && is_blank(h, f))
		return old->is_ours || !old->is_readable || old->has_reply_to;
	return !is_foreign_sender(h, f, from);
}

void
force_header(const struct header *h, struct str from, struct buf *out)
{
	struct old old = { 0 };

	look(h, from, &old);
	for (size_t i = 0; i < h->n; i++) {
		const struct field *f = &h->v[i];

		if (f == old.from && !old.is_ours)
			put_new(h, &old, from, out);
		else if (stays(h, f, &old, from))
			buf_add(out, h->raw.p + f->at, f->len);
	}
	if (old.from == NULL)
		put_from(from, (struct str){ 0 }, out);
	buf_addc(out, '\n');
	buf_free(&old.name);
}
