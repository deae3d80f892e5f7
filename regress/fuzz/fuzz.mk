# Builds the fuzz targets.  Not part of the automake build, since it compiles
# everything once more, with other flags; `run' calls it with
#
#	SRC	top of the source
#	BUILD	top of the build, for config.h
#	ENGINE	libfuzzer, afl, replay or coverage
#	CC	a compiler that suits it
#	TARGETS	names without _fuzz
#
# and in the directory where all of it goes.

# Whatever a target may need; each takes out of the archive what it does.
SOURCES = common/addr.c common/bundle.c common/chan.c common/digest.c \
	common/log.c common/memfd_linux.c common/metric.c common/msg.c common/number.c common/siphash.c \
	common/wire.c \
	ltp-audit/chain.c ltp-audit/ledger.c \
	ltp-sign/block.c ltp-worker/certname.c \
	ltp-worker/frame.c ltp-worker/json.c ltp-worker/limit.c \
	ltp-worker/remote.c \
	ltp-worker/route.c ltp-worker/session.c ltp-worker/settings.c \
	ltp-worker/text.c ltp-worker/trace.c ltp-worker/upgrade.c \
	ltp-worker/utf8.c ltp-worker/ws.c \
	ltpctl/ask.c ltpctl/canon.c ltpctl/output.c ltpctl/output_json.c \
	ltpctl/show.c ltpctl/tlsclient.c ltpctl/top.c ltpctl/trace.c \
	ltpctl/wsclient.c \
	ltpd/caller.c ltpd/conf.c ltpd/conf_distributed.c \
	ltpd/conf_keyword.c ltpd/conf_load.c \
	ltpd/conf_parse.c ltpd/conf_value.c ltpd/keyfile.c ltpd/parent.c \
	ltpd/secretfile.c \
	regress/fuzz/fuzz.c regress/fuzz/oracle.c

PACKAGES = libevent_core jansson libssl libcrypto libbsd-overlay libmd
PACKAGE_FLAGS != pkg-config --cflags $(PACKAGES)
PACKAGE_LIBS != pkg-config --libs $(PACKAGES)

# Line tables are enough for a stack, and links are faster.
SANITIZE = -fsanitize=address,undefined -fsanitize=float-cast-overflow \
	-fno-sanitize-recover=all
FLAGS_libfuzzer = -O1 -gline-tables-only $(SANITIZE) -fsanitize=fuzzer-no-link
FLAGS_afl = -O1 -gline-tables-only $(SANITIZE) -fsanitize=fuzzer-no-link
FLAGS_replay = -O1 -g $(SANITIZE)
FLAGS_coverage = -O0 -g -fprofile-instr-generate -fcoverage-mapping
LINK_libfuzzer = $(SANITIZE) -fsanitize=fuzzer
LINK_afl = $(SANITIZE) -fsanitize=fuzzer
LINK_replay = $(SANITIZE)
LINK_coverage = -fprofile-instr-generate
MAIN_libfuzzer =
MAIN_afl =
MAIN_replay = regress/fuzz/replay.c
MAIN_coverage = regress/fuzz/replay.c

CFLAGS = -std=c11 -Wall -Wextra -fno-omit-frame-pointer
CPPFLAGS = -D_GNU_SOURCE -DLIBBSD_OPENBSD_VIS -DSYSCONFDIR='"/etc"' \
	-DRUNSTATEDIR='"/run"' -DLIBEXECDIR='"/libexec"' -I$(BUILD) -I$(SRC) \
	-I$(SRC)/common -I$(SRC)/ltpd -I$(SRC)/ltp-worker \
	-I$(SRC)/ltp-audit -I$(SRC)/ltp-sign -I$(SRC)/regress/fuzz
COMPILE = $(CC) $(CPPFLAGS) $(PACKAGE_FLAGS) $(CFLAGS) $(FLAGS_$(ENGINE)) -MMD
LIBS = $(PACKAGE_LIBS) -lhttp_parser -lm

# regress/fuzz/fuzz.c becomes regress_fuzz_fuzz.o: names in an archive have
# no directories.
object = $(addsuffix .o,$(subst /,_,$(basename $(1))))
OBJECTS = $(call object,$(SOURCES))
MAIN = $(call object,$(MAIN_$(ENGINE)))

all: $(TARGETS:=_fuzz)

define compile
$(call object,$(1)): $(SRC)/$(1) $(SRC)/regress/fuzz/fuzz.mk
	$$(COMPILE) -c -o $$@ $$<
endef
$(foreach s,$(SOURCES) $(MAIN_$(ENGINE)),$(eval $(call compile,$(s))))
$(foreach t,$(TARGETS),$(eval $(call compile,regress/fuzz/$(t)_fuzz.c)))

libltpd.a: $(OBJECTS)
	rm -f $@
	$(AR) rcs $@ $(OBJECTS)

# How ltpctl meets the other end without a path, and without waiting.
LINK_ask = -Wl,--wrap=connect,--wrap=poll
LINK_wsclient = -Wl,--wrap=connect,--wrap=poll

# How memory fails on demand.
WRAP = -Wl,--wrap=calloc,--wrap=realloc,--wrap=reallocarray \
	-Wl,--wrap=recallocarray,--wrap=strdup,--wrap=strndup

%_fuzz: regress_fuzz_%_fuzz.o $(MAIN) libltpd.a
	$(CC) $(LINK_$(ENGINE)) $(LINK_$*) $(WRAP) -o $@ $< $(MAIN) libltpd.a \
	    $(LIBS)

.SECONDARY:
-include $(wildcard *.d)
