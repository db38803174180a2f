# `make check` is what every commit passes. Nothing here needs more than Go,
# and a C compiler for the race detector.

.PHONY: build demo test check fmt vet lint race bench fuzz

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
# a bare write+fdatasync loop on the same disk.
bench:
	go test -run '^$$' -bench . -benchmem $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...)

# Fuzzes each target for FUZZTIME; their seeds are run by `make test` anyway.
FUZZTIME ?= 20s
fuzz:
	@go list ./... | while read -r pkg; do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done
