# ringclr: `make` builds ./ringclr, `make demo` shows it at work, `make test` runs the tests. `make help` lists the rest.
#
# Modes: MODE=release (default) or debug; SAN=address,undefined or SAN=thread adds sanitizers; CC=clang-14 is supported.
# Each combination has its own folder below build/, so that switching never mixes objects.

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
MODE    ?= release
SAN     ?=
PREFIX  ?= /usr/local
DESTDIR ?=
comma   := ,
empty   :=
space   := $(empty) $(empty)
BUILD   ?= build/$(MODE)$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(filter gcc,$(CC)),,-$(notdir $(CC)))

# One job a processor, unless asked otherwise.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

FOLDERS  := pipeline io model stages
PACKAGES := liburing openblas libwebp libjpeg libturbojpeg spng libzstd libarchive libxxhash libcjson hwloc gdlib inih

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Werror
CPPFLAGS += -I. -D_GNU_SOURCE $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
# Position-independent for the shared library: with hidden symbols the code is the same as that of a program.
CFLAGS   += -std=gnu17 -g -fno-omit-frame-pointer -fvisibility=hidden -fPIC $(WARNINGS)
# Contraction and association of floating-point operations stay as written: results are the same on every build of a path.
CFLAGS   += -fno-math-errno -fno-trapping-math -ffp-contract=off
LDLIBS   += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -llbfgs -lm -pthread
ifeq ($(MODE),debug)
CFLAGS   += -O1
else
CFLAGS   += -O3
endif
ifneq ($(SAN),)
CFLAGS   += -fsanitize=$(SAN) -fno-sanitize-recover=all
LDFLAGS  += -fsanitize=$(SAN)
endif

# A file *_simd.c is compiled once per instruction set, with ISA naming the variant; a table picks one at start.
ISAS            := portable avx2 avx512 avx512bf16
ISAFLAGS_portable :=
ISAFLAGS_avx2     := -mavx2 -mfma -ffp-contract=fast
ISAFLAGS_avx512   := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -ffp-contract=fast -mprefer-vector-width=512
ISAFLAGS_avx512bf16 := $(ISAFLAGS_avx512) -mavx512bf16

objects = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %_simd.c,$(wildcard $(1)/*.c))) \
          $(foreach isa,$(ISAS),$(patsubst %.c,$(BUILD)/%.$(isa).o,$(wildcard $(1)/*_simd.c)))
LIBS  := $(foreach f,stages model io pipeline,$(BUILD)/libringclr-$(f).a)
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
FUZZERS := $(patsubst tests/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz_*.c))

# What is being made, in short; V=1 shows the commands.
ifeq ($(V),1)
say =
else
.SILENT:
say = @printf '  %-5s %s\n' $(1) $(2)
endif

.PHONY: all deps lib demo test check install install-files uninstall clean help
all: deps
	@$(MAKE) --no-print-directory ringclr

deps:
	@tools/install-deps.sh

# ./ringclr is the release build; other modes stay below build/.
ringclr: $(BUILD)/ringclr
	@cp -f $< $@.tmp && mv -f $@.tmp $@

$(BUILD)/ringclr: $(call objects,tools) $(LIBS)
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

define library
$(BUILD)/libringclr-$(1).a: $(call objects,$(1))
	rm -f $$@
	$(AR) rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call library,$(f))))

# The loader as a library (stages/ringclr.h): one object of what stages/ringclr.c needs, directly or not, in which all but
# the symbols of that header are local. The static library is that object, the shared one is linked of it.
SONAME  := libringclr.so.0
LIBRARY := $(BUILD)/libringclr.a $(BUILD)/$(SONAME) $(BUILD)/ringclr.pc
LIBRARY_PACKAGES := liburing libwebp libjpeg spng libzstd libxxhash libcjson
# hwloc by its name: its pkg-config file would ask programs that link libringclr.a for all that a static hwloc needs.
LIBRARY_LIBS := -lhwloc -lm -pthread
VERSION := $(shell sed -n 's/.*define RINGCLR_VERSION "\(.*\)"/\1/p' stages/ringclr.h)
OBJCOPY := objcopy

lib: deps
	@$(MAKE) --no-print-directory library
library: $(LIBRARY)
.PHONY: library

$(BUILD)/libringclr.o: $(BUILD)/stages/ringclr.o $(LIBS)
	$(call say,LINK,$@)
	$(LD) -r -o $@ $^
	$(OBJCOPY) --localize-hidden $@
$(BUILD)/libringclr.a: $(BUILD)/libringclr.o
	rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/$(SONAME): $(BUILD)/libringclr.o
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--as-needed -o $@ $^ \
		$(shell pkg-config --libs $(LIBRARY_PACKAGES) 2>/dev/null) $(LIBRARY_LIBS)
# PREFIX is known when it is installed.
$(BUILD)/ringclr.pc: stages/ringclr.h Makefile
	mkdir -p $(@D)
	printf '%s\n' 'prefix=@PREFIX@' 'includedir=$${prefix}/include' 'libdir=$${prefix}/lib' '' 'Name: ringclr' \
		'Description: Batches of augmented views of images, from shards' 'Version: $(VERSION)' \
		'Requires.private: $(LIBRARY_PACKAGES)' 'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lringclr' \
		'Libs.private: $(LIBRARY_LIBS)' >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	mkdir -p $(@D)
	$(call say,CC,$<)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
define isa_rule
$(BUILD)/%.$(1).o: %.c $(BUILD)/flags
	mkdir -p $$(@D)
	$$(call say,CC,"$$< ($(1))")
	$(CC) $(CPPFLAGS) $(CFLAGS) $(ISAFLAGS_$(1)) -DISA=$(1) -DISA_$(1)=1 -MMD -MP -c -o $$@ $$<
endef
$(foreach isa,$(ISAS),$(eval $(call isa_rule,$(isa))))

# Rebuild everything below BUILD when the flags change.
$(BUILD)/flags: FORCE
	mkdir -p $(@D)
	printf '%s\n' '$(CC) $(CPPFLAGS) $(CFLAGS)' | cmp -s - $@ || printf '%s\n' '$(CC) $(CPPFLAGS) $(CFLAGS)' > $@
.PHONY: FORCE
FORCE:

# Manual pages and completions, from the tables of options.
man: deps
	@$(MAKE) --no-print-directory ringclr manual
manual: $(BUILD)/man/ringclr.1
$(BUILD)/man/ringclr.1: $(BUILD)/ringclr
	rm -rf $(BUILD)/man $(BUILD)/completions
	mkdir -p $(BUILD)/man $(BUILD)/completions
	$(call say,MAN,$(BUILD)/man)
	$(BUILD)/ringclr completion bash >$(BUILD)/completions/ringclr
	$(BUILD)/ringclr completion zsh >$(BUILD)/completions/_ringclr
	$(BUILD)/ringclr man -o $(BUILD)/man
.PHONY: man manual

# Tests link the libraries, and the command line's own modules except its main().
TOOL_MODULES := $(filter-out $(BUILD)/tools/main.o,$(call objects,tools))
TEST_HELPERS := $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/helper_*.c))
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_HELPERS) $(TOOL_MODULES) $(LIBS)
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
# What test_allocation looks in at.
$(BUILD)/tests/test_allocation: LDFLAGS += -Wl,--wrap=net_forward,--wrap=checkpoint_save,--wrap=placement_pin_self,--wrap=trainer_run
# Where test_eval_frozen changes the encoder, and what test_head_study looks in at.
$(BUILD)/tests/test_eval_frozen: LDFLAGS += -Wl,--wrap=net_forward
$(BUILD)/tests/test_head_study: LDFLAGS += -Wl,--wrap=net_forward,--wrap=probe_logistic_lbfgs
# Where test_loader_flow makes an image slow.
$(BUILD)/tests/test_loader_flow: LDFLAGS += -Wl,--wrap=codec_decode,--wrap=codec_decode_region
.PRECIOUS: $(BUILD)/tests/%.o

tests: $(TESTS) $(BUILD)/ringclr $(LIBRARY) manual
.PHONY: tests

# Fuzzers (clang's libFuzzer), one a parser; each says in its first comment how to run it.
fuzz:
	@$(MAKE) --no-print-directory CC=clang-14 MODE=debug SAN=fuzzer-no-link,address,undefined fuzzers
fuzzers: $(FUZZERS)
$(BUILD)/fuzz/%: $(BUILD)/tests/%.o $(TOOL_MODULES) $(LIBS)
	mkdir -p $(@D)
	$(call say,LINK,$@)
	$(CC) $(CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)
.PHONY: fuzz fuzzers

test: deps
	@$(MAKE) --no-print-directory ringclr tests
	@tests/run $(BUILD)

check:
	@tools/install-deps.sh --check
	+@tests/check

demo: all
	@tools/demo.sh

# Program and library. install-files copies what BUILD holds, without building anything.
install: deps
	@$(MAKE) --no-print-directory ringclr library manual
	@$(MAKE) --no-print-directory install-files
install-files:
	install -D -m 755 $(BUILD)/ringclr $(DESTDIR)$(PREFIX)/bin/ringclr
	install -D -m 644 stages/ringclr.h $(DESTDIR)$(PREFIX)/include/ringclr.h
	install -D -m 644 $(BUILD)/libringclr.a $(DESTDIR)$(PREFIX)/lib/libringclr.a
	install -D -m 755 $(BUILD)/$(SONAME) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(PREFIX)/lib/libringclr.so
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed 's|@PREFIX@|$(PREFIX)|' $(BUILD)/ringclr.pc >$(DESTDIR)$(PREFIX)/lib/pkgconfig/ringclr.pc
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 $(BUILD)/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -D -m 644 $(BUILD)/completions/ringclr $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ringclr
	install -D -m 644 $(BUILD)/completions/_ringclr $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_ringclr
	install -d $(DESTDIR)$(PREFIX)/share/ringclr/studies
	install -m 644 tools/studies/*.ini $(DESTDIR)$(PREFIX)/share/ringclr/studies
uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/share/ringclr/studies/,$(notdir $(wildcard tools/studies/*.ini)))
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/ringclr include/ringclr.h lib/libringclr.a lib/$(SONAME) \
		lib/libringclr.so lib/pkgconfig/ringclr.pc share/man/man1/ringclr.1 share/man/man1/ringclr-*.1 \
		share/bash-completion/completions/ringclr share/zsh/site-functions/_ringclr)

clean:
	rm -rf build ringclr

help:
	@echo "make           install what is missing and build ./ringclr"
	@echo "make demo      generate a data set, pack it, train, evaluate: about 5 minutes on two cores"
	@echo "make test      build and run every test (SAN=address,undefined or SAN=thread for sanitizers)"
	@echo "make fuzz      build the fuzzers with clang"
	@echo "make check     formatting, static analysis, folder graph, shell scripts"
	@echo "make lib       the loader as a library for C: libringclr.a, $(SONAME), ringclr.pc (docs/C_INTERFACE.md)"
	@echo "make man       manual pages and completions below build/"
	@echo "make install   program, manual pages, completions, header and libraries to PREFIX (PREFIX=$(PREFIX), DESTDIR=); make uninstall"
	@echo "make clean     remove build/ and ./ringclr"

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
