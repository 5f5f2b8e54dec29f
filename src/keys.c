#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include "address.h"
#include "codec.h"
#include "envelope.h"
#include "guess.h"
#include "host.h"
#include "pin.h"

#define DAY (24 * 60 * 60)
#define SOCKET_PATH_MAX 100     /* octets; the kernel takes 107 */
#define GROUP_MAX 255           /* octets of a group's name */
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Texts and words. */

void
keys_put_text(char **at, struct str text)
{
	char *fresh = mem_dup(text);

	free(*at);
	*at = fresh;
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool
is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

bool
keys_next_word(struct str *rest, struct str *word)
{
	while (rest->len > 0 && is_separator(rest->p[0])) {
		rest->p++;
		rest->len--;
	}
	*word = str_from(rest->p, 0);
	while (rest->len > 0 && !is_separator(rest->p[0])) {
		word->len++;
		rest->p++;
		rest->len--;
	}
	return word->len > 0;
}

/* Kinds of values.  All answer whether the value has the right form. */

static void *
field(const struct target *t, const struct key *k)
{
	return (char *)t->c + k->at;
}

static bool
take_text(struct target *t, const struct key *k, struct str v)
{
	keys_put_text(field(t, k), v);
	return true;
}

/* Kept as it was written: what it means depends on the port (settle_host). */
static bool
take_host(struct target *t, const struct key *k, struct str v)
{
	char **host = field(t, k);
	struct buf all = { 0 };

	if (t->more)
		buf_addf(&all, "%s ", *host);
	buf_addstr(&all, v);
	keys_put_text(host, buf_str(&all));
	buf_free(&all);
	return true;
}

static bool
take_number(struct target *t, const struct key *k, struct str v)
{
	unsigned *number = field(t, k);
	uint64_t n;

	if (!codec_number(v, k->max, &n) || n < k->min)
		return false;
	*number = (unsigned)n;
	return true;
}

static bool
take_size(struct target *t, const struct key *k, struct str v)
{
	uint64_t *size = field(t, k);

	return codec_size(v, k->max, size) && *size >= k->min;
}

static bool
take_duration(struct target *t, const struct key *k, struct str v)
{
	uint32_t *seconds = field(t, k);
	uint64_t n;

	if (!codec_duration(v, k->max, &n) || n < k->min)
		return false;
	*seconds = (uint32_t)n;
	return true;
}

static bool
take_steps(struct target *t, const struct key *k, struct str v)
{
	struct steps *steps = field(t, k);
	struct str word;

	if (!t->more)
		steps->n = 0;
	while (keys_next_word(&v, &word)) {
		uint64_t n;

		if (steps->n == CONFIG_STEPS_MAX || !codec_duration(word, k->max, &n) || n < k->min)
			return false;
		steps->v[steps->n++] = (uint32_t)n;
	}
	return steps->n > 0;
}

static bool
take_family(struct target *t, const struct key *k, struct str v)
{
	static const char *const words[] = {
		[FAMILY_ANY] = "any", [FAMILY_IPV4] = "ipv4", [FAMILY_IPV6] = "ipv6",
	};
	enum family *family = field(t, k);

	for (size_t i = 0; i < COUNT(words); i++) {
		if (str_caseis(v, words[i])) {
			*family = (enum family)i;
			return true;
		}
	}
	return false;
}

static bool
take_boolean(struct target *t, const struct key *k, struct str v)
{
	static const char *const words[][2] = {
		{ "no", "yes" }, { "false", "true" }, { "off", "on" },
	};
	bool *flag = field(t, k);

	for (size_t i = 0; i < COUNT(words); i++) {
		for (int truth = 0; truth < 2; truth++) {
			if (str_caseis(v, words[i][truth])) {
				*flag = truth;
				return true;
			}
		}
	}
	return false;
}

static bool
take_tls(struct target *t, const struct key *k, struct str v)
{
	static const char *const words[] = {
		[TLS_STARTTLS] = "starttls", [TLS_IMPLICIT] = "implicit", [TLS_NONE] = "none",
	};
	enum tls_mode *mode = field(t, k);

	for (size_t i = 0; i < COUNT(words); i++) {
		if (str_caseis(v, words[i])) {
			*mode = (enum tls_mode)i;
			return true;
		}
	}
	return false;
}

static bool
take_auth(struct target *t, const struct key *k, struct str v)
{
	/* The mechanisms of sasl.c, which only the courier has. */
	static const char *const words[] = { "auto", "none", "plain", "login", "cram-md5",
		"scram-sha-1", "scram-sha-1-plus", "scram-sha-256", "scram-sha-256-plus",
		"oauthbearer", "xoauth2", "external" };

	for (size_t i = 0; i < COUNT(words); i++) {
		if (str_caseis(v, words[i])) {
			keys_put_text(field(t, k), str_of(words[i]));
			return true;
		}
	}
	return false;
}

static bool
take_path(struct target *t, const struct key *k, struct str v)
{
	struct buf path = { 0 };

	if (str_starts(v, "~/") && t->home != NULL) {
		buf_adds(&path, t->home);
		v.p++;
		v.len--;
	} else if (!str_starts(v, "/")) {
		return false;
	}
	buf_addstr(&path, v);
	keys_put_text(field(t, k), buf_str(&path));
	buf_free(&path);
	return true;
}

static bool
take_ca_file(struct target *t, const struct key *k, struct str v)
{
	return str_is(v, "system") ? take_text(t, k, str_of("")) : take_path(t, k, v);
}

static bool
take_password(struct target *t, const struct key *k, struct str v)
{
	struct buf *password = field(t, k);

	buf_wipe(password);
	buf_addstr(password, v);
	return true;
}

static bool
take_address(struct target *t, const struct key *k, struct str v)
{
	struct buf spec = { 0 };
	struct why why = { 0 };
	bool good = address_parse_one(v, &spec, &why) == DONE && address_has_domain(buf_str(&spec));

	if (good)
		keys_put_text(field(t, k), buf_str(&spec));
	buf_free(&spec);
	return good;
}

/* "header" stands beside the addresses that `from` may be. */
static bool
take_from(struct target *t, const struct key *k, struct str v)
{
	t->c->smarthost.from_header = str_caseis(v, "header");
	if (t->c->smarthost.from_header || v.len == 0)
		return take_text(t, k, STR(""));
	return take_address(t, k, v);
}

/* Words of addresses in which `*` stands for anything; "*@example.com". */
static bool
take_patterns(struct target *t, const struct key *k, struct str v)
{
	char **patterns = field(t, k);
	struct buf all = { 0 };
	struct str word;
	bool good = true;

	if (t->more)
		buf_adds(&all, *patterns);
	while (keys_next_word(&v, &word)) {
		good = good && str_has(word, '@');
		buf_addf(&all, "%s%.*s", all.len > 0 ? " " : "", (int)word.len, word.p);
	}
	if (good)
		keys_put_text(patterns, buf_str(&all));
	buf_free(&all);
	return good;
}

/* Fingerprints of public keys, each a word. */
static bool
take_pin(struct target *t, const struct key *k, struct str v)
{
	unsigned char fingerprint[PIN_LEN];
	char **pins = field(t, k);
	struct buf all = { 0 };
	struct str word;
	bool good = true;

	if (t->more)
		buf_adds(&all, *pins);
	while (keys_next_word(&v, &word)) {
		good = good && pin_parse(word, fingerprint);
		buf_addf(&all, "%s%.*s", all.len > 0 ? " " : "", (int)word.len, word.p);
	}
	if (good)
		keys_put_text(pins, buf_str(&all));
	buf_free(&all);
	return good;
}

static bool
take_source(struct target *t, const struct key *k, struct str v)
{
	return host_is_address(v) && take_text(t, k, v);
}

static bool
take_rate(struct target *t, const struct key *k, struct str v)
{
	struct rate *rate = field(t, k), fresh = { 0 };

	if (v.len > 0 && !rate_parse(v, &fresh))
		return false;
	*rate = fresh;
	return true;
}

/* An address of a Unix socket, with room for a temporary name beside it. */
static bool
take_socket(struct target *t, const struct key *k, struct str v)
{
	return str_starts(v, "/") && v.p[v.len - 1] != '/' && v.len <= SOCKET_PATH_MAX &&
	    take_text(t, k, v);
}

static bool
take_group(struct target *t, const struct key *k, struct str v)
{
	for (size_t i = 0; i < v.len; i++)
		if (is_separator(v.p[i]) || v.p[i] == ':')
			return false;
	return v.len <= GROUP_MAX && take_text(t, k, v);
}

bool
keys_read_account(struct str word, char **name)
{
	for (size_t i = 0; i < word.len; i++) {
		char c = word.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    strchr("-_.", c) == NULL)
			return false;
	}
	if (word.len == 0 || word.len > KEYS_NAME_MAX)
		return false;
	keys_put_text(name, word);
	for (char *p = *name; *p != '\0'; p++)
		*p = lower(*p);
	return true;
}

static bool
take_account(struct target *t, const struct key *k, struct str v)
{
	return keys_read_account(v, field(t, k));
}

static bool
take_dots(struct target *t, const struct key *k, struct str v)
{
	bool *are_text = field(t, k);

	*are_text = str_caseis(v, "text");
	return *are_text || str_caseis(v, "classic");
}

static bool
take_arguments(struct target *t, const struct key *k, struct str v)
{
	bool *subtract = field(t, k);

	*subtract = str_caseis(v, "subtract");
	return *subtract || str_caseis(v, "add");
}

static bool
take_domain(struct target *t, const struct key *k, struct str v)
{
	return host_is_domain(v, true) && take_text(t, k, v);
}

static bool
take_hostname(struct target *t, const struct key *k, struct str v)
{
	return host_is_full_name(v) && take_text(t, k, v);
}

static bool
take_name(struct target *t, const struct key *k, struct str v)
{
	return host_is_server(v) && take_text(t, k, v);
}

/* A row's section and place. */
#define ACCOUNT(member) SECTION_SMARTHOST, offsetof(struct config, smarthost.member)
#define IDENTITY(member) SECTION_IDENTITY, offsetof(struct config, member)
#define QUEUE(member) SECTION_QUEUE, offsetof(struct config, member)
#define FACE(member) SECTION_SENDMAIL, offsetof(struct config, member)
#define SERVICE(member) SECTION_SERVICE, offsetof(struct config, service.member)

static const char form_steps[] = "up to 16 waiting times from 1s to 7d, such as 5m 30m 2h";
static const char form_rate[] = "a number and a time, such as 60/m";
static const char form_account[] = "the name of one account";
static const char form_path[] = "an absolute path, or one that begins with ~/";
static const char use_file[] = "write the password into a file and name it with password-file";
static const char use_script[] = "put a comment on a line of its own, or the command "
    "into a script";
static const char use_other_name[] = "put a comment on a line of its own, or give the "
    "file another name";

const struct key keys[KEYS] = {
	[KEY_HOST] = { "host", take_host, ACCOUNT(host), .list = true },
	[KEY_PORT] = { "port", take_number, ACCOUNT(port), 1, 65535, .normal = "587",
	    .form = "a number from 1 to 65535" },
	[KEY_TLS] = { "tls", take_tls, ACCOUNT(tls), .normal = "starttls",
	    .form = "starttls, implicit or none" },
	[KEY_TLS_NAME] = { "tls-name", take_name, ACCOUNT(tls_name),
	    .form = "a host name or address" },
	[KEY_TLS_CA_FILE] = { "tls-ca-file", take_ca_file, ACCOUNT(tls_ca_file),
	    .normal = "system", .form = "`system`, an absolute path, or one that begins with ~/",
	    .uncut = use_other_name },
	[KEY_AUTH] = { "auth", take_auth, ACCOUNT(auth), .normal = "auto",
	    .form = "auto, none, or a login by name: scram-sha-256, scram-sha-1 (both also with "
	    "-plus), plain, login, cram-md5, oauthbearer, xoauth2, external" },
	[KEY_USER] = { "user", take_text, ACCOUNT(user), .form = "a login" },
	[KEY_PASSWORD] = { "password", take_password, ACCOUNT(password), .uncut = use_file },
	[KEY_PASSWORD_FILE] = { "password-file", take_path, ACCOUNT(password_file),
	    .form = form_path, .uncut = use_other_name },
	[KEY_PASSWORD_COMMAND] = { "password-command", take_text, ACCOUNT(password_command),
	    .uncut = use_script },
	[KEY_TOKEN_COMMAND] = { "token-command", take_text, ACCOUNT(token_command),
	    .uncut = use_script },
	[KEY_TLS_PIN] = { "tls-pin", take_pin, ACCOUNT(tls_pin), .list = true,
	    .form = "sha256: and a public key's fingerprint, 64 hexadecimal digits or base64" },
	[KEY_TLS_CERT_FILE] = { "tls-cert-file", take_path, ACCOUNT(tls_cert_file),
	    .form = form_path, .uncut = use_other_name },
	[KEY_TLS_KEY_FILE] = { "tls-key-file", take_path, ACCOUNT(tls_key_file),
	    .form = form_path, .uncut = use_other_name },
	[KEY_FAMILY] = { "family", take_family, ACCOUNT(family), .normal = "any",
	    .form = "any, ipv4 or ipv6" },
	[KEY_SOURCE] = { "source", take_source, ACCOUNT(source),
	    .form = "an address of this machine, such as 192.0.2.1" },
	[KEY_FALLBACK] = { "fallback", take_account, ACCOUNT(fallback), .form = form_account },
	[KEY_SENT_TO] = { "recipients", take_patterns, ACCOUNT(recipients), .list = true,
	    .form = "addresses in which * stands for anything, such as *@example.com" },
	[KEY_CONNECTIONS] = { "connections", take_number, ACCOUNT(connections), 1, 100,
	    .normal = "2", .form = "a number from 1 to 100" },
	[KEY_KEEP_OPEN] = { "keep-open", take_duration, ACCOUNT(keep_open), 0, 600,
	    .normal = "2s", .form = "a time up to 10m, such as 2s, or 0" },
	[KEY_PIPELINE_DEPTH] = { "pipeline-depth", take_number, ACCOUNT(pipeline_depth), 1, 32,
	    .normal = "1", .form = "a number from 1 to 32" },
	[KEY_FROM] = { "from", take_from, ACCOUNT(from),
	    .form = "one address with a domain, such as me@example.com, or `header`" },
	[KEY_FORCE_FROM] = { "force-from", take_boolean, ACCOUNT(force_from), .normal = "no",
	    .form = "yes or no" },
	[KEY_SENDERS] = { "senders", take_patterns, ACCOUNT(senders), .list = true,
	    .form = "addresses in which * stands for anything, such as *@example.com" },
	[KEY_MESSAGES] = { "messages-per-connection", take_number,
	    ACCOUNT(messages_per_connection), 1, 100000, .normal = "100",
	    .form = "a number from 1 to 100000" },
	[KEY_RECIPIENTS] = { "recipients-per-message", take_number,
	    ACCOUNT(recipients_per_message), 1, 1000, .normal = "100",
	    .form = "a number from 1 to 1000" },
	[KEY_RATE] = { "rate", take_rate, ACCOUNT(rate), .form = form_rate },

	[KEY_DOMAIN] = { "domain", take_domain, IDENTITY(domain),
	    .form = "a domain, such as example.com" },
	[KEY_HOSTNAME] = { "hostname", take_hostname, IDENTITY(hostname),
	    .form = "a name with a domain, such as host.example.com, and not localhost" },
	[KEY_RECEIVED] = { "received", take_boolean, IDENTITY(received), .normal = "yes",
	    .form = "yes or no" },

	[KEY_ALIASES] = { "aliases", take_path, IDENTITY(aliases), .form = form_path,
	    .uncut = use_other_name },
	[KEY_ROOT] = { "root", take_address, IDENTITY(root),
	    .form = "one address with a domain, such as admin@example.com" },
	[KEY_REWRITE_TO] = { "rewrite-to", take_boolean, IDENTITY(rewrite_to), .normal = "no",
	    .form = "yes or no" },

	[KEY_DIRECTORY] = { "directory", take_path, QUEUE(directory), .form = form_path },
	[KEY_MAX_SIZE] = { "max-size", take_size, QUEUE(max_size), 1024, 1ull << 40,
	    .normal = "100M", .form = "a size from 1K to 1024G, such as 100M" },
	[KEY_MAX_RECIPIENTS] = { "max-recipients", take_number, QUEUE(max_recipients), 1,
	    ENVELOPE_RECIPIENTS_MAX, .normal = "10000", .form = "a number from 1 to 100000" },
	[KEY_WAIT] = { "wait", take_duration, QUEUE(wait), 0, DAY, .normal = "0",
	    .form = "a time up to 1d, such as 60s, or 0" },
	[KEY_RETRY] = { "retry", take_steps, QUEUE(retry), 1, 7 * DAY, true,
	    .normal = "1m 5m 15m 30m 1h 2h 3h", .form = form_steps },
	[KEY_RETRY_REFUSED] = { "retry-refused", take_steps, QUEUE(retry_refused), 1,
	    7 * DAY, true, .normal = "5m 15m 30m 1h 2h 3h", .form = form_steps },
	[KEY_GIVE_UP_AFTER] = { "give-up-after", take_duration, QUEUE(give_up_after), 1,
	    365 * DAY, .normal = "5d", .form = "a time from 1s to 365d, such as 5d" },
	[KEY_KEEP_FAILED] = { "keep-failed", take_duration, QUEUE(keep_failed), 1,
	    3650ull * DAY, .normal = "30d", .form = "a time from 1s to 3650d, such as 30d" },

	[KEY_DOTS] = { "dots", take_dots, FACE(dots_are_text), .normal = "classic",
	    .form = "classic or text" },
	[KEY_ARGUMENTS] = { "arguments", take_arguments, FACE(subtract), .normal = "add",
	    .form = "add or subtract" },

	[KEY_SOCKET] = { "socket", take_socket, SERVICE(socket), .normal = SUBPOST_SOCKET,
	    .form = "an absolute path of at most 100 octets", .uncut = use_other_name },
	[KEY_OPERATORS] = { "operators", take_group, SERVICE(operators),
	    .form = "the name of one group" },
	[KEY_USER_MESSAGES] = { "user-messages", take_number, SERVICE(user_messages), 1, 10000000,
	    .normal = "10000", .form = "a number from 1 to 10000000" },
	[KEY_USER_RATE] = { "user-rate", take_rate, SERVICE(user_rate), .form = form_rate },

	[KEY_USER_ACCOUNT] = { "smarthost", take_account, SECTION_USER,
	    offsetof(struct config, smarthost.name), .normal = "default", .form = form_account },
};

static const struct later_key later_keys[] = {
	{ "report-sender", SECTION_SMARTHOST, false },
	{ "warn-after", SECTION_QUEUE, false },
};

static const char *const section_names[SECTION_END] = {
	[SECTION_SMARTHOST] = "smarthost", [SECTION_IDENTITY] = "identity",
	[SECTION_QUEUE] = "queue", [SECTION_SENDMAIL] = "sendmail",
	[SECTION_SERVICE] = "service", [SECTION_USER] = "user NAME",
};

static bool
belongs(const struct key *k, enum section section)
{
	return k->section == section || (section == SECTION_USER &&
	    (k->section == SECTION_IDENTITY || k == &keys[KEY_FROM] || k == &keys[KEY_SENDERS]));
}

const struct key *
keys_find(enum section section, struct str name)
{
	for (size_t i = 0; i < KEYS; i++)
		if (belongs(&keys[i], section) && str_is(name, keys[i].name))
			return &keys[i];
	return NULL;
}

const struct later_key *
keys_find_later(enum section section, struct str name)
{
	for (size_t i = 0; i < COUNT(later_keys); i++)
		if (later_keys[i].section == section && str_is(name, later_keys[i].name))
			return &later_keys[i];
	return NULL;
}

enum section
keys_find_section(struct str name, struct str *whose)
{
	size_t n = 0;
	struct str word;

	while (n < name.len && name.p[n] != ' ' && name.p[n] != '\t')
		n++;
	word = str_from(name.p, n);
	*whose = str_trim(str_from(name.p + n, name.len - n));
	if (str_is(word, "user"))
		return SECTION_USER;
	for (enum section i = SECTION_SMARTHOST; i < SECTION_END; i++)
		if (str_is(whose->len > 0 && i == SECTION_SMARTHOST ? word : name, section_names[i]))
			return i;
	return SECTION_NOWHERE;
}

const char *
keys_section_name(enum section section)
{
	return section_names[section];
}

bool
keys_take(struct target *t, const struct key *k, struct str value, bool continued)
{
	t->more = continued && !t->emptied;
	t->emptied = value.len == 0;
	if (value.len == 0)
		value = str_of(k->normal);
	if (value.len == 0 && k->take != take_password && k->take != take_from &&
	    k->take != take_rate)
		return take_text(t, k, STR(""));
	return k->take(t, k, value);
}

void
keys_reset_account(struct config *c)
{
	for (enum key_id id = 0; id < KEYS; id++)
		if (keys[id].section == SECTION_SMARTHOST)
			keys_reset(c, id);
}

void
keys_reset(struct config *c, enum key_id id)
{
	struct target t = { .c = c };

	keys_take(&t, &keys[id], STR(""), false);
}

/* What was meant. */

const char *
keys_nearest(enum section section, struct str name)
{
	struct guess g = { 0 };

	for (size_t i = 0; i < KEYS; i++)
		if (belongs(&keys[i], section))
			guess_consider(&g, name, keys[i].name);
	for (size_t i = 0; i < COUNT(later_keys); i++)
		if (later_keys[i].section == section)
			guess_consider(&g, name, later_keys[i].name);
	return g.name;
}

const char *
keys_nearest_section(struct str name)
{
	static const char *const names[] = { "smarthost", "identity", "queue", "sendmail", "service",
		"user" };
	struct guess g = { 0 };

	for (size_t i = 0; i < COUNT(names); i++)
		guess_consider(&g, name, names[i]);
	return g.name;
}
