# subpost: see README.md.  Variables to set: PREFIX SYSCONFDIR DESTDIR CC CFLAGS CPPFLAGS
# LDFLAGS FACE_LINK INIH SAN=1.

PREFIX = /usr/local
SYSCONFDIR = /etc
CC = gcc
CFLAGS = -O2 -g

bindir = $(PREFIX)/bin
sbindir = $(PREFIX)/sbin
libexecdir = $(PREFIX)/libexec/subpost
mandir = $(PREFIX)/share/man
docdir = $(PREFIX)/share/doc/subpost
userunitdir = $(PREFIX)/lib/systemd/user
unitdir = $(PREFIX)/lib/systemd/system
sysusersdir = $(PREFIX)/lib/sysusers.d
tmpfilesdir = $(PREFIX)/lib/tmpfiles.d
apparmordir = $(SYSCONFDIR)/apparmor.d

B = build$(if $(SAN),/san)

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2
FORTIFY = $(if $(SAN)$(findstring _FORTIFY_SOURCE,$(CPPFLAGS)$(CFLAGS)),,-D_FORTIFY_SOURCE=2)
# The folder's name stays out of the programs: the same tree gives the same octets.
HARD = -fPIE -fstack-protector-strong -fstack-clash-protection $(FORTIFY) -ffile-prefix-map=$(CURDIR)=.
comma = ,
SANFLAGS = $(if $(SAN),-fsanitize=address$(comma)undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
ALL_CPPFLAGS = -D_GNU_SOURCE -Isrc -Icompat \
	-DSUBPOST_SYSCONFDIR='"$(SYSCONFDIR)/subpost"' \
	-DSUBPOST_SBINDIR='"$(sbindir)"' \
	-DSUBPOST_LIBEXECDIR='"$(libexecdir)"' $(CPPFLAGS)
ALL_CFLAGS = -std=c11 $(WARN) $(HARD) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS = -Wl,-z,relro,-z,now,--as-needed $(SANFLAGS) $(LDFLAGS)

# The rooms, by floor; the mains and their libraries below.
LIB = \
	src/buf.c src/clock.c src/file.c src/slim.c src/codec.c src/guess.c src/log.c src/outcome.c \
	src/phrase.c src/dsn.c src/pattern.c src/address.c src/host.c src/pin.c src/intake.c src/dots.c src/mailarg.c src/header.c src/complete.c src/force.c src/words.c src/refit.c src/part.c src/encode.c src/label.c src/mime.c src/adapt.c \
	src/envelope.c src/fate.c src/reply.c src/scram.c src/bearer.c src/offers.c src/verdict.c src/schedule.c src/rate.c src/report.c src/agenda.c \
	src/person.c src/keys.c src/inifile.c src/accounts.c src/users.c src/config.c src/route.c src/trusted.c src/aliases.c src/targets.c src/spool.c src/health.c src/trace.c src/wake.c src/errand.c src/secret.c src/manager.c src/landlock.c src/fence.c src/desk.c src/settings.c src/usage.c src/admit.c src/watch.c src/pace.c \
	src/idna.c src/dial.c src/srv.c src/conn.c src/certificate.c src/tls.c src/sasl.c src/text.c src/command.c src/smtp.c src/transaction.c src/dialogue.c src/trial.c src/auth.c src/sandbox.c src/login.c src/session.c \
	src/ledger.c src/account.c src/job.c src/sorting.c src/pool.c src/parcel.c src/debt.c src/post.c src/dispatch.c src/runner.c src/steer.c src/carriers.c src/await.c src/listing.c src/verbs.c src/check.c src/clerk.c src/callers.c src/greeting.c src/premises.c src/roster.c src/spare.c src/service.c src/office.c \
	compat/options.c compat/recipients.c compat/submit.c compat/talk.c compat/smtpin.c compat/newaliases.c

# The face is started for every message, and a dynamic loader would be a sixth of
# its time; the service forks for every message, and what a loader has mapped would
# be a quarter of a clerk's.  So both are linked statically, and whatever a static
# program cannot have (modules of the name service) they do without, see person.h.
# FACE_LINK=-pie INIH=-linih links both as the others are.
FACE_LINK = $(if $(SAN),-pie,-static-pie)
INIH = -l:libinih.a
sendmail_SRC = compat/sendmail.c
sendmail_LIBS = $(INIH)
sendmail_LINK = $(FACE_LINK)
subpost_SRC = src/subpost.c
subpost_LIBS = -linih
subpostd_SRC = src/subpostd.c
subpostd_LIBS = $(INIH)
subpostd_LINK = $(FACE_LINK)
subpost-courier_SRC = src/courier.c
subpost-courier_LIBS = -linih -lgnutls -lgsasl -lidn2 -lseccomp

PROGRAMS = sendmail subpost subpostd subpost-courier
FACES = mailq newaliases
MANUALS = sendmail.8 mailq.1 newaliases.1 subpost.1 subpostd.8 subpost.ini.5 subpost-queue.5
MANUAL_DIRS = $(mandir)/man1 $(mandir)/man5 $(mandir)/man8

# Tests: one program a unit, and the far ends that the flow tests talk to.
UNITS = buf codec guess file slim log outcome phrase dsn pattern address host pin intake dots mailarg header complete force words refit part encode label mime adapt idna \
	envelope fate reply scram bearer offers verdict schedule rate report agenda person accounts config route aliases targets spool health pace trace \
	wake errand secret manager fence desk settings usage admit watch dial srv conn sasl auth sandbox dialogue pipeline patience parcel await steer carriers verbs \
	office clerk callers greeting roster spare account options recipients smtpin
TOOLS = smarthost addresses adapt
# What the scripted smarthost is made of, besides its main.
SMARTHOST = answers certificates dialogue grammar mechanisms notes proof script speech text wire
BENCH = floor drive delay ceiling
# What reads octets of others, each with a target for a fuzzer; always sanitized,
# with all of the library that needs no other library.
FUZZ = argv adapt header address aliases challenge reply smtpin desk srv
FUZZ_LIB = $(filter-out src/idna.c src/tls.c src/sasl.c src/sandbox.c src/conn.c src/text.c src/command.c src/smtp.c src/transaction.c src/dialogue.c src/trial.c src/auth.c src/login.c src/session.c src/parcel.c,$(LIB))

PROGRAM_FILES = $(PROGRAMS:%=$B/%)
UNIT_FILES = $(UNITS:%=$B/tests/unit/%)
TOOL_FILES = $(TOOLS:%=$B/tests/lib/%)
FAST_FILES = $(filter-out %/subpost-courier,$(PROGRAMS:%=$B/tests/fast/%))
BENCH_FILES = $(BENCH:%=$B/tests/bench/%)
FUZZ_FILES = $(FUZZ:%=$B/tests/fuzz/%)
FUZZ_OBJ = $(FUZZ_LIB:%.c=$B/fuzz/%.o)
FUZZ_CC = $(CC)
FUZZ_SAN = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_MAIN = $B/fuzz/tests/fuzz/driver.o
FUZZ_TIME = 1200
LIB_OBJ = $(LIB:%.c=$B/obj/%.o)
ALL_SRC = $(LIB) $(foreach p,$(PROGRAMS),$($p_SRC)) $(UNITS:%=tests/unit/%.c) \
	$(TOOLS:%=tests/lib/%.c) $(SMARTHOST:%=tests/lib/%.c) tests/lib/counter.c tests/lib/home.c tests/lib/here.c tests/lib/partner.c tests/lib/fast.c $(BENCH:%=tests/bench/%.c)

.PHONY: all tests demo check matrix bench fuzz install uninstall clean help FORCE
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(PROGRAM_FILES) $(FACES:%=$B/%)
tests: all $(UNIT_FILES) $(TOOL_FILES) $(FUZZ_FILES) $(FAST_FILES) $B/tests/fast/subpost-courier

help:
	@echo 'make            build the programs into build/'
	@echo 'make demo       send a message to an embedded smarthost and watch it'
	@echo 'make check      all tests; SAN=1 make check: with sanitizers'
	@echo 'make matrix     every fault at every stage of a delivery; check has a choice of them'
	@echo 'make bench      speed, as ratios to a floor program'
	@echo 'make fuzz       each fuzz target for $(FUZZ_TIME) s (FUZZ_TIME=...), with clang and libFuzzer'
	@echo 'make install    PREFIX=$(PREFIX) SYSCONFDIR=$(SYSCONFDIR) DESTDIR=$(DESTDIR)'
	@echo 'make uninstall  with the same; make clean: remove build/'

$B/libsubpost.a: $(LIB_OBJ)
	rm -f $@ && ar rcs $@ $(LIB_OBJ)

define program
$B/$1: $($1_SRC:%.c=$B/obj/%.o) $B/libsubpost.a
	$$(CC) $$(ALL_LDFLAGS) $$(or $$($1_LINK),-pie) -o $$@ $$^ $$($1_LIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$p)))

$(FACES:%=$B/%): $B/sendmail
	ln -sf sendmail $@

$(UNIT_FILES): $B/tests/unit/%: $B/obj/tests/unit/%.o $B/libsubpost.a
	@mkdir -p $(@D)
	$(CC) -pie $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka -linih -lgnutls -lgsasl -lidn2 -lseccomp -lpthread

$B/tests/unit/aliases $B/tests/unit/targets $B/tests/unit/accounts $B/tests/unit/route: $B/obj/tests/lib/home.o
$B/tests/unit/dialogue $B/tests/unit/pipeline $B/tests/unit/patience: $B/obj/tests/lib/partner.o
# With the system's places in its own directory, which must come before the library's.
$B/tests/unit/office: $B/obj/tests/lib/here.o

$(TOOL_FILES): $B/tests/lib/%: $B/obj/tests/lib/%.o $B/libsubpost.a
	@mkdir -p $(@D)
	$(CC) -pie $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lgnutls -lidn2 -lpthread

$B/tests/lib/smarthost: $(SMARTHOST:%=$B/obj/tests/lib/%.o)

# The programs beside a courier whose clock runs fast: they find each other there.
$(FAST_FILES): $B/tests/fast/%: $B/%
	@mkdir -p $(@D)
	ln -f $< $@

$B/tests/fast/subpost-courier: $B/obj/src/courier.o $B/obj/tests/lib/fast.o $B/libsubpost.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -pie -o $@ $^ $(subpost-courier_LIBS)

# Static, as the floor must be: a dynamic loader is not part of it.
$(BENCH_FILES): $B/tests/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O2 -static -o $@ $<

$(FUZZ_FILES): $B/tests/fuzz/%: $B/fuzz/tests/fuzz/%.o $(FUZZ_MAIN) $B/fuzz/libsubpost.a
	@mkdir -p $(@D)
	$(FUZZ_CC) -pie $(FUZZ_SAN) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) -linih

# Both look at a session with a counter of their own, which must come before the library's.
$B/tests/unit/smtpin: $B/obj/tests/lib/counter.o
$B/tests/fuzz/smtpin: $B/fuzz/tests/lib/counter.o

$B/fuzz/libsubpost.a: $(FUZZ_OBJ)
	rm -f $@ && ar rcs $@ $(FUZZ_OBJ)

$B/fuzz/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(FUZZ_CC) $(ALL_CPPFLAGS) -std=c11 $(WARN) -fPIE -O1 -g $(FUZZ_SAN) -MMD -MP -c -o $@ $<

$B/obj/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Other flags, other paths: everything is compiled again.
$B/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','"'"',$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(INIH) $(FACE_LINK))' > $@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv -f $@.new $@

demo:
	@tests/lib/need build
	@$(MAKE) --no-print-directory -s all $B/tests/lib/smarthost
	@tests/lib/demo $B

check:
	@tests/lib/need build check callers
	@$(MAKE) --no-print-directory -s tests
	@tests/run $B

# Each fault at each stage: half an hour.  MATRIX='end .* many': those of that name.
matrix:
	@tests/lib/need build check
	@$(MAKE) --no-print-directory -s tests
	@SUBPOST_BUILD=$(abspath $B) MATRIX='$(or $(MATRIX),.)' perl tests/flow/matrix.t

bench:
	@tests/lib/need build check
	@$(MAKE) --no-print-directory -s all $(TOOL_FILES) $(BENCH_FILES)
	@$(MAKE) --no-print-directory -s B=$B/counter SYSCONFDIR=$(abspath $B)/counter/etc all
	@tests/bench/run $B

# The same targets with clang's own driver, which sees what code an input
# reaches: what it finds is kept in the build directory, not in the tree.
fuzz:
	@tests/lib/need build fuzz
	@$(MAKE) --no-print-directory -s B=$B/libfuzzer FUZZ_CC=clang FUZZ_MAIN= \
	    FUZZ_SAN='-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined' \
	    $(FUZZ:%=$B/libfuzzer/tests/fuzz/%)
	@for t in $(FUZZ); do \
		mkdir -p $B/libfuzzer/found/$$t && \
		$B/libfuzzer/tests/fuzz/$$t -max_total_time=$(FUZZ_TIME) -timeout=10 -max_len=65536 \
		    -artifact_prefix=$B/libfuzzer/$$t- -print_final_stats=1 \
		    $B/libfuzzer/found/$$t tests/fuzz/corpus/$$t || exit 1; \
	done

# The manuals name the places of PREFIX=/usr/local; all but the lines that divert
# Debian's sendmail, which make no sense for one that is installed as that.
MAN_PATHS = -e '/^. ln -s/b' \
	-e 's|/usr/local/sbin/|$(sbindir)/|g' -e 's|/usr/local/libexec/subpost/|$(libexecdir)/|g' \
	-e 's|/usr/local/share/doc/subpost/|$(docdir)/|g' -e 's|/usr/local/lib/systemd/user/|$(userunitdir)/|g' \
	-e 's|/usr/local/lib/systemd/system/|$(unitdir)/|g' -e 's|/etc/apparmor.d/|$(apparmordir)/|g' \
	-e 's|/etc/subpost/|$(SYSCONFDIR)/subpost/|g'

# What of conf/ names places, by where it is installed.
CONF_PATHS = -e 's|@sbindir@|$(sbindir)|g' -e 's|@libexecdir@|$(libexecdir)|g' \
	-e 's|@sysconfdir@|$(SYSCONFDIR)|g' -e 's|@apparmordir@|$(apparmordir)|g'
CONF = user/subpost.socket:$(userunitdir)/subpost.socket user/subpost.service:$(userunitdir)/subpost.service \
	subpost.socket:$(unitdir)/subpost.socket subpost.service:$(unitdir)/subpost.service \
	sysusers.conf:$(sysusersdir)/subpost.conf tmpfiles.conf:$(tmpfilesdir)/subpost.conf \
	apparmor:$(apparmordir)/subpost

install: all
	install -d $(DESTDIR)$(sbindir) $(DESTDIR)$(bindir) $(DESTDIR)$(libexecdir) \
	    $(DESTDIR)$(docdir) $(DESTDIR)$(userunitdir) $(DESTDIR)$(unitdir) $(DESTDIR)$(sysusersdir) \
	    $(DESTDIR)$(tmpfilesdir) $(DESTDIR)$(apparmordir) $(DESTDIR)$(SYSCONFDIR)/subpost \
	    $(MANUAL_DIRS:%=$(DESTDIR)%)
	install -m 0755 $B/sendmail $B/subpostd $(DESTDIR)$(sbindir)
	install -m 0755 $B/subpost $(DESTDIR)$(bindir)
	install -m 0755 $B/subpost-courier $(DESTDIR)$(libexecdir)
	for f in $(FACES); do ln -srf $(DESTDIR)$(sbindir)/sendmail $(DESTDIR)$(bindir)/$$f; done
	install -m 0644 conf/subpost.ini README.md $(DESTDIR)$(docdir)
	for c in $(CONF); do \
		f=$(DESTDIR)$${c#*:} && sed $(CONF_PATHS) conf/$${c%%:*} > $$f && chmod 0644 $$f || exit 1; \
	done
	for m in $(MANUALS); do \
		f=$(DESTDIR)$(mandir)/man$${m##*.}/$$m && sed $(MAN_PATHS) man/$$m > $$f && chmod 0644 $$f || exit 1; \
	done

uninstall:
	rm -f $(DESTDIR)$(sbindir)/sendmail $(DESTDIR)$(sbindir)/subpostd $(DESTDIR)$(bindir)/subpost \
	    $(FACES:%=$(DESTDIR)$(bindir)/%) $(DESTDIR)$(libexecdir)/subpost-courier \
	    $(DESTDIR)$(docdir)/subpost.ini $(DESTDIR)$(docdir)/README.md
	for c in $(CONF); do rm -f $(DESTDIR)$${c#*:}; done
	for m in $(MANUALS); do rm -f $(DESTDIR)$(mandir)/man$${m##*.}/$$m; done
	-rmdir --ignore-fail-on-non-empty $(addprefix $(DESTDIR),$(libexecdir) $(docdir) $(userunitdir) $(unitdir) \
	    $(sysusersdir) $(tmpfilesdir) $(apparmordir) $(SYSCONFDIR)/subpost $(MANUAL_DIRS) \
	    $(sort $(dir $(libexecdir) $(unitdir))))

clean:
	rm -rf build

-include $(ALL_SRC:%.c=$B/obj/%.d) $(FUZZ_OBJ:.o=.d) $(FUZZ:%=$B/fuzz/tests/fuzz/%.d) $B/fuzz/tests/lib/counter.d
