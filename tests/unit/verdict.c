/* verdict: whose trouble an answer is, and that a caller cannot steer it. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "verdict.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum outcome
judge(enum phase phase, const char *text, const struct str *said, size_t nsaid, struct why *why)
{
	struct reply r = { 0 };
	struct buf wire = { 0 };
	size_t used;
	enum outcome o;

	buf_addf(&wire, "%s\r\n", text);
	assert_int_equal(reply_feed(&r, buf_str(&wire), &used), REPLY_WHOLE);
	*why = (struct why){ 0 };
	o = verdict_of(phase, &r, said, nsaid, why);
	reply_free(&r);
	buf_free(&wire);
	return o;
}

struct row {
	enum phase phase;
	const char *reply;
	enum outcome outcome;
	enum scope scope;
};

static void
check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct why why;
		enum outcome o = judge(rows[i].phase, rows[i].reply, NULL, 0, &why);

		if (o != rows[i].outcome || why.scope != rows[i].scope)
			print_error("%s: %s: %s %s\n", phase_name(rows[i].phase), rows[i].reply,
			    outcome_name(o), scope_name(why.scope));
		assert_int_equal(o, rows[i].outcome);
		assert_int_equal(why.scope, rows[i].scope);
	}
}

#define CHECK(...) do { \
	static const struct row rows[] = { __VA_ARGS__ }; \
	(void)state; \
	check_rows(rows, COUNT(rows)); \
} while (0)

static void
before_mail_everything_is_the_servers_trouble(void **state)
{
	CHECK(
	    { PHASE_GREETING, "421 busy", LATER, SCOPE_SERVER },
	    { PHASE_GREETING, "450 later", LATER, SCOPE_SERVER },
	    { PHASE_GREETING, "521 no mail here", LATER, SCOPE_SERVER },
	    { PHASE_GREETING, "554 5.7.1 blocked", LATER, SCOPE_SERVER },
	    { PHASE_GREETING, "550 5.1.1 no such user", LATER, SCOPE_SERVER },
	    { PHASE_EHLO, "500 what", LATER, SCOPE_SERVER },
	    { PHASE_EHLO, "550 5.7.1 bad name", LATER, SCOPE_SERVER },
	    { PHASE_EHLO, "421 4.3.2 going down", LATER, SCOPE_SERVER },
	    { PHASE_STARTTLS, "454 4.7.0 TLS not available", LATER, SCOPE_SERVER },
	    { PHASE_STARTTLS, "502 no", LATER, SCOPE_SERVER },
	    { PHASE_STARTTLS, "354 go", LATER, SCOPE_SERVER });
}

static void
a_refused_login_never_bounces_whatever_the_code(void **state)
{
	CHECK(
	    { PHASE_AUTH, "535 5.7.8 Error: authentication failed", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "534 5.7.9 Application-specific password required", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "538 5.7.11 encryption required", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "530 5.7.0 no", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "525 5.7.13 Unauthorized IP address", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "550 5.7.30 Basic authentication is not supported", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "502 5.7.0 SMTP not activated", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "500 unknown", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "503 out of order", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "454 4.7.0 temporary authentication failure", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "451 Authentication failed: Maximum credits exceeded", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "454 4.7.0 Too many login attempts", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "421 4.7.0 go away", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "432 4.7.12 a password transition is needed", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "500 5.5.6 line too long", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "504 5.5.4 no such mechanism", LATER, SCOPE_ACCOUNT },
	    { PHASE_TOKEN, "535 5.7.3 Authentication unsuccessful", LATER, SCOPE_ACCOUNT },
	    { PHASE_TOKEN, "454 4.7.0 temporary authentication failure", LATER, SCOPE_ACCOUNT },
	    { PHASE_TOKEN, "550 5.7.30 no", LATER, SCOPE_ACCOUNT },
	    { PHASE_AUTH, "235 2.7.0 too early", LATER, SCOPE_ACCOUNT });
}

static void
what_is_said_of_one_recipient_is_the_recipients(void **state)
{
	CHECK(
	    { PHASE_RCPT, "550 5.1.1 no such user", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "550 5.1.2 no such domain", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "553 5.1.3 bad address syntax", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "554 5.1.8 odd", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "550 5.1.1 access denied, sending limit, relay access denied", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "550 no", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "551 user not local; please try <x@y>", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "599 odd", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "450 4.2.0 Greylisted, try again in 300 seconds", LATER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "451 4.7.1 Greylisting in action", LATER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "450 graylisted", LATER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "452 4.2.2 mailbox full", LATER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "552 5.2.2 mailbox full", NEVER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "452 4.5.3 too many recipients", LATER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "552 too many recipients", LATER, SCOPE_RECIPIENT },
	    { PHASE_RCPT, "450 4.1.8 sender domain not found now", LATER, SCOPE_RECIPIENT });
}

static void
quota_pace_and_blocks_are_the_accounts_and_never_bounce(void **state)
{
	CHECK(
	    { PHASE_TEXT, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "432 4.3.2 slow down", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "450 too many connections", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "451 4.7.0 too many concurrent sessions", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "454 Throttling failure: Maximum sending rate exceeded", LATER, SCOPE_ACCOUNT },
	    { PHASE_DATA, "454 Throttling failure: Daily message quota exceeded", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "530 5.7.0 Authentication required", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "530 5.7.57 Client not authenticated to send mail", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "550 5.7.30 Basic authentication is not supported", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "550 5.7.30 REQUIRETLS support required", NEVER, SCOPE_MESSAGE },
	    { PHASE_TEXT, "554 5.7.30 RequireTLS needed", NEVER, SCOPE_MESSAGE },
	    { PHASE_RCPT, "550 5.7.30 REQUIRETLS support required", NEVER, SCOPE_RECIPIENT },
	    { PHASE_TEXT, "550 5.2.251 throttled", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "550 5.2.252 throttled", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "550 5.2.254 throttled", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "550 5.2.255 throttled", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "550 5.4.5 Daily sending quota exceeded", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "554 5.2.0 STOREDRV; SubmissionQuotaExceededException", LATER, SCOPE_ACCOUNT },
	    { PHASE_RCPT, "550 Domain x has exceeded the max emails per hour (100) allowed", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "550 Sending limit reached", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "550 5.4.6 Unusual sending activity detected", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "554 5.1.8 Sender Address Blocked", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "550 account suspended", LATER, SCOPE_ACCOUNT },
	    { PHASE_MAIL, "550 Account locked", LATER, SCOPE_ACCOUNT },
	    { PHASE_TEXT, "554 Access denied: user is not authorized to perform ses:SendRawEmail", LATER, SCOPE_ACCOUNT },
	    { PHASE_RCPT, "554 5.7.1 Relay access denied", LATER, SCOPE_ACCOUNT },
	    { PHASE_RCPT, "550 5.7.1 Relaying denied", LATER, SCOPE_ACCOUNT },
	    { PHASE_RCPT, "550 5.7.54 unable to relay recipient in non-accepted domain", LATER, SCOPE_ACCOUNT });
}

static void
a_sender_that_the_account_may_not_use_is_the_senders_trouble(void **state)
{
	CHECK(
	    { PHASE_TEXT, "554 5.2.252 SendAsDenied; u not allowed to send as f", LATER, SCOPE_SENDER },
	    { PHASE_MAIL, "550 5.7.60 Client does not have permissions to send as this sender", LATER, SCOPE_SENDER },
	    { PHASE_RCPT, "553 5.7.1 Sender address rejected: not owned by user u", LATER, SCOPE_SENDER },
	    { PHASE_TEXT, "550 The from address does not match a verified Sender Identity", LATER, SCOPE_SENDER },
	    { PHASE_TEXT, "554 Message rejected: Email address is not verified.", LATER, SCOPE_SENDER },
	    { PHASE_MAIL, "553 Not authorised to send from this address", LATER, SCOPE_SENDER },
	    { PHASE_MAIL, "553 Not authorized to send from this address", LATER, SCOPE_SENDER },
	    { PHASE_TEXT, "553 Relaying disallowed as u", LATER, SCOPE_SENDER },
	    { PHASE_MAIL, "553 5.1.7 bad sender", LATER, SCOPE_SENDER },
	    { PHASE_MAIL, "550 5.1.8 bad sender domain", LATER, SCOPE_SENDER },
	    { PHASE_MAIL, "550 5.7.1 policy", LATER, SCOPE_SENDER });
}

static void
what_is_said_of_the_message_is_the_messages(void **state)
{
	CHECK(
	    { PHASE_MAIL, "552 5.3.4 message too big", NEVER, SCOPE_MESSAGE },
	    { PHASE_MAIL, "550 no", NEVER, SCOPE_MESSAGE },
	    { PHASE_MAIL, "451 later", LATER, SCOPE_MESSAGE },
	    { PHASE_DATA, "554 5.5.1 no", NEVER, SCOPE_MESSAGE },
	    { PHASE_DATA, "451 4.3.0 later", LATER, SCOPE_MESSAGE },
	    { PHASE_TEXT, "552 5.3.4 size", NEVER, SCOPE_MESSAGE },
	    { PHASE_TEXT, "552 5.2.3 size", NEVER, SCOPE_MESSAGE },
	    { PHASE_TEXT, "550 5.7.1 spam", NEVER, SCOPE_MESSAGE },
	    { PHASE_TEXT, "554 5.7.0 policy", NEVER, SCOPE_MESSAGE },
	    { PHASE_TEXT, "459 odd", LATER, SCOPE_MESSAGE },
	    { PHASE_TEXT, "451 4.7.1 try again later", LATER, SCOPE_MESSAGE });
}

static void
a_421_and_a_broken_step_are_the_servers_trouble_in_every_phase(void **state)
{
	CHECK(
	    { PHASE_MAIL, "421 4.7.0 bye", LATER, SCOPE_SERVER },
	    { PHASE_RCPT, "421 bye", LATER, SCOPE_SERVER },
	    { PHASE_DATA, "421 bye", LATER, SCOPE_SERVER },
	    { PHASE_TEXT, "421 bye", LATER, SCOPE_SERVER },
	    { PHASE_MAIL, "503 5.5.1 nested MAIL", LATER, SCOPE_SERVER },
	    { PHASE_RCPT, "503 need MAIL", LATER, SCOPE_SERVER },
	    { PHASE_DATA, "503 need RCPT", LATER, SCOPE_SERVER },
	    { PHASE_TEXT, "500 what", LATER, SCOPE_SERVER },
	    { PHASE_MAIL, "451 4.3.0 local error", LATER, SCOPE_SERVER },
	    { PHASE_MAIL, "451 4.4.1 no route", LATER, SCOPE_SERVER },
	    { PHASE_MAIL, "450 4.7.1 slow down", LATER, SCOPE_SERVER },
	    { PHASE_RCPT, "450 4.7.1 slow down", LATER, SCOPE_SERVER });
}

static void
a_yes_in_the_wrong_place_is_no_yes(void **state)
{
	CHECK(
	    { PHASE_MAIL, "354 go ahead", LATER, SCOPE_SERVER },
	    { PHASE_RCPT, "354 go ahead", LATER, SCOPE_SERVER },
	    { PHASE_DATA, "250 ok", LATER, SCOPE_SERVER },
	    { PHASE_DATA, "334 VXNlcm5hbWU6", LATER, SCOPE_SERVER },
	    { PHASE_TEXT, "354 go ahead", LATER, SCOPE_SERVER });
}

struct hint {
	enum phase phase;
	const char *reply;
	enum outcome outcome;
	enum scope scope;
	const char *hint;       /* a part of what stands behind the server's words; NULL: nothing does */
};

/* What they really say, as captured or documented. */
static void
providers_are_understood(void **state)
{
	static const struct hint rows[] = {
		/* Google */
		{ PHASE_AUTH, "535-5.7.8 Username and Password not accepted. For more information, go to\r\n"
		    "535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp",
		    LATER, SCOPE_ACCOUNT, "without spaces" },
		{ PHASE_AUTH, "534-5.7.9 Application-specific password required.\r\n534 5.7.9 https://x - gsmtp",
		    LATER, SCOPE_ACCOUNT, "app password" },
		{ PHASE_AUTH, "534-5.7.14 <https://accounts.google.com/signin/continue?x> Please log in via your web\r\n"
		    "534-5.7.14 browser and then try again.\r\n534 5.7.14 x - gsmtp", LATER, SCOPE_ACCOUNT, "web browser" },
		{ PHASE_AUTH, "454 4.7.0 Too many login attempts, please try again later. x - gsmtp",
		    LATER, SCOPE_ACCOUNT, "counts logins" },
		{ PHASE_GREETING, "421-4.4.5 Server busy, try again later. (smtp.gmail.com)\r\n421 4.4.5 x",
		    LATER, SCOPE_SERVER, NULL },
		{ PHASE_EHLO, "421 4.7.0 Try again later, closing connection. (EHLO) x - gsmtp", LATER, SCOPE_SERVER, NULL },
		{ PHASE_MAIL, "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\r\n"
		    "550 5.4.5 sending limits go to https://x - gsmtp", LATER, SCOPE_ACCOUNT, "limit is reached" },
		{ PHASE_RCPT, "450 4.2.1 The user you are trying to contact is receiving mail too quickly.",
		    LATER, SCOPE_RECIPIENT, NULL },
		{ PHASE_RCPT, "450 4.2.1 Peak SMTP relay limit exceeded for this customer", LATER, SCOPE_ACCOUNT, "limit" },
		{ PHASE_MAIL, "550 5.7.1 Daily SMTP relay limit exceeded for user", LATER, SCOPE_ACCOUNT, "limit" },
		{ PHASE_MAIL, "550-5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address you've\r\n"
		    "550 5.7.1 registered in your Workspace SMTP Relay service doesn't match", LATER, SCOPE_ACCOUNT, "register" },
		{ PHASE_MAIL, "530-5.7.0 Must issue a STARTTLS command first. x\r\n530 5.7.0 y", LATER, SCOPE_ACCOUNT,
		    "starttls" },
		{ PHASE_MAIL, "530-5.5.1 Authentication Required. For more information, go to\r\n530 5.5.1 x",
		    LATER, SCOPE_ACCOUNT, "login before it relays" },
		{ PHASE_TEXT, "552-5.2.3 Your message exceeded Google's message size limits.\r\n552 5.2.3 x",
		    NEVER, SCOPE_MESSAGE, NULL },
		{ PHASE_TEXT, "550-5.7.1 [192.0.2.1 12] Our system has detected that this message is\r\n"
		    "550 5.7.1 likely unsolicited mail.", NEVER, SCOPE_MESSAGE, NULL },
		/* Microsoft */
		{ PHASE_AUTH, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
		    "Mailbox. [x.prod.outlook.com]", LATER, SCOPE_ACCOUNT, "admin" },
		{ PHASE_AUTH, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security "
		    "defaults policy. Contact your administrator.", LATER, SCOPE_ACCOUNT, "xoauth2" },
		{ PHASE_AUTH, "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be "
		    "authenticated successfully.", LATER, SCOPE_ACCOUNT, "xoauth2" },
		{ PHASE_AUTH, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
		    LATER, SCOPE_ACCOUNT, "takes no passwords" },
		{ PHASE_AUTH, "550 5.7.30 Basic authentication is not supported for Client Submission.",
		    LATER, SCOPE_ACCOUNT, "takes no passwords" },
		{ PHASE_AUTH, "535 5.7.3 Authentication unsuccessful [x.prod.outlook.com]", LATER, SCOPE_ACCOUNT, "token" },
		{ PHASE_MAIL, "530 5.7.57 Client not authenticated to send mail. [x]", LATER, SCOPE_ACCOUNT, "login" },
		{ PHASE_TEXT, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded; [Hostname=x]",
		    LATER, SCOPE_ACCOUNT, "connections" },
		{ PHASE_MAIL, "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
		    LATER, SCOPE_ACCOUNT, "rate" },
		{ PHASE_TEXT, "554 5.2.252 SendAsDenied; u@x not allowed to send as f@y; STOREDRV.Submission.Exception:"
		    "SendAsDeniedException.MapiExceptionSendAsDenied", LATER, SCOPE_SENDER, "force-from = yes" },
		{ PHASE_TEXT, "550 5.2.252 Sender throttled due to continuous send as denied errors.",
		    LATER, SCOPE_ACCOUNT, "throttled the account" },
		{ PHASE_TEXT, "550 5.2.253 Sender throttled due to continuous invalid license errors.",
		    LATER, SCOPE_ACCOUNT, "throttled the account" },
		{ PHASE_MAIL, "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
		    LATER, SCOPE_SENDER, "force-from" },
		{ PHASE_TEXT, "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process",
		    LATER, SCOPE_ACCOUNT, "limit is reached" },
		{ PHASE_TEXT, "451 4.7.500 Access denied, please try again later", LATER, SCOPE_ACCOUNT, NULL },
		{ PHASE_TEXT, "552 5.3.4 Message size exceeds fixed maximum message size", NEVER, SCOPE_MESSAGE, NULL },
		{ PHASE_TEXT, "550 5.7.515 Access denied, sending domain x does not meet the required authentication level",
		    NEVER, SCOPE_MESSAGE, NULL },
		{ PHASE_RCPT, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", LATER, SCOPE_ACCOUNT,
		    "login" },
		{ PHASE_RCPT, "550 5.7.1 Unable to relay", LATER, SCOPE_ACCOUNT, "login" },
		{ PHASE_RCPT, "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", NEVER, SCOPE_RECIPIENT,
		    NULL },
		{ PHASE_MAIL, "452 4.3.1 Insufficient system resources", LATER, SCOPE_SERVER, NULL },
		/* Amazon, SendGrid, Mailgun, Postmark and the like */
		{ PHASE_TEXT, "454 Throttling failure: Maximum sending rate exceeded.", LATER, SCOPE_ACCOUNT, "rate" },
		{ PHASE_TEXT, "454 Throttling failure: Daily message quota exceeded.", LATER, SCOPE_ACCOUNT, "limit" },
		{ PHASE_TEXT, "554 Message rejected: Email address is not verified. The following identities failed the "
		    "check in region EU-WEST-1: f@y", LATER, SCOPE_SENDER, "verify the address" },
		{ PHASE_TEXT, "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform "
		    "`ses:SendRawEmail' on resource `arn'", LATER, SCOPE_ACCOUNT, "may not send" },
		{ PHASE_TEXT, "554 Message rejected: Sending paused for this account. For more information, please check the "
		    "inbox", LATER, SCOPE_ACCOUNT, "blocked" },
		{ PHASE_AUTH, "535 Authentication Credentials Invalid", LATER, SCOPE_ACCOUNT, "check user and password" },
		{ PHASE_AUTH, "451 Authentication failed: Maximum credits exceeded", LATER, SCOPE_ACCOUNT, "credits" },
		{ PHASE_TEXT, "550 The from address does not match a verified Sender Identity. Mail cannot be sent until "
		    "this error is resolved.", LATER, SCOPE_SENDER, "verify the sender" },
		{ PHASE_MAIL, "421 Domain x.example is not allowed to send: disabled", LATER, SCOPE_ACCOUNT, "blocked" },
		{ PHASE_MAIL, "550 sender not validated", LATER, SCOPE_SENDER, "verify the sender" },
		{ PHASE_GREETING, "554 Too many failed login requests from IP. Try again later. #MS-ST-B",
		    LATER, SCOPE_ACCOUNT, "locked us out" },
		{ PHASE_AUTH, "525 5.7.1 Unauthorized IP address", LATER, SCOPE_ACCOUNT, "this machine's address" },
		{ PHASE_AUTH, "502 5.7.0 Your SMTP account is not yet activated", LATER, SCOPE_ACCOUNT, "activated with" },
		/* Mailbox providers */
		{ PHASE_TEXT, "551 5.7.1 Not authorised to send from this header address", LATER, SCOPE_SENDER, "force-from" },
		{ PHASE_TEXT, "550 5.7.0 From address is not one of your addresses", LATER, SCOPE_SENDER, "force-from" },
		{ PHASE_AUTH, "535 5.7.0 (#AUTH005) Too many bad auth attempts.", LATER, SCOPE_ACCOUNT, "counts logins" },
		{ PHASE_TEXT, "554 5.7.9 Message not accepted for policy reasons", NEVER, SCOPE_MESSAGE, NULL },
		{ PHASE_AUTH, "454 4.7.0 Temporary authentication failure: Connection lost to authentication server",
		    LATER, SCOPE_ACCOUNT, "may be right" },
		{ PHASE_AUTH, "535 Authentication credentials invalid", LATER, SCOPE_ACCOUNT, "web settings" },
		{ PHASE_MAIL, "550-Requested action not taken: mailbox unavailable\r\n550 Sender address is not allowed.",
		    LATER, SCOPE_SENDER, "force-from" },
		{ PHASE_TEXT, "554-Transaction failed\r\n554 Reject due to policy restrictions.", NEVER, SCOPE_MESSAGE, NULL },
		{ PHASE_MAIL, "553 Relaying disallowed as f@y", LATER, SCOPE_SENDER, "force-from" },
		{ PHASE_MAIL, "553 Sender is not allowed to relay emails", LATER, SCOPE_SENDER, "force-from" },
		{ PHASE_TEXT, "550 5.4.6 Unusual sending activity detected. Please try after sometime.",
		    LATER, SCOPE_ACCOUNT, "blocked" },
		{ PHASE_TEXT, "554 5.1.8 Sender Address Blocked", LATER, SCOPE_ACCOUNT, "blocked" },
		/* Postfix, Exim */
		{ PHASE_STARTTLS, "454 4.7.0 TLS not available due to local problem", LATER, SCOPE_SERVER, NULL },
		{ PHASE_RCPT, "454 4.7.1 <r@z>: Relay access denied", LATER, SCOPE_ACCOUNT, "login" },
		{ PHASE_RCPT, "554 5.7.1 <r@z>: Relay access denied", LATER, SCOPE_ACCOUNT, "login" },
		{ PHASE_RCPT, "553 5.7.1 <f@y>: Sender address rejected: not owned by user u", LATER, SCOPE_SENDER,
		    "force-from" },
		{ PHASE_RCPT, "450 4.7.1 <r@z>: Recipient address rejected: Greylisted for 300 seconds",
		    LATER, SCOPE_RECIPIENT, NULL },
		{ PHASE_MAIL, "452 4.3.1 Insufficient system storage", LATER, SCOPE_SERVER, NULL },
		{ PHASE_RCPT, "452 4.5.3 Error: too many recipients", LATER, SCOPE_RECIPIENT, NULL },
		{ PHASE_MAIL, "450 4.7.1 Error: too much mail from 192.0.2.1", LATER, SCOPE_ACCOUNT, "rate" },
		{ PHASE_MAIL, "552 5.3.4 Message size exceeds fixed limit", NEVER, SCOPE_MESSAGE, NULL },
		{ PHASE_RCPT, "550 5.4.5 <r@z>: Recipient address rejected: Domain Sending Quota Exceeded",
		    LATER, SCOPE_ACCOUNT, "limit" },
		{ PHASE_RCPT, "554 5.7.1 <r@z>: Recipient address rejected: Quota exceeded", LATER, SCOPE_ACCOUNT, "limit" },
		{ PHASE_RCPT, "552 5.2.2 <r@z>: Quota exceeded (mailbox for user is full)", NEVER, SCOPE_RECIPIENT, NULL },
		{ PHASE_RCPT, "554 5.7.1 <r@z>: Recipient address rejected: Access denied", NEVER, SCOPE_RECIPIENT, NULL },
		{ PHASE_RCPT, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org",
		    LATER, SCOPE_SERVER, "list" },
		{ PHASE_RCPT, "554 5.7.1 <host[192.0.2.1]>: Client host rejected: Access denied", LATER, SCOPE_ACCOUNT, "login" },
		{ PHASE_RCPT, "550 5.2.1 The email account that you tried to reach has been disabled", NEVER,
		    SCOPE_RECIPIENT, NULL },
		{ PHASE_RCPT, "550 Domain x.example has exceeded the max emails per hour (5/5 (100%)) allowed.  Message "
		    "discarded.", LATER, SCOPE_ACCOUNT, "limit" },
		{ PHASE_AUTH, "535 Incorrect authentication data", LATER, SCOPE_ACCOUNT, "check user and password" },
		{ PHASE_MAIL, "421 Too many concurrent SMTP connections; please try again later.", LATER, SCOPE_ACCOUNT,
		    "connections" },
		{ PHASE_RCPT, "552 5.3.4 message size exceeds what the recipient takes", NEVER, SCOPE_MESSAGE, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct why why;
		enum outcome o = judge(rows[i].phase, rows[i].reply, NULL, 0, &why);
		const char *behind = strrchr(why.text, ';');

		if (o != rows[i].outcome || why.scope != rows[i].scope || (rows[i].hint != NULL &&
		    (behind == NULL || strstr(why.text, rows[i].hint) == NULL)))
			print_error("%s: %s: %s %s: %s\n", phase_name(rows[i].phase), rows[i].reply,
			    outcome_name(o), scope_name(why.scope), why.text);
		assert_int_equal(o, rows[i].outcome);
		assert_int_equal(why.scope, rows[i].scope);
		assert_true(rows[i].hint == NULL || strstr(why.text, rows[i].hint) != NULL);
	}
}

static void
words_are_found_without_case_and_in_every_line(void **state)
{
	CHECK(
	    { PHASE_MAIL, "550-Hello\r\n550-your SENDING LIMIT\r\n550 is reached", LATER, SCOPE_ACCOUNT },
	    { PHASE_RCPT, "450-4.2.0 please wait\r\n450 4.2.0 GreyListed", LATER, SCOPE_RECIPIENT },
	    { PHASE_TEXT, "554-x\r\n554 SendAsDenied", LATER, SCOPE_SENDER });
}

static void
only_recipient_and_message_trouble_can_be_final(void **state)
{
	static const char *const stati[] = { "", " 5.1.1", " 5.1.8", " 5.2.2", " 5.3.4", " 5.5.1",
		" 5.7.1", " 5.7.8", " 5.9.9" };

	(void)state;
	for (enum phase phase = PHASE_GREETING; phase <= PHASE_TEXT; phase++) {
		for (int code = 200; code <= 599; code++) {
			for (size_t i = 0; i < COUNT(stati); i++) {
				char text[40];
				struct why why;
				enum outcome o;

				snprintf(text, sizeof text, "%d%s x", code, stati[i]);
				o = judge(phase, text, NULL, 0, &why);
				assert_true(o == LATER || o == NEVER);
				if (o == NEVER)
					assert_true(code >= 500 && phase >= PHASE_MAIL &&
					    (why.scope == SCOPE_MESSAGE || why.scope == SCOPE_RECIPIENT));
			}
		}
	}
}

static void
the_reason_has_phase_code_status_and_the_servers_words(void **state)
{
	struct why why;

	(void)state;
	judge(PHASE_RCPT, "550-5.1.1 no\r\n550 5.1.1 such user", NULL, 0, &why);
	assert_int_equal(why.code, 550);
	assert_string_equal(why.status, "5.1.1");
	assert_string_equal(why.text, "RCPT answered: 550 5.1.1 no such user");
	judge(PHASE_TEXT, "554 nothing", NULL, 0, &why);
	assert_string_equal(why.status, "");
	assert_string_equal(why.text, "the final dot answered: 554 nothing");
}

static void
a_hint_stands_behind_the_servers_words(void **state)
{
	struct why why;

	(void)state;
	judge(PHASE_AUTH, "535 5.7.8 no", NULL, 0, &why);
	assert_non_null(strstr(why.text, "535 5.7.8 no; "));
	assert_non_null(strstr(why.text, "password"));
	judge(PHASE_AUTH, "534 5.7.9 Application-specific password required", NULL, 0, &why);
	assert_non_null(strstr(why.text, "app password"));
}

static void
a_long_answer_still_leaves_room_for_the_hint(void **state)
{
	struct buf text = { 0 };
	struct why why;

	(void)state;
	buf_adds(&text, "535 ");
	for (size_t i = 0; i < 3000; i++)
		buf_addc(&text, 'x');
	judge(PHASE_AUTH, buf_c(&text), NULL, 0, &why);
	assert_non_null(strstr(why.text, "; check user and password"));
	buf_free(&text);
}

static void
hostile_words_are_masked_in_the_reason(void **state)
{
	struct why why;

	(void)state;
	judge(PHASE_TEXT, "550 \x1b]0;x\x07 \r \xe2\x80\xae %n%s\xff", NULL, 0, &why);
	for (const char *p = why.text; *p != '\0'; p++)
		assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
	assert_null(strstr(why.text, "\xe2\x80\xae"));
	assert_non_null(strstr(why.text, "%n%s"));
}

/* ---- steering ---- */

/* What a caller would like the server to say. */
static const char *const table_words[] = {
	"greylist", "graylist", "credits exceeded", "too many login", "application-specific",
	"smtpclientauthentication is disabled", "thread limit", "too many connections", "concurrent",
	"throttling failure", "daily message quota", "throttled", "submissionquotaexceeded",
	"exceeded the max emails per hour", "sending limit", "sending quota", "unusual sending",
	"account suspended", "account locked", "access denied", "relay access denied",
	"relaying denied", "sendasdenied", "not owned by user", "not allowed to send as",
	"verified sender", "address is not verified", "authorised to send from",
	"authorized to send from", "relaying disallowed as", "relay limit exceeded", "failed login",
	"too many bad auth", "username and password not accepted", "security defaults", "did not meet the criteria",
	"basic authentication is disabled", "activated", "credentials invalid", "submission rate", "too much mail",
	"too many messages", "not allowed to send", "starttls", "requiretls", "quota exceeded", "account has been",
	"sending paused", "authorized to perform", "blocked using", "client host rejected", "unable to relay",
	"relay not permitted", "credentials for relay", "allowed to send as", "permissions to send as",
	"sender not validated", "sender is not allowed", "sender address rejected", "sender address is not allowed",
	"not one of your addresses",
};

/* How servers echo it; one %s.  The forty of them are these times the shapes. */
static const char *const echoes[] = {
	"<%s>: rejected", "<%s>", "address <%s> refused <%s>", "RCPT TO:<%s>", "%s: rejected",
	"rejected: %s", "no such user %s here", "%s %s", "(%s)", "\"%s\" rejected",
};

/* An address made of a word: what its local part may look like. */
static const char *const shapes[] = {
	"\"%s\"@x.example", "\"a>%s\"@x.example", "\"%s<\"@x.example", "\"<%s>\"@x.example",
	"\"><%s\"@x.example",
};

static void
put_echo(struct buf *out, const char *echo, const char *address)
{
	for (const char *p = echo; *p != '\0'; p++) {
		if (p[0] == '%' && p[1] == 's') {
			buf_adds(out, address);
			p++;
		} else {
			buf_addc(out, *p);
		}
	}
}

/* The same answer with and without the address: it must not matter. */
static void
check_steering(enum phase phase, const char *start, const char *echo, const char *address)
{
	struct buf with = { 0 }, without = { 0 };
	const struct str said[] = { str_of("other@y.example"), str_of(address) };
	struct why a, b;
	enum outcome oa, ob;

	buf_adds(&with, start);
	buf_adds(&without, start);
	put_echo(&with, echo, address);
	put_echo(&without, echo, "");
	oa = judge(phase, buf_c(&with), said, 2, &a);
	ob = judge(phase, buf_c(&without), said, 2, &b);
	if (oa != ob || a.scope != b.scope)
		print_error("%s: %s\n", phase_name(phase), buf_c(&with));
	assert_int_equal(oa, ob);
	assert_int_equal(a.scope, b.scope);
	buf_free(&with);
	buf_free(&without);
}

static void
check_all_echoes(const char *shape, bool upper)
{
	static const struct {
		enum phase phase;
		const char *start;
	} answers[] = {
		{ PHASE_MAIL, "550 " }, { PHASE_MAIL, "450 " }, { PHASE_RCPT, "550 " }, { PHASE_RCPT, "450 4.7.1 " },
		{ PHASE_RCPT, "554 5.7.1 " }, { PHASE_RCPT, "451 " }, { PHASE_TEXT, "554 5.6.0 " },
		{ PHASE_TEXT, "454 " }, { PHASE_TEXT, "550 5.2.252 " }, { PHASE_DATA, "554 " },
		{ PHASE_TEXT, "550 5.4.6 " },
	};

	for (size_t w = 0; w < COUNT(table_words); w++) {
		struct buf address = { 0 };

		put_echo(&address, shape, table_words[w]);
		for (size_t i = 0; upper && i < address.len; i++)
			if (address.p[i] >= 'a' && address.p[i] <= 'z')
				address.p[i] = (char)(address.p[i] - 'a' + 'A');
		for (size_t e = 0; e < COUNT(echoes); e++)
			for (size_t i = 0; i < COUNT(answers); i++)
				check_steering(answers[i].phase, answers[i].start, echoes[e], buf_c(&address));
		buf_free(&address);
	}
}

static void
an_address_made_of_table_words_does_not_move_the_verdict(void **state)
{
	(void)state;
	check_all_echoes(shapes[0], false);
	check_all_echoes(shapes[0], true);
}

static void
brackets_inside_a_quoted_local_part_do_not_open_the_way(void **state)
{
	(void)state;
	for (size_t i = 1; i < COUNT(shapes); i++)
		check_all_echoes(shapes[i], false);
}

static void
an_address_that_is_echoed_in_another_case_is_cut_out_too(void **state)
{
	const struct str said[] = { STR("\"Sending Limit\"@X.example") };
	struct why why;

	(void)state;
	assert_int_equal(judge(PHASE_RCPT, "550 \"sending LIMIT\"@x.EXAMPLE unknown", said, 1, &why), NEVER);
	assert_int_equal(why.scope, SCOPE_RECIPIENT);
}

static void
an_echo_that_was_cut_short_inside_brackets_does_not_move_the_verdict(void **state)
{
	const struct str said[] = { STR("\"sending limit\"@a-very-long-domain.example") };
	struct why why;

	(void)state;
	assert_int_equal(judge(PHASE_RCPT, "550 unknown: <\"sending limit\"@a-very-lo", said, 1, &why), NEVER);
	assert_int_equal(why.scope, SCOPE_RECIPIENT);
}

static void
cutting_an_address_out_makes_no_word_of_its_two_sides(void **state)
{
	const struct str said[] = { STR("x@y") };
	struct why why;

	(void)state;
	assert_int_equal(judge(PHASE_RCPT, "550 sendx@ying limit", said, 1, &why), NEVER);
	assert_int_equal(judge(PHASE_RCPT, "550 send<z@y>ing limit", said, 1, &why), NEVER);
	assert_int_equal(why.scope, SCOPE_RECIPIENT);
}

static void
a_dashed_address_of_all_words_does_not_move_the_verdict(void **state)
{
	(void)state;
	for (size_t e = 0; e < COUNT(echoes); e++) {
		check_steering(PHASE_RCPT, "550 5.7.1 ", echoes[e], "greylist-not-owned-by-user-sending-limit@x");
		check_steering(PHASE_RCPT, "450 ", echoes[e], "greylist-not-owned-by-user-sending-limit@x");
		check_steering(PHASE_TEXT, "554 ", echoes[e], "sendasdenied-submissionquotaexceeded@x");
		check_steering(PHASE_TEXT, "454 ", echoes[e], "concurrent@x");
	}
}

static void
the_servers_own_words_beside_an_address_still_count(void **state)
{
	const struct str said[] = { STR("a@x"), STR("") };
	struct why why;

	(void)state;
	judge(PHASE_RCPT, "553 5.7.1 <a@x>: Sender address rejected: not owned by user <u@y>", said, 2, &why);
	assert_int_equal(why.scope, SCOPE_SENDER);
	judge(PHASE_MAIL, "550 a@x: sending limit reached", said, 2, &why);
	assert_int_equal(why.scope, SCOPE_ACCOUNT);
}

/* Answers as servers give them, with what they make of an address in the place of %s:
 * whole, in brackets, without its quotes, its domain alone, half of it. */
static const struct {
	enum phase phase;
	const char *reply;
} hostile[] = {
	{ PHASE_RCPT, "550 5.1.1 <%a>: Recipient address rejected: User unknown" },
	{ PHASE_RCPT, "550 5.1.1 %a... User unknown" },
	{ PHASE_RCPT, "550 unknown user %a" },
	{ PHASE_RCPT, "550 No such user: %l" },
	{ PHASE_RCPT, "550 No such user: \"%l\"" },
	{ PHASE_RCPT, "550 %l at %d is not known here" },
	{ PHASE_RCPT, "550 host %d said: no" },
	{ PHASE_RCPT, "550 5.7.1 %a refused" },
	{ PHASE_RCPT, "554 5.7.1 <%a>: Recipient address rejected: no" },
	{ PHASE_RCPT, "554 %d: no route" },
	{ PHASE_RCPT, "551 User not local; try <%a>" },
	{ PHASE_RCPT, "553 5.1.3 bad address: %h" },
	{ PHASE_RCPT, "550-5.1.1 the address\r\n550-5.1.1 %a\r\n550 5.1.1 is not here" },
	{ PHASE_RCPT, "550 <%h" },
	{ PHASE_RCPT, "550 (%a)" },
	{ PHASE_RCPT, "550 mailto:%a" },
	{ PHASE_RCPT, "550 SRS0=x=%d=%l@srs.example" },
	{ PHASE_RCPT, "450 4.1.2 <%a>: Domain not found" },
	{ PHASE_RCPT, "450 %a is busy" },
	{ PHASE_RCPT, "450 4.7.1 %l" },
	{ PHASE_RCPT, "451 4.3.0 %d: temporary lookup failure" },
	{ PHASE_RCPT, "452 4.2.2 mailbox %l is full" },
	{ PHASE_RCPT, "552 5.2.2 mailbox %a is full" },
	{ PHASE_MAIL, "550 <%a>: refused" },
	{ PHASE_MAIL, "550 %l" },
	{ PHASE_MAIL, "553 5.5.2 %h is no address" },
	{ PHASE_MAIL, "450 <%a>: later" },
	{ PHASE_MAIL, "451 %d does not resolve" },
	{ PHASE_MAIL, "552 5.3.4 %a: too large" },
	{ PHASE_MAIL, "421 4.3.2 %l" },
	{ PHASE_DATA, "554 5.5.1 no valid recipients: %a" },
	{ PHASE_DATA, "451 %d" },
	{ PHASE_TEXT, "554 5.6.0 message for %a refused" },
	{ PHASE_TEXT, "550 5.7.1 %l sends spam" },
	{ PHASE_TEXT, "554 delivery to %d failed" },
	{ PHASE_TEXT, "550 X-Envelope-To: %h" },
	{ PHASE_TEXT, "454 4.3.0 %a" },
	{ PHASE_TEXT, "451 4.7.0 %l: come back" },
	{ PHASE_TEXT, "432 4.3.2 %d" },
	{ PHASE_TEXT, "530 5.7.0 %a" },
	{ PHASE_GREETING, "554 5.7.1 no service for %d" },
	{ PHASE_AUTH, "535 5.7.8 %a" },
};

/* The reply to an address: local part as it was sent, what it means, and domain. */
static void
put_hostile(struct buf *out, const char *reply, const char *local, const char *meant, const char *domain)
{
	size_t half = strlen(local) + 1 + strlen(domain);
	struct buf address = { 0 };

	buf_addf(&address, "%s@%s", local, domain);
	for (const char *p = reply; *p != '\0'; p++) {
		if (p[0] != '%') {
			buf_addc(out, *p);
			continue;
		}
		switch (*++p) {
		case 'a': buf_adds(out, buf_c(&address)); break;
		case 'l': buf_adds(out, meant); break;
		case 'd': buf_adds(out, domain); break;
		default: buf_add(out, address.p, half - 3); break;
		}
	}
	buf_free(&address);
}

static void
forty_hostile_answers_move_no_verdict(void **state)
{
	static const struct str ann = { "ann@y.example", 13 };
	unsigned tried = 0;

	(void)state;
	assert_true(COUNT(hostile) >= 40);
	for (size_t i = 0; i < COUNT(hostile); i++) {
		struct buf harmless = { 0 };
		struct why a, b;
		enum outcome o;

		put_hostile(&harmless, hostile[i].reply, "ann", "ann", "y.example");
		o = judge(hostile[i].phase, buf_c(&harmless), &ann, 1, &a);
		for (size_t w = 0; w < COUNT(table_words); w++, tried++) {
			struct buf local = { 0 }, domain = { 0 }, address = { 0 }, reply = { 0 };
			struct str said;
			enum outcome p;

			buf_addf(&local, "\"%s\"", table_words[w]);
			buf_addf(&domain, "%s.example", table_words[w]);
			for (size_t k = 0; k < domain.len; k++)
				if (domain.p[k] == ' ')
					domain.p[k] = '-';
			buf_addf(&address, "%s@%s", buf_c(&local), buf_c(&domain));
			said = buf_str(&address);
			put_hostile(&reply, hostile[i].reply, buf_c(&local), table_words[w], buf_c(&domain));
			p = judge(hostile[i].phase, buf_c(&reply), &said, 1, &b);
			if (o != p || a.scope != b.scope)
				print_error("%s: %s\n", phase_name(hostile[i].phase), buf_c(&reply));
			assert_int_equal(o, p);
			assert_int_equal(a.scope, b.scope);
			buf_free(&local);
			buf_free(&domain);
			buf_free(&address);
			buf_free(&reply);
		}
		buf_free(&harmless);
	}
	assert_true(tried >= 40 * COUNT(table_words));
}

int
main(void)
{
#define ROW(promise, f) { promise, f, NULL, NULL, NULL }
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_mail_everything_is_the_servers_trouble),
		ROW("X-20: a refused login never bounces, whatever the code", a_refused_login_never_bounces_whatever_the_code),
		cmocka_unit_test(what_is_said_of_one_recipient_is_the_recipients),
		ROW("X-20: quota, pace and blocks are the account's, and never bounce",
		    quota_pace_and_blocks_are_the_accounts_and_never_bounce),
		cmocka_unit_test(a_sender_that_the_account_may_not_use_is_the_senders_trouble),
		cmocka_unit_test(what_is_said_of_the_message_is_the_messages),
		cmocka_unit_test(a_421_and_a_broken_step_are_the_servers_trouble_in_every_phase),
		cmocka_unit_test(a_yes_in_the_wrong_place_is_no_yes),
		cmocka_unit_test(providers_are_understood),
		ROW("hostile: forty answers that echo addresses made of table words move no verdict",
		    forty_hostile_answers_move_no_verdict),
		cmocka_unit_test(words_are_found_without_case_and_in_every_line),
		cmocka_unit_test(only_recipient_and_message_trouble_can_be_final),
		cmocka_unit_test(the_reason_has_phase_code_status_and_the_servers_words),
		cmocka_unit_test(a_hint_stands_behind_the_servers_words),
		cmocka_unit_test(a_long_answer_still_leaves_room_for_the_hint),
		cmocka_unit_test(hostile_words_are_masked_in_the_reason),
		cmocka_unit_test(an_address_made_of_table_words_does_not_move_the_verdict),
		cmocka_unit_test(brackets_inside_a_quoted_local_part_do_not_open_the_way),
		cmocka_unit_test(an_address_that_is_echoed_in_another_case_is_cut_out_too),
		cmocka_unit_test(an_echo_that_was_cut_short_inside_brackets_does_not_move_the_verdict),
		cmocka_unit_test(cutting_an_address_out_makes_no_word_of_its_two_sides),
		cmocka_unit_test(a_dashed_address_of_all_words_does_not_move_the_verdict),
		cmocka_unit_test(the_servers_own_words_beside_an_address_still_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
