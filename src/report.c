#include "report.h"

#include "codec.h"

#define SHOWN_MAX 700           /* octets of one recipient or one answer in a line */

/* Foreign text for a line of its own: masked, and cut to what a line may hold. */
static void
put_shown(struct buf *out, struct str text)
{
	char shown[SHOWN_MAX];

	codec_mask_to(shown, sizeof shown, text);
	buf_adds(out, shown);
}

static void
write_head(const struct report *r, struct buf *out)
{
	buf_addf(out, "From: Mail delivery <%s>\nTo: ", r->from);
	put_shown(out, str_of(r->envelope->from));
	buf_adds(out, "\nSubject: Your message could not be delivered\nDate: ");
	codec_date(out, r->now, r->offset);
	buf_addf(out, "\nMessage-ID: <%s@%s>\n"
	    "Auto-Submitted: auto-replied\n"
	    "MIME-Version: 1.0\n"
	    "Content-Type: text/plain; charset=utf-8\n"
	    "Content-Transfer-Encoding: 8bit\n\n", r->id, r->domain);
}

/* What the sender named, where that is not where it went (RFC 3464 section 2.3.1). */
static void
put_original(struct buf *out, const struct recipient *to)
{
	struct str orcpt = str_of(to->orcpt);
	size_t semicolon = str_find(orcpt, ';');
	struct buf plain = { 0 };

	if (semicolon < orcpt.len)
		dsn_put_plain(&plain, str_from(orcpt.p + semicolon + 1, orcpt.len - semicolon - 1));
	if (plain.len > 0 && !str_is(buf_str(&plain), to->address)) {
		buf_adds(out, "    Original recipient: ");
		put_shown(out, buf_str(&plain));
		buf_addc(out, '\n');
	}
	buf_free(&plain);
}

static void
put_recipient(struct buf *out, const struct recipient *to, const struct fate_recipient *answer)
{
	buf_adds(out, "\n  ");
	put_shown(out, str_of(to->address));
	buf_addc(out, '\n');
	put_original(out, to);
	buf_adds(out, "    ");
	put_shown(out, str_of(answer->text != NULL ? answer->text : "no reason was given"));
	buf_addc(out, '\n');
}

/* A notice may take a way that does not offer REQUIRETLS, so for a message that
 * asked for it nothing is said that such a way must not see (RFC 8689 section 5). */
static void
put_unnamed(struct buf *out, size_t number, const struct fate_recipient *answer)
{
	buf_addf(out, "\n  recipient %zu: ", number + 1);
	if (answer->status[0] != '\0')
		put_shown(out, str_of(answer->status));
	else
		buf_addf(out, "%d", answer->code);
	buf_addc(out, '\n');
}

static void
put_recipients(struct buf *out, const struct report *r)
{
	const struct envelope *e = r->envelope;
	size_t named = 0;

	for (size_t i = 0; i < r->fate->n && i < e->n; i++) {
		const struct fate_recipient *answer = &r->fate->to[i];

		if (answer->outcome != NEVER || answer->told || named++ >= REPORT_NAMED_MAX)
			continue;
		if (e->wishes.requiretls)
			put_unnamed(out, i, answer);
		else
			put_recipient(out, &e->to[i], answer);
	}
	if (named > REPORT_NAMED_MAX)
		buf_addf(out, "\n  and %zu more\n", named - REPORT_NAMED_MAX);
}

void
report_write(const struct report *r, struct buf *out)
{
	const struct envelope *e = r->envelope;
	struct buf envid = { 0 };

	write_head(r, out);
	buf_adds(out, "The message that you sent on ");
	codec_date(out, e->arrived, r->offset);
	if (e->wishes.requiretls) {
		buf_adds(out, "\nand that may go by REQUIRETLS only could not be delivered.  This notice\n"
		    "may go without it, so it names nobody:\n");
	} else {
		buf_adds(out, "\ncould not be delivered to:\n");
	}
	put_recipients(out, r);
	if (e->wishes.envid != NULL && !e->wishes.requiretls) {
		dsn_put_plain(&envid, str_of(e->wishes.envid));
		buf_adds(out, "\nOriginal envelope id: ");
		put_shown(out, buf_str(&envid));
		buf_addc(out, '\n');
	}
	buf_addf(out, "\nIts queue id is %s.  It will not be tried again by itself; it is kept\n"
	    "for a while.  To look at it, and to try again when the cause is mended:\n\n"
	    "  subpost show %s\n  subpost retry %s\n", e->id, e->id, e->id);
	buf_free(&envid);
}
