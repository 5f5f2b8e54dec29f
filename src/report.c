#include "report.h"

#include "codec.h"

#define SHOWN_MAX 700           /* octets of one recipient or one answer in a line */

/* Foreign text for a line of its own: masked, and cut to what a line may hold. */
static void
put_shown(struct buf *out, const char *text)
{
	char shown[SHOWN_MAX];

	codec_mask_to(shown, sizeof shown, str_of(text));
	buf_adds(out, shown);
}

static void
write_head(const struct report *r, struct buf *out)
{
	buf_addf(out, "From: Mail delivery <%s>\nTo: ", r->from);
	put_shown(out, r->envelope->from);
	buf_adds(out, "\nSubject: Your message could not be delivered\nDate: ");
	codec_date(out, r->now, r->offset);
	buf_addf(out, "\nMessage-ID: <%s@%s>\n"
	    "Auto-Submitted: auto-replied\n"
	    "MIME-Version: 1.0\n"
	    "Content-Type: text/plain; charset=utf-8\n"
	    "Content-Transfer-Encoding: 8bit\n\n", r->id, r->domain);
}

void
report_write(const struct report *r, struct buf *out)
{
	const struct envelope *e = r->envelope;

	write_head(r, out);
	buf_adds(out, "The message that you sent on ");
	codec_date(out, e->arrived, r->offset);
	buf_adds(out, "\ncould not be delivered to:\n");
	for (size_t i = 0; i < r->fate->n && i < e->n; i++) {
		const struct fate_recipient *to = &r->fate->to[i];

		if (to->outcome != NEVER || to->told)
			continue;
		buf_adds(out, "\n  ");
		put_shown(out, e->to[i]);
		buf_adds(out, "\n    ");
		put_shown(out, to->text != NULL ? to->text : "no reason was given");
		buf_addc(out, '\n');
	}
	buf_addf(out, "\nIts queue id is %s.  It will not be tried again by itself; it is kept\n"
	    "for a while.  To look at it, and to try again when the cause is mended:\n\n"
	    "  subpost show %s\n  subpost retry %s\n", e->id, e->id, e->id);
}
