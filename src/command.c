#include "command.h"

#include <string.h>

#include "codec.h"
#include "idna.h"

/* The command line limit without extensions (RFC 5321 4.5.3.1.4), CRLF included. */
#define COMMAND_MAX 512
#define DSN_ROOM 500            /* what RCPT may have more with DSN (RFC 3461 section 4) */

bool
command_is_ascii(const char *address)
{
	for (; *address != '\0'; address++)
		if ((unsigned char)*address > 0x7f)
			return false;
	return true;
}

bool
command_address(struct buf *out, const struct offers *o, const char *address)
{
	/* What is neither ASCII nor UTF-8 goes to no server. */
	if (!command_is_ascii(address) && !(o->smtputf8 && codec_is_utf8(str_of(address))))
		return idna_address(address, out);
	buf_adds(out, address);
	return true;
}

void
command_mail(struct buf *out, const struct offers *o, const struct command_mail *m)
{
	const struct wishes *w = m->wishes;

	buf_adds(out, "MAIL FROM:<");
	command_address(out, o, m->from);
	buf_addc(out, '>');
	if (o->size)
		buf_addf(out, " SIZE=%llu", (unsigned long long)m->size);
	if (m->eight_bit && o->eight_bit)
		buf_adds(out, " BODY=8BITMIME");
	if (o->smtputf8 && m->smtputf8)
		buf_adds(out, " SMTPUTF8");
	if (w->requiretls)
		buf_adds(out, " REQUIRETLS");
	if (o->dsn && w->ret != DSN_RETURN_UNSAID)
		buf_addf(out, " RET=%s", dsn_return_word(w->ret));
	if (o->dsn && w->envid != NULL)
		buf_addf(out, " ENVID=%s", w->envid);
	if (o->by && w->by != DSN_BY_UNSAID) {
		buf_adds(out, " BY=");
		dsn_put_by(out, w, m->by_left);
	}
	if (o->priority && w->priority != 0)
		buf_addf(out, " MT-PRIORITY=%d", w->priority);
	buf_adds(out, "\r\n");
}

void
command_rcpt(struct buf *out, const struct offers *o, const struct recipient *r)
{
	size_t before = out->len;

	buf_adds(out, "RCPT TO:<");
	command_address(out, o, r->address);
	buf_addc(out, '>');
	if (o->dsn && r->notify != 0) {
		buf_adds(out, " NOTIFY=");
		dsn_put_notify(out, r->notify);
	}
	/* It only explains; a line too long for it must not cost the recipient. */
	if (o->dsn && r->orcpt != NULL &&
	    out->len - before + strlen(r->orcpt) + strlen(" ORCPT=\r\n") <= COMMAND_MAX + DSN_ROOM)
		buf_addf(out, " ORCPT=%s", r->orcpt);
	buf_adds(out, "\r\n");
}

bool
command_has_spare_mail(const struct offers *o, const struct command_mail *m)
{
	return o->size || (m->eight_bit && o->eight_bit) ||
	    (o->dsn && (m->wishes->ret != DSN_RETURN_UNSAID || m->wishes->envid != NULL));
}

bool
command_has_spare_rcpt(const struct offers *o, const struct recipient *r)
{
	return o->dsn && (r->notify != 0 || r->orcpt != NULL);
}

bool
command_is_spurned(int code, const char *status)
{
	return code == 555 || ((code == 501 || code == 504) && strcmp(status, "5.5.4") == 0);
}
