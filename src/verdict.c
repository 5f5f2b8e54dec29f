#include "verdict.h"

#include <stdio.h>
#include <string.h>

#include "codec.h"

#define P(phase) (1u << (phase))

enum {
	MAIL = P(PHASE_MAIL), RCPT = P(PHASE_RCPT), DATA = P(PHASE_DATA), TEXT = P(PHASE_TEXT),
	PASSWORD = P(PHASE_AUTH), TOKEN = P(PHASE_TOKEN), AUTH = PASSWORD | TOKEN,
	SESSION = P(PHASE_GREETING) | P(PHASE_EHLO) | P(PHASE_STARTTLS),
	TRANSACTION = MAIL | RCPT | DATA | TEXT,
};

/* A row fits when every column that is set fits.  status is a prefix; word is
 * looked for without case in the text that is left when addresses are out. */
struct row {
	unsigned phases;
	int code;               /* exact (432), a class (4), or 0 for any */
	const char *status;
	const char *word;
	enum outcome outcome;
	enum scope scope;
	const char *hint;
};

#define FORCE_FROM "the account may not send as this sender; set `force-from = yes`, or `from` to an " \
	"address that it may use"
#define APP_PASSWORD "an app password is wanted here, not the normal one: the account's security settings " \
	"make one"
#define RULES "sign-in rules block passwords: set `auth = xoauth2` and a `token-command`"
#define NO_PASSWORDS "this provider takes no passwords any more: set `auth = xoauth2` and a `token-command`"
#define LOGIN_WANTED "the server wants a login before it relays; set `user` and a password"
#define LIMIT "the sending limit is reached; mail waits"
#define SLOWER "the server wants less at a time; see `rate` and `connections`"
#define THROTTLED "the provider has throttled the account; mend what it complains of before `subpost retry all`"
#define BLOCKED "the provider has blocked the account; a person must have it unblocked there"

/* First match wins.  Recipient rows come first, so that no account is paused by
 * what is said of one recipient; the bare 421 comes last. */
static const struct row rows[] = {
	{ RCPT, 5, "5.1.", NULL, NEVER, SCOPE_RECIPIENT, NULL },
	{ RCPT, 4, NULL, "greylist", LATER, SCOPE_RECIPIENT, NULL },
	{ RCPT, 4, NULL, "graylist", LATER, SCOPE_RECIPIENT, NULL },
	{ RCPT, 4, "4.1.", NULL, LATER, SCOPE_RECIPIENT, NULL },
	{ TRANSACTION, 0, NULL, "relay limit exceeded", LATER, SCOPE_ACCOUNT, LIMIT },
	{ RCPT, 4, "4.2.", NULL, LATER, SCOPE_RECIPIENT, NULL },

	/* The login: never a bounce, whatever the digit. */
	{ P(PHASE_GREETING), 0, NULL, "failed login", LATER, SCOPE_ACCOUNT, "logins that failed have locked us out; "
	    "mend the password, and wait" },
	{ AUTH, 0, NULL, "credits exceeded", LATER, SCOPE_ACCOUNT, "the plan's credits are used up" },
	{ AUTH, 0, NULL, "too many login", LATER, SCOPE_ACCOUNT, "wait: the server counts logins" },
	{ AUTH, 0, NULL, "too many bad auth", LATER, SCOPE_ACCOUNT, "wait: the server counts logins; and check user "
	    "and password" },
	{ AUTH, 432, "4.7.12", NULL, LATER, SCOPE_ACCOUNT, "the server must see the password once; set auth = plain until it has" },
	{ AUTH, 4, NULL, NULL, LATER, SCOPE_ACCOUNT, "the server has trouble with logins; the password may be right" },
	{ AUTH, 534, "5.7.9", NULL, LATER, SCOPE_ACCOUNT, APP_PASSWORD },
	{ AUTH, 534, "5.7.14", NULL, LATER, SCOPE_ACCOUNT, "log in once with a web browser, as the server says" },
	{ AUTH, 535, "5.7.8", "username and password not accepted", LATER, SCOPE_ACCOUNT, "check that `user` is the "
	    "full address, and the password an app password without spaces" },
	{ AUTH, 0, NULL, "smtpclientauthentication is disabled", LATER, SCOPE_ACCOUNT,
	    "an admin must enable Authenticated SMTP for this mailbox; the password may be right" },
	{ AUTH, 0, "5.7.139", "security defaults", LATER, SCOPE_ACCOUNT, RULES },
	{ AUTH, 0, "5.7.139", "did not meet the criteria", LATER, SCOPE_ACCOUNT, RULES },
	{ AUTH, 0, "5.7.139", "basic authentication is disabled", LATER, SCOPE_ACCOUNT, NO_PASSWORDS },
	{ AUTH, 0, "5.7.30", NULL, LATER, SCOPE_ACCOUNT, NO_PASSWORDS },
	{ AUTH, 535, "5.7.3", NULL, LATER, SCOPE_ACCOUNT, "check user and password; of a token: that it is the user's, "
	    "and that its scope allows to send" },
	{ AUTH, 525, NULL, NULL, LATER, SCOPE_ACCOUNT, "the provider does not accept this machine's address: add it "
	    "to the authorised ones there" },
	{ AUTH, 0, NULL, "activated", LATER, SCOPE_ACCOUNT, "sending has to be activated with the provider first" },
	{ AUTH, 535, NULL, "credentials invalid", LATER, SCOPE_ACCOUNT, "check user and password; SMTP access may have "
	    "to be switched on in the provider's web settings" },
	{ AUTH, 500, "5.5.6", NULL, LATER, SCOPE_ACCOUNT, "the server does not take a token or password that long" },
	{ AUTH, 504, NULL, NULL, LATER, SCOPE_ACCOUNT, "the server offers a login that it has not; set auth to another one" },
	{ AUTH, 530, NULL, NULL, LATER, SCOPE_ACCOUNT, "the server wants TLS first; set tls = starttls or implicit" },
	{ AUTH, 538, NULL, NULL, LATER, SCOPE_ACCOUNT, "the server wants TLS first; set tls = starttls or implicit" },
	{ TOKEN, 0, NULL, NULL, LATER, SCOPE_ACCOUNT, "check user and token: it must be this user's, with the scope to send by SMTP; then `subpost retry all`" },
	{ PASSWORD, 0, NULL, NULL, LATER, SCOPE_ACCOUNT, "check user and password, then `subpost retry all`" },

	/* Quota, pace, block, missing login: the account's, not the message's. */
	{ TRANSACTION, 432, NULL, NULL, LATER, SCOPE_ACCOUNT, SLOWER },
	{ TRANSACTION, 4, NULL, "thread limit", LATER, SCOPE_ACCOUNT, SLOWER },
	{ TRANSACTION, 4, NULL, "too many connections", LATER, SCOPE_ACCOUNT, SLOWER },
	{ TRANSACTION, 4, NULL, "concurrent", LATER, SCOPE_ACCOUNT, SLOWER },
	{ TRANSACTION, 4, NULL, "submission rate", LATER, SCOPE_ACCOUNT, SLOWER },
	{ TRANSACTION, 4, NULL, "too much mail", LATER, SCOPE_ACCOUNT, SLOWER },
	{ TRANSACTION, 4, NULL, "too many messages", LATER, SCOPE_ACCOUNT, SLOWER },
	{ TRANSACTION, 454, NULL, "daily message quota", LATER, SCOPE_ACCOUNT, LIMIT },
	{ TRANSACTION, 454, NULL, "throttling failure", LATER, SCOPE_ACCOUNT, SLOWER },
	{ TRANSACTION, 421, NULL, "not allowed to send", LATER, SCOPE_ACCOUNT, BLOCKED },
	{ TRANSACTION, 451, "4.7.", "access denied", LATER, SCOPE_ACCOUNT, NULL },
	{ TRANSACTION, 530, NULL, "starttls", LATER, SCOPE_ACCOUNT, "the server wants TLS first; set `tls = starttls`" },
	{ TRANSACTION, 530, NULL, NULL, LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	{ TRANSACTION, 534, NULL, NULL, LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	{ TRANSACTION, 535, NULL, NULL, LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	{ TRANSACTION, 538, NULL, NULL, LATER, SCOPE_ACCOUNT, "the server wants TLS first; set `tls = starttls`" },
	{ TRANSACTION, 5, "5.7.57", NULL, LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	/* Two meanings of one number; the registered one is REQUIRETLS (RFC 8689 section 8). */
	{ RCPT, 5, "5.7.30", "requiretls", NEVER, SCOPE_RECIPIENT, NULL },
	{ TRANSACTION, 5, "5.7.30", "requiretls", NEVER, SCOPE_MESSAGE, NULL },
	{ TRANSACTION, 550, "5.7.30", NULL, LATER, SCOPE_ACCOUNT, NO_PASSWORDS },
	{ TRANSACTION, 5, "5.2.251", NULL, LATER, SCOPE_ACCOUNT, THROTTLED },
	{ TRANSACTION, 5, "5.2.252", "throttled", LATER, SCOPE_ACCOUNT, THROTTLED },
	{ TRANSACTION, 5, "5.2.253", NULL, LATER, SCOPE_ACCOUNT, THROTTLED },
	{ TRANSACTION, 5, "5.2.254", NULL, LATER, SCOPE_ACCOUNT, THROTTLED },
	{ TRANSACTION, 5, "5.2.255", NULL, LATER, SCOPE_ACCOUNT, THROTTLED },
	{ TRANSACTION, 5, "5.4.5", NULL, LATER, SCOPE_ACCOUNT, LIMIT },
	{ TRANSACTION, 5, NULL, "submissionquotaexceeded", LATER, SCOPE_ACCOUNT, LIMIT },
	{ TRANSACTION, 5, NULL, "exceeded the max emails per hour", LATER, SCOPE_ACCOUNT, LIMIT },
	{ TRANSACTION, 5, NULL, "sending limit", LATER, SCOPE_ACCOUNT, LIMIT },
	{ TRANSACTION, 5, NULL, "sending quota", LATER, SCOPE_ACCOUNT, LIMIT },
	/* Postfix's policy servers dress a sender's quota so; a full mailbox is 5.2.2. */
	{ RCPT, 554, "5.7.1", "quota exceeded", LATER, SCOPE_ACCOUNT, LIMIT },
	{ TRANSACTION, 550, "5.4.6", "unusual sending", LATER, SCOPE_ACCOUNT, BLOCKED },
	{ MAIL | DATA | TEXT, 554, "5.1.8", NULL, LATER, SCOPE_ACCOUNT, BLOCKED },
	{ MAIL | DATA | TEXT, 5, NULL, "account suspended", LATER, SCOPE_ACCOUNT, BLOCKED },
	{ MAIL | DATA | TEXT, 5, NULL, "account locked", LATER, SCOPE_ACCOUNT, BLOCKED },
	{ MAIL | DATA | TEXT, 5, NULL, "account has been", LATER, SCOPE_ACCOUNT, BLOCKED },
	{ TRANSACTION, 5, NULL, "sending paused", LATER, SCOPE_ACCOUNT, BLOCKED },
	{ TRANSACTION, 554, NULL, "authorized to perform", LATER, SCOPE_ACCOUNT, "the login may not send; allow it "
	    "with the provider" },
	{ MAIL | RCPT, 5, NULL, "blocked using", LATER, SCOPE_SERVER, "this machine's address stands in a list; a server "
	    "that asks for a login would not look there" },
	{ MAIL | RCPT, 0, NULL, "client host rejected", LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	{ MAIL | RCPT, 0, NULL, "relay access denied", LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	{ MAIL | RCPT, 5, NULL, "relaying denied", LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	{ MAIL | RCPT, 5, NULL, "unable to relay", LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	{ MAIL | RCPT, 5, NULL, "relay not permitted", LATER, SCOPE_ACCOUNT, LOGIN_WANTED },
	{ MAIL | RCPT, 5, NULL, "credentials for relay", LATER, SCOPE_ACCOUNT, "the provider does not know this machine's "
	    "address or domain: register it there" },
	{ RCPT, 5, "5.7.54", NULL, LATER, SCOPE_ACCOUNT, LOGIN_WANTED },

	/* This sender on this account. */
	{ TRANSACTION, 5, "5.2.252", NULL, LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, "5.7.60", NULL, LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "sendasdenied", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "not owned by user", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "allowed to send as", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "permissions to send as", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "verified sender", LATER, SCOPE_SENDER, "verify the sender with the provider, or set "
	    "`force-from = yes`" },
	{ TRANSACTION, 5, NULL, "sender not validated", LATER, SCOPE_SENDER, "verify the sender with the provider, or set "
	    "`force-from = yes`" },
	{ TRANSACTION, 5, NULL, "address is not verified", LATER, SCOPE_SENDER, "verify the address with the provider, "
	    "then `subpost retry all`" },
	{ TRANSACTION, 5, NULL, "authorised to send from", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "authorized to send from", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "relaying disallowed as", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "sender is not allowed", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "sender address is not allowed", LATER, SCOPE_SENDER, FORCE_FROM },
	{ MAIL | RCPT, 5, NULL, "sender address rejected", LATER, SCOPE_SENDER, FORCE_FROM },
	{ TRANSACTION, 5, NULL, "not one of your addresses", LATER, SCOPE_SENDER, FORCE_FROM },
	{ MAIL, 5, "5.1.7", NULL, LATER, SCOPE_SENDER, FORCE_FROM },
	{ MAIL, 5, "5.1.8", NULL, LATER, SCOPE_SENDER, FORCE_FROM },
	{ MAIL, 5, "5.7.1", NULL, LATER, SCOPE_SENDER, FORCE_FROM },

	/* Old servers say 552 where 452 is meant: too many recipients (RFC 5321 4.5.3.1.10). */
	{ RCPT, 552, "5.2.2", NULL, NEVER, SCOPE_RECIPIENT, NULL },
	{ RCPT, 552, "5.3.4", NULL, NEVER, SCOPE_MESSAGE, NULL },
	{ RCPT, 552, NULL, NULL, LATER, SCOPE_RECIPIENT, NULL },

	/* Out of step: ours or theirs, not the letter's. */
	{ TRANSACTION, 500, NULL, NULL, LATER, SCOPE_SERVER, NULL },
	{ TRANSACTION, 503, NULL, NULL, LATER, SCOPE_SERVER, NULL },
	{ TRANSACTION, 421, NULL, NULL, LATER, SCOPE_SERVER, NULL },

	/* The general rule: phase and first digit. */
	{ SESSION, 0, NULL, NULL, LATER, SCOPE_SERVER, NULL },
	{ MAIL, 4, "4.3.", NULL, LATER, SCOPE_SERVER, NULL },
	{ MAIL, 4, "4.4.", NULL, LATER, SCOPE_SERVER, NULL },
	{ MAIL, 4, "4.7.", NULL, LATER, SCOPE_SERVER, NULL },
	{ RCPT, 4, "4.7.", NULL, LATER, SCOPE_SERVER, NULL },
	{ RCPT, 4, NULL, NULL, LATER, SCOPE_RECIPIENT, NULL },
	{ RCPT, 5, NULL, NULL, NEVER, SCOPE_RECIPIENT, NULL },
	{ TRANSACTION, 4, NULL, NULL, LATER, SCOPE_MESSAGE, NULL },
	{ TRANSACTION, 5, NULL, NULL, NEVER, SCOPE_MESSAGE, NULL },
	/* A 2yz or 3yz that means nothing here. */
	{ TRANSACTION, 0, NULL, NULL, LATER, SCOPE_SERVER, NULL },
};

static const char *const names[] = {
	[PHASE_GREETING] = "the greeting", [PHASE_EHLO] = "EHLO", [PHASE_STARTTLS] = "STARTTLS",
	[PHASE_AUTH] = "AUTH", [PHASE_TOKEN] = "AUTH", [PHASE_MAIL] = "MAIL", [PHASE_RCPT] = "RCPT",
	[PHASE_DATA] = "DATA", [PHASE_TEXT] = "the final dot",
};

const char *
phase_name(enum phase phase)
{
	return names[phase];
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static void
add_lower(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		buf_addc(out, lower(s.p[i] == '\n' ? ' ' : s.p[i]));
}

/* Puts a space for every occurrence of what in b: its two sides must not become
 * a word together. */
static void
cut_out(struct buf *b, struct str what)
{
	struct buf word = { 0 }, left = { 0 };
	const char *from = b->p, *end = b->p + b->len, *at;

	add_lower(&word, what);
	while (word.len > 0 && (at = memmem(from, (size_t)(end - from), word.p, word.len)) != NULL) {
		buf_add(&left, from, (size_t)(at - from));
		buf_addc(&left, ' ');
		from = at + word.len;
	}
	if (left.len > 0) {
		buf_add(&left, from, (size_t)(end - from));
		buf_free(b);
		*b = left;
	}
	buf_free(&word);
}

/* The server's own words, lower case: without what we said and without <...>.
 * In this order: a quoted local part may hold brackets of its own. */
static void
own_words(struct buf *out, struct str text, const struct str *said, size_t nsaid)
{
	struct buf words = { 0 };
	size_t depth = 0;

	add_lower(&words, text);
	for (size_t i = 0; words.len > 0 && i < nsaid; i++)
		cut_out(&words, said[i]);
	for (size_t i = 0; i < words.len; i++) {
		if (words.p[i] == '<' && depth++ == 0)
			buf_addc(out, ' ');
		else if (words.p[i] == '>' && depth > 0)
			depth--;
		else if (depth == 0)
			buf_addc(out, words.p[i]);
	}
	buf_free(&words);
}

static bool
has_word(struct str text, const char *word)
{
	return text.len > 0 && memmem(text.p, text.len, word, strlen(word)) != NULL;
}

/* All that we sent, lower case, as it is and without quoting: a server may echo an
 * address without its quotes, its domain alone, or half of it. */
static void
our_words(struct buf *out, const struct str *said, size_t nsaid)
{
	for (size_t i = 0; i < nsaid; i++) {
		add_lower(out, said[i]);
		buf_addc(out, '\n');
		for (size_t k = 0; k < said[i].len; k++)
			if (said[i].p[k] != '"' && said[i].p[k] != '\\')
				buf_addc(out, lower(said[i].p[k]));
		buf_addc(out, '\n');
	}
}

/* A word that stands in what we sent is not believed, whoever says it. */
static bool
fits(const struct row *row, enum phase phase, const struct reply *r, struct str words, struct str ours)
{
	if ((row->phases & P(phase)) == 0)
		return false;
	if (row->code >= 100 ? r->code != row->code : row->code != 0 && r->code / 100 != row->code)
		return false;
	if (row->status != NULL && !str_starts(str_of(r->status), row->status))
		return false;
	return row->word == NULL || (has_word(words, row->word) && !has_word(ours, row->word));
}

enum outcome
verdict_of(enum phase phase, const struct reply *r, const struct str *said, size_t nsaid,
    struct why *why)
{
	struct buf words = { 0 }, ours = { 0 };
	const struct row *row = rows;
	char shown[500];

	own_words(&words, buf_str(&r->text), said, nsaid);
	our_words(&ours, said, nsaid);
	while (!fits(row, phase, r, buf_str(&words), buf_str(&ours)))
		row++;
	reply_show(r, shown, sizeof shown);
	*why = (struct why){ .scope = row->scope, .code = r->code };
	snprintf(why->status, sizeof why->status, "%s", r->status);
	snprintf(why->text, sizeof why->text, "%s answered: %s%s%s", phase_name(phase), shown,
	    row->hint != NULL ? "; " : "", row->hint != NULL ? row->hint : "");
	buf_free(&words);
	buf_free(&ours);
	return row->outcome;
}
