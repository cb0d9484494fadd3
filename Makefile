# What can be done here: make help.
SHELL := /bin/bash
CARGO ?= cargo
RELEASE := $(shell $(CARGO) metadata --no-deps --format-version 1 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release
OUT := captures/out
CURL := $(shell command -v curl)

.PHONY: help run test tun-test soak differential accuracy packetdrill response conformance bench micro idle instructions lab captures fuzz fuzz-check fmt lint doc ci clean build

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build:
	$(CARGO) build --release

run: build ## curl against our stack in a private network; the capture is captures/out/first.pcapng
	@mkdir -p $(OUT)
ifneq ($(CURL),)
	$(RELEASE)/tcpglass run --trace $(OUT)/first.pcapng -- sh -c '\
		curl -sS http://glass/ && \
		curl -sS -o /dev/null -w "%{size_download} bytes from %{url_effective}\n" http://glass/bytes/100000 && \
		curl -sS -d "hello, glass" http://glass/echo && echo'
else
	$(RELEASE)/tcpglass run --trace $(OUT)/first.pcapng
endif

test: ## all tests
	$(CARGO) test

tun-test: ## the tests with a TUN device, real peers included, and longer than in make test
	TCPGLASS_LONG=1 $(CARGO) test --test it -- tun:: peers:: --nocapture

packetdrill: ## libtcpglass.so, with which the original packetdrill drives this stack
	$(CARGO) rustc --release --lib --features packetdrill --crate-type cdylib
	@echo "packetdrill --so_filename=$(RELEASE)/libtcpglass.so script.pkt"

SOAK ?= 0..10000
soak: ## the conversations drawn by lot of SOAK=FIRST..LAST, with ourselves and with smoltcp, 500 at a time
	$(CARGO) test --release --test it --no-run
	@first=$(firstword $(subst .., ,$(SOAK))); last=$(lastword $(subst .., ,$(SOAK))); \
	while [ $$first -lt $$last ]; do \
		next=$$((first + 500 < last ? first + 500 : last)); \
		echo "lots $$first..$$next"; \
		TCPGLASS_SEEDS=$$first..$$next timeout 3600 $(CARGO) test --release --quiet --test it -- \
			sim::differential --nocapture || exit 1; \
		first=$$next; \
	done

LOTS ?= 0..1000
accuracy: ## how often explain infers what the stack's words say, over the lots LOTS=FIRST..LAST
	TCPGLASS_SEEDS=$(LOTS) $(CARGO) test --release --test it -- explain::what_is_inferred explain::truth --nocapture

ROUNDS ?= 10
differential: ## our speed under loss against Linux's own TCP on the same path, in ROUNDS of 40 s
	TCPGLASS_DIFFERENTIAL=$(ROUNDS) $(CARGO) test --release --test it -- peers::path::goodput --nocapture

response: ## CUBIC's mean window against RFC 9438's response function: two delays, three rates of loss
	TCPGLASS_LONG=1 $(CARGO) test --release --test it -- sim::congestion::cubic_follows --nocapture

conformance: ## what the RFCs ask, where it is done, which test shows it
	@$(CARGO) test -q --test it spec::the_conformance_record -- --nocapture

ROUNDS_OF_BENCH ?= 5
bench: ## ours beside Linux, nginx, smoltcp and the ceiling of the device, in networks of its own: a quarter of an hour
	$(CARGO) bench --bench versus -- --rounds $(ROUNDS_OF_BENCH) --out $(OUT)/bench

instructions: ## instruction counts of fixed work against the record, in valgrind: 5 % more fails; BLESS=--bless records them
	$(CARGO) bench --bench instructions -- $(BLESS)

idle: ## what a request costs among 100,000 idle connections, and what a million in TIME-WAIT take
	$(CARGO) bench --bench idle

micro: ## what one packet costs in one thread
	$(CARGO) bench --bench micro

lab: build ## all experiments in virtual time
	$(RELEASE)/tcpglass lab all

captures: ## make the golden captures again
	TCPGLASS_BLESS=1 $(CARGO) test --test it captures::

FUZZ_SECONDS ?= 60
fuzz: ## each fuzz target for FUZZ_SECONDS (needs cargo-fuzz: see fuzz/README.md)
	for target in wire_decode tcp_input http_server http_client script_parse capture_read settings; do \
		RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done

fmt: ## format the code
	$(CARGO) fmt

lint: ## formatting and clippy, warnings are errors
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings

doc: ## the library's documentation
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

fuzz-check: ## whether the fuzz targets still build
	$(CARGO) check --quiet --manifest-path fuzz/Cargo.toml

ci: lint doc fuzz-check ## what must pass before a change goes in
	$(MAKE) test

clean: ## remove what was built or captured
	$(CARGO) clean
	rm -rf $(OUT)
