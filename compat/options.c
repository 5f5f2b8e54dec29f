#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "codec.h"
#include "envelope.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum outcome
usage(struct why *why, const char *what)
{
	return refuse(why, EX_USAGE, "%s; usage: sendmail [-t] [-i] [-f sender] [-F name] [--] "
	    "[recipient ...]", what);
}

void
call_free(struct call *c)
{
	wishes_free(&c->wishes);
	address_list_free(&c->to);
}

/* ---- what options do -------------------------------------------------------------- */

static enum outcome
take_recipients(struct call *c, const char *value, struct why *why)
{
	(void)value, (void)why;
	c->from_header = true;
	return DONE;
}

static enum outcome
ignore_dots(struct call *c, const char *value, struct why *why)
{
	(void)value, (void)why;
	c->dots_are_text = true;
	return DONE;
}

static enum outcome
be_verbose(struct call *c, const char *value, struct why *why)
{
	(void)value, (void)why;
	c->verbose = true;
	return DONE;
}

/* Of several the last one counts: a program gives its own, and what a page adds
 * behind it is meant. */
static enum outcome
set_sender(struct call *c, const char *value, struct why *why)
{
	(void)why;
	c->sender = value;
	return DONE;
}

static enum outcome
set_full_name(struct call *c, const char *value, struct why *why)
{
	(void)why;
	c->full_name = value;
	return DONE;
}

static enum outcome
set_notify(struct call *c, const char *value, struct why *why)
{
	if (!dsn_parse_notify(str_of(value), &c->notify))
		return usage(why, "-N takes never, or a list of success, failure and delay");
	return DONE;
}

static enum outcome
set_return(struct call *c, const char *value, struct why *why)
{
	struct str word = str_of(value);

	if (!dsn_parse_return(str_caseis(word, "headers") ? STR("hdrs") : word, &c->wishes.ret))
		return usage(why, "-R takes full or hdrs");
	return DONE;
}

/* Given plain, as Postfix has it.  Its old use of two characters (VERP) is an id
 * like any other, and an empty one is none. */
static enum outcome
set_envelope_id(struct call *c, const char *value, struct why *why)
{
	struct buf xtext = { 0 };

	for (const char *p = value; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			return usage(why, "-V takes an envelope id of printable ASCII characters");
	dsn_put_xtext(&xtext, str_of(value));
	if (xtext.len > DSN_ENVID_MAX) {
		buf_free(&xtext);
		return usage(why, "-V takes an envelope id of at most 100 characters");
	}
	free(c->wishes.envid);
	c->wishes.envid = xtext.len > 0 ? mem_dup(buf_str(&xtext)) : NULL;
	buf_free(&xtext);
	return DONE;
}

/* A hint: what the text is, is counted.  So other words do no harm. */
static enum outcome
set_body(struct call *c, const char *value, struct why *why)
{
	(void)why;
	(void)dsn_parse_body(str_of(value), &c->wishes.body);
	return DONE;
}

static enum outcome
set_utf8(struct call *c, const char *value, struct why *why)
{
	(void)value, (void)why;
	c->wishes.smtputf8 = true;
	return DONE;
}

/* The old short options: "i", and "d" with how to deliver. */
static enum outcome
set_old_option(struct call *c, const char *value, struct why *why)
{
	(void)why;
	/* A boolean of Sendmail's: nothing, or a word that begins like "true" or "yes". */
	if (value[0] == 'i' && (value[1] == '\0' || strchr("tTyY", value[1]) != NULL))
		c->dots_are_text = true;
	else if (value[0] == 'd' && value[1] != '\0')
		c->interactive = value[1] == 'i';
	return DONE;
}

/* ---- long options ------------------------------------------------------------------ */

static bool
take_requiretls(struct call *c, struct str setting)
{
	bool yes = str_caseis(setting, "yes") || str_caseis(setting, "true");

	c->wishes.requiretls = yes;
	return yes || str_caseis(setting, "no") || str_caseis(setting, "false");
}

static bool
take_wait(struct call *c, struct str setting)
{
	uint64_t seconds;

	if (!codec_duration(setting, OPTIONS_WAIT_MAX, &seconds))
		return false;
	c->wait = (long)seconds;
	return true;
}

/* The words behind the time, for a shell that would take RFC 2852's own for its own. */
static bool
take_deliver_by(struct call *c, struct str setting)
{
	size_t at = str_find(setting, ',');
	uint64_t seconds;

	if (!codec_duration(str_from(setting.p, at), DSN_BY_MAX, &seconds) || seconds == 0)
		return false;
	c->wishes.by = DSN_BY_RETURN;
	c->wishes.by_trace = false;
	c->wishes.by_seconds = (int32_t)seconds;
	while (at < setting.len) {
		struct str word;

		setting = str_from(setting.p + at + 1, setting.len - at - 1);
		at = str_find(setting, ',');
		word = str_from(setting.p, at);
		if (str_caseis(word, "notify"))
			c->wishes.by = DSN_BY_NOTIFY;
		else if (str_caseis(word, "trace"))
			c->wishes.by_trace = true;
		else if (!str_caseis(word, "return"))
			return false;
	}
	return true;
}

/* Of two ways to say until when, the last one counts. */
static bool
take_hold_for(struct call *c, struct str setting)
{
	uint64_t seconds;

	if (!codec_duration(setting, DSN_HOLD_MAX, &seconds))
		return false;
	c->wishes.hold_for = (uint32_t)seconds;
	c->wishes.hold_until = 0;
	return true;
}

static bool
take_hold_until(struct call *c, struct str setting)
{
	c->wishes.hold_for = 0;
	return codec_read_stamp(setting, &c->wishes.hold_until);
}

static bool
take_priority(struct call *c, struct str setting)
{
	return dsn_parse_priority(setting, &c->wishes.priority);
}

static const struct long_option {
	const char *name;
	bool (*take)(struct call *c, struct str setting);
	const char *form;
} long_options[] = {
	{ "requiretls", take_requiretls, "yes or no" },
	{ "wait", take_wait, "seconds, or 5m or 1h, up to a day" },
	{ "deliverby", take_deliver_by, "a time such as 2h, and behind a comma notify, trace or return" },
	{ "holdfor", take_hold_for, "seconds, or 5m or 8h, up to 366d" },
	{ "holduntil", take_hold_until, "a date and time with its zone, as `date -Is` prints it" },
	{ "mt-priority", take_priority, "a number from -9 to 9" },
};

/* Sendmail has two hundred of them, for its own inside.  What changes a message's
 * way is obeyed, and must be right; the rest is nothing to us. */
static enum outcome
set_long_option(struct call *c, const char *value, struct why *why)
{
	struct str all = str_of(value), name, setting = { 0 };
	size_t at = str_find(all, '=');
	char what[128];

	name = str_trim(str_from(all.p, at));
	if (at < all.len)
		setting = str_trim(str_from(all.p + at + 1, all.len - at - 1));
	for (size_t i = 0; i < COUNT(long_options); i++) {
		const struct long_option *option = &long_options[i];

		if (!str_caseis(name, option->name) || option->take(c, setting))
			continue;
		snprintf(what, sizeof what, "-O %s= takes %s", option->name, option->form);
		return usage(why, what);
	}
	return DONE;
}

/* ---- modes --------------------------------------------------------------------------- */

static enum outcome
flush(struct call *c, const char *value, struct why *why)
{
	(void)why;
	c->flush = true;
	if (value[0] == 'I')
		c->retry_id = value + 1;
	return DONE;
}

#define NO_SERVER "would start a server, and there is none to start: mail leaves by itself, and " \
	"programs that speak SMTP call sendmail -bs"

/* Modes of -b by their first letter, as Sendmail looks at them. */
static const struct mode_row {
	char letter;
	enum mode mode;
	const char *refusal;            /* where it is not NULL: why, and what to use instead */
} modes[] = {
	{ 'm', MODE_DELIVER, NULL },
	{ 'p', MODE_LIST, NULL },
	{ 'i', MODE_ALIASES, NULL },
	{ 'v', MODE_VERIFY, NULL },
	{ 's', MODE_SMTP, NULL },
	{ 'S', MODE_BATCH, NULL },
	{ 'a', 0, "was for the ARPANET; SMTP on standard input is -bs" },
	{ 'd', 0, NO_SERVER },
	{ 'D', 0, NO_SERVER },
	{ 'l', 0, NO_SERVER },
	{ 't', 0, "would test addresses in a dialogue; where one goes is told by: sendmail -bv ADDRESS" },
	{ 'h', 0, "would list hosts; what the smarthost last said is in: mailq" },
	{ 'H', 0, "would forget what hosts have said; what waits is tried at once by: sendmail -q" },
	{ 'P', 0, "would count the queue or show the configuration; see mailq, and subpost check" },
	{ 'C', 0, "would check the configuration; that does: subpost check" },
	{ 'O', 0, "would show the configuration; it is checked by: subpost check" },
	{ 'V', 0, "would check the configuration; that does: subpost check" },
	{ 'q', 0, "would only queue; every message is queued first, so -bm is what is meant" },
};

static enum outcome
set_mode(struct call *c, const char *value, struct why *why)
{
	for (size_t i = 0; i < COUNT(modes); i++) {
		if (modes[i].letter != value[0])
			continue;
		if (modes[i].refusal != NULL)
			return refuse(why, EX_USAGE, "-b%c %s", value[0], modes[i].refusal);
		c->mode = modes[i].mode;
		return DONE;
	}
	return usage(why, "of the modes of -b there are m (deliver), p (list the queue), s and S (SMTP on "
	    "standard input), i (check the aliases) and v (explain an address)");
}

static enum outcome
check_aliases(struct call *c, const char *value, struct why *why)
{
	(void)value, (void)why;
	c->mode = MODE_ALIASES;
	return DONE;
}

/* ---- the table ----------------------------------------------------------------------- */

const struct option options[] = {
	{ 'A', VALUE, NULL, "which of two configurations", "Sendmail; there is one" },
	{ 'B', VALUE, set_body, "body type", NULL },
	{ 'C', VALUE, NULL, "a configuration file", "all; a caller names no file here" },
	{ 'D', VALUE, NULL, "a file for debugging", "Sendmail; a caller names no file here" },
	{ 'E', NONE, NULL, "reserved", "Sendmail on old systems; it said nothing" },
	{ 'F', VALUE, set_full_name, "full name of the sender", NULL },
	{ 'G', NONE, NULL, "mail from a gateway", "Sendmail, Postfix; all mail is completed alike" },
	{ 'I', NONE, check_aliases, "check the aliases", NULL },
	{ 'J', GLUED, NULL, "reserved", "Sendmail on old systems; it said nothing" },
	{ 'L', VALUE, NULL, "a name for the log", "Sendmail; the log is ours" },
	{ 'M', VALUE, NULL, "a macro", "Sendmail; there are none" },
	{ 'N', VALUE, set_notify, "when to notify the sender", NULL },
	{ 'O', VALUE, set_long_option, "a long option", NULL },
	{ 'Q', GLUED, NULL, "quarantine", "Sendmail; there is none" },
	{ 'R', VALUE, set_return, "what to return", NULL },
	{ 'T', NONE, NULL, "how long to keep mail", "old Sendmails; the configuration says it" },
	{ 'U', NONE, set_utf8, "addresses in UTF-8", NULL },
	{ 'V', VALUE, set_envelope_id, "envelope id", NULL },
	{ 'X', VALUE, NULL, "a file for all traffic", "Sendmail; a caller names no file here" },
	{ 'b', VALUE, set_mode, "mode", NULL },
	{ 'c', NONE, NULL, "wait with costly mail", "Sendmail; one smarthost takes all" },
	{ 'd', GLUED, NULL, "debugging", "Sendmail; -v shows what happens" },
	{ 'e', VALUE, NULL, "how to tell errors", "Sendmail; by exit status and on standard error" },
	{ 'f', VALUE, set_sender, "envelope sender", NULL },
	{ 'h', VALUE, NULL, "hops so far", "Sendmail; Received fields are counted where loops end" },
	{ 'i', NONE, ignore_dots, "dots are text", NULL },
	{ 'm', NONE, NULL, "me too, in aliases", "Sendmail; nobody is left out" },
	{ 'n', NONE, NULL, "no aliases", "Sendmail; a bare name would go nowhere" },
	{ 'o', VALUE, set_old_option, "a short option", NULL },
	{ 'p', VALUE, NULL, "where it was received", "Sendmail; Received tells what is known" },
	{ 'q', SELECT, flush, "try what waits", NULL },
	{ 'r', VALUE, set_sender, "envelope sender", NULL },
	{ 's', NONE, NULL, "keep the mbox line", "Sendmail; it is no header field, and goes" },
	{ 't', NONE, take_recipients, "recipients from the header", NULL },
	{ 'v', NONE, be_verbose, "show what happens", NULL },
	{ 'x', NONE, NULL, "reserved", "Sendmail on old systems; it said nothing" },
};
const size_t options_count = COUNT(options);

static const struct option *
find_option(char letter)
{
	for (size_t i = 0; i < options_count; i++)
		if (options[i].letter == letter)
			return &options[i];
	return NULL;
}

/* ---- reading ---------------------------------------------------------------------------- */

static bool
is_lone_selector(const char *value)
{
	return value[0] != '\0' && value[1] == '\0' && strchr("IRSG", value[0]) != NULL;
}

/* What belongs to an option that begins at p: the rest of its word, or the next
 * one, which *argv then is. */
static enum outcome
obey(struct call *c, const struct option *option, const char *value, char *const **argv,
    struct why *why)
{
	const char *next = (*argv)[1];
	enum outcome o;
	char what[64];

	if (option->arity == VALUE && *value == '\0') {
		if (next == NULL) {
			snprintf(what, sizeof what, "option -%c needs a value", option->letter);
			return usage(why, what);
		}
		value = next;
		++*argv;
	}
	o = option->apply != NULL ? option->apply(c, value, why) : DONE;
	if (o == DONE && option->arity == SELECT && is_lone_selector(value) && next != NULL) {
		if (value[0] == 'I')
			c->retry_id = next;
		++*argv;
	}
	return o;
}

/* One word of options: "-t", "-ti", "-fme@x". */
static enum outcome
read_word(struct call *c, char *const **argv, struct why *why)
{
	const char *p = **argv + 1;
	enum outcome o = DONE;
	char what[64];

	while (o == DONE && *p != '\0') {
		const struct option *option = find_option(*p);

		if (option == NULL) {
			bool shown = *p > ' ' && *p < 0x7f;

			snprintf(what, sizeof what, "unknown option -%c", shown ? *p : '?');
			return usage(why, what);
		}
		p++;
		o = obey(c, option, option->arity != NONE ? p : "", argv, why);
		if (option->arity != NONE)
			break;
	}
	return o;
}

static enum outcome
read_options(struct call *c, char *const **argv, struct why *why)
{
	enum outcome o;

	for (; **argv != NULL && (**argv)[0] == '-' && (**argv)[1] != '\0'; ++*argv) {
		if (strcmp(**argv, "--") == 0) {
			++*argv;
			break;
		}
		if ((**argv)[1] == '-')
			return usage(why, "unknown option, there are no long ones");
		if ((o = read_word(c, argv, why)) != DONE)
			return o;
	}
	return DONE;
}

/* What cannot be meant together: mail that would be thrown away, or an argument
 * that would be overlooked. */
static enum outcome
check_mode(struct call *c, bool arguments, struct why *why)
{
	static const char *const alone[] = {
		[MODE_LIST] = "the list is of all messages and takes no argument; one message is shown by: "
		    "subpost show ID",
		[MODE_ALIASES] = "the aliases are checked as a whole, without arguments; where a name "
		    "goes is told by: sendmail -bv NAME",
		[MODE_SMTP] = "-bs takes no recipient: they are named in the dialogue",
		[MODE_BATCH] = "-bS takes no recipient: they are named in the batch",
		[MODE_FLUSH] = "-q tries what waits and takes no message, so it has no recipient and no -t",
	};

	/* A mode that was asked for by name is not half obeyed. */
	if (c->flush && c->mode == MODE_DELIVER)
		c->mode = MODE_FLUSH;
	if (c->mode < COUNT(alone) && alone[c->mode] != NULL &&
	    (arguments || (c->mode == MODE_FLUSH && c->from_header)))
		return refuse(why, EX_USAGE, "%s", alone[c->mode]);
	/* Its message would lie unread, and the status say that all is well. */
	if ((c->mode == MODE_LIST || c->mode == MODE_ALIASES) && c->from_header)
		return usage(why, "-t reads a message, and what else was asked for reads none");
	if (c->mode == MODE_VERIFY && c->from_header)
		return usage(why, "-bv explains the addresses of the command line, not -t");
	if (c->retry_id != NULL && c->retry_id[0] == '\0')
		return usage(why, "-qI needs the id of a message, see: mailq");
	return DONE;
}

static enum outcome
check_size(char *const *argv, struct why *why)
{
	size_t size = 0;

	for (; *argv != NULL && size <= OPTIONS_ARGUMENTS_MAX; argv++)
		size += strlen(*argv) + 1;
	if (size > OPTIONS_ARGUMENTS_MAX)
		return refuse(why, EX_USAGE, "the arguments are over %u octets together; many recipients "
		    "are better named in the header, with -t", OPTIONS_ARGUMENTS_MAX);
	return DONE;
}

static enum outcome
read_addresses(struct call *c, char *const *argv, struct why *why)
{
	enum outcome o;

	for (; *argv != NULL; argv++) {
		if ((o = address_parse(str_of(*argv), &c->to, why)) != DONE)
			return o;
		/* Far more than one message may have, and still little memory. */
		if (c->to.n > ENVELOPE_RECIPIENTS_MAX)
			return refuse(why, EX_DATAERR, "over %d recipients on the command line",
			    ENVELOPE_RECIPIENTS_MAX);
	}
	if (c->to.n == 0 && c->mode == MODE_VERIFY)
		return usage(why, "-bv explains addresses, and there is none");
	if (c->to.n == 0 && c->mode == MODE_DELIVER && !c->from_header)
		return usage(why, "no recipient");
	return DONE;
}

enum outcome
options_read(struct call *c, char *const *argv, struct why *why)
{
	enum outcome o;

	c->wait = WAIT_UNSAID;
	if ((o = check_size(argv, why)) != DONE ||
	    (o = read_options(c, &argv, why)) != DONE ||
	    (o = check_mode(c, *argv != NULL, why)) != DONE)
		return o;
	return read_addresses(c, argv, why);
}
