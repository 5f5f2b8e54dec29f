#include "label.h"

/* RFC 3629 section 4, octet by octet. */
static void
count_character(struct label *l, unsigned char c)
{
	if (l->left > 0) {
		l->not_utf8 = l->not_utf8 || c < l->low || c > l->high;
		l->left--;
		l->low = 0x80;
		l->high = 0xbf;
	} else {
		l->not_utf8 = l->not_utf8 || c < 0xc2 || c > 0xf4;
		l->left = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
		l->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
		l->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	}
}

void
label_count(struct label *l, struct str text, bool ended)
{
	l->octets += text.len;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		l->odd += c == '=' || c > 0x7e || (c < ' ' && c != '\t');
		if (c > 0x7f || l->left > 0)
			count_character(l, c);
	}
	/* No character goes on behind a line. */
	if (ended) {
		l->not_utf8 = l->not_utf8 || l->left > 0;
		l->left = 0;
	}
}

enum encoding
label_encoding(const struct label *l, const struct part *p, bool eight_bit)
{
	if (p->form == PART_MULTIPART)
		return ENCODE_PRUNE;
	if (p->form == PART_SEALED || p->form == PART_MESSAGE ||
	    (!l->long_line && (!l->eight || eight_bit)))
		return ENCODE_NONE;
	if (p->coding == PART_QP)
		return ENCODE_MEND_QP;
	if (p->coding == PART_BASE64)
		return ENCODE_MEND_BASE64;
	/* Two octets more for each odd one, or a third more for all. */
	return p->form == PART_TEXT && l->odd * 6 <= l->octets ? ENCODE_QP : ENCODE_BASE64;
}

const char *
label_coding(const struct label *l, const struct part *p, bool eight_bit)
{
	enum encoding how = label_encoding(l, p, eight_bit);

	if (how == ENCODE_QP)
		return "quoted-printable";
	if (how == ENCODE_BASE64)
		return "base64";
	if (p->form == PART_SEALED || !part_is_identity(p->coding))
		return NULL;
	if (l->eight_left)
		return p->coding == PART_8BIT ? NULL : "8bit";
	/* Binary is for BINARYMIME (RFC 3030), which is not spoken here. */
	return p->coding == PART_BINARY || (p->coding == PART_8BIT && !eight_bit) ? "7bit" : NULL;
}

void
label_put(const struct label *l, const struct part *p, bool eight_bit, bool is_message,
    struct buf *out)
{
	const char *coding = label_coding(l, p, eight_bit);
	bool version = is_message && !p->has_version && p->form != PART_SEALED &&
	    (l->eight || l->long_line || l->utf8_header);

	if (version)
		buf_adds(out, "MIME-Version: 1.0\n");
	if (p->form == PART_TEXT && !p->has_type && (l->eight || version))
		buf_addf(out, "Content-Type: text/plain; charset=%s\n", !l->eight ? "us-ascii" :
		    l->not_utf8 || l->left > 0 ? "unknown-8bit" : "utf-8");
	if (coding != NULL)
		buf_addf(out, "Content-Transfer-Encoding: %s\n", coding);
}
