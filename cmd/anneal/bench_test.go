package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/journal"
)

// eventJournal makes a data folder whose journal has this many events, and
// returns the ID of the first.
func eventJournal(b *testing.B, data string, events int) (first string) {
	b.Helper()
	j, err := openJournal(b.Context(), data, journal.Options{})
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var records []journal.Record
	for n := range events {
		object := anneal.ObjectCreated{
			Version: "0", Bucket: anneal.BucketRef{Name: "ml"},
			Object: anneal.ObjectRef{Key: fmt.Sprintf("training/batch-%07d.csv", n), Size: 12_345, SHA256: fmt.Sprintf("%064x", n)},
		}
		raw, err := json.Marshal(object)
		if err != nil {
			b.Fatal(err)
		}
		event := anneal.Event{
			SpecVersion: "1.0", ID: object.EventID(anneal.SourceDirectory), Source: anneal.SourceDirectory,
			Type: anneal.TypeObjectCreated, Subject: object.Object.Key, DataContentType: "application/json",
			Data: raw, Time: at, Seen: at.Add(time.Duration(n) * time.Second),
		}
		data, err := json.Marshal(event)
		if err != nil {
			b.Fatal(err)
		}
		if n == 0 {
			first = event.ID
		}
		if records = append(records, journal.Record{Kind: "event", Key: event.ID, Data: data}); len(records) == 500 || n == events-1 {
			if _, err := j.Append(b.Context(), records...); err != nil {
				b.Fatal(err)
			}
			records = nil
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	return first
}

// BenchmarkJournal is what a journal of many events costs: a start, up to
// serving, where an earlier one has folded it; and the commands that read,
// without the time that a process needs to begin.
func BenchmarkJournal(b *testing.B) {
	for _, events := range []int{0, 10_000, 1_000_000} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			dir := b.TempDir()
			project := fstest.MapFS{
				"anneal.yaml": {Data: []byte(benchSettings)}, "policy.yaml": {Data: []byte(benchPolicy)}, "inbox/.keep": {},
			}
			if err := os.CopyFS(dir, project); err != nil {
				b.Fatal(err)
			}
			data := filepath.Join(dir, "anneal-data")
			first := eventJournal(b, data, events)
			b.Run("start", func(b *testing.B) {
				benchStart(b, filepath.Join(dir, "anneal.yaml"))
			})
			for _, args := range [][]string{
				{"events", "list", "--data", data},
				{"events", "show", first, "--data", data},
				{"decisions", "list", "--data", data},
			} {
				if events == 0 {
					break // there is nothing to show
				}
				b.Run(args[0]+"-"+args[1], func(b *testing.B) {
					for b.Loop() {
						if status := run(b.Context(), args, nil, io.Discard, io.Discard); status != 0 {
							b.Fatalf("anneal %v: status %d", args, status)
						}
					}
				})
			}
		})
	}
}

const (
	benchSettings = `listen: 127.0.0.1:0
policies: [./policy.yaml]
sources: [{directory: {path: ./inbox}}]
`
	benchPolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: watch}
spec:
  model: {group: g}
  signals: {rows: {source: data, reduce: rows}}
  triggers: [{id: new, event: {type: Object Created}}]
  rules: [{id: many, if: "signals.rows.value >= 8000"}]
`
)

func benchStart(b *testing.B, settings string) {
	start := func() {
		cfg, err := configs.Load(settings, loadOptions())
		if err != nil {
			b.Fatal(err)
		}
		d, err := assemble(b.Context(), cfg, slog.New(slog.DiscardHandler), 0)
		if err != nil {
			b.Fatal(err)
		}
		d.close()
	}
	start() // the first one folds the journal
	for b.Loop() {
		start()
	}
}

// BenchmarkPolicies is a start with 10,000 policies, up to serving, on a journal
// that knows them.
func BenchmarkPolicies(b *testing.B) {
	project := fstest.MapFS{"anneal.yaml": {Data: []byte(strings.Replace(benchSettings, "./policy.yaml", "./policies", 1))}, "inbox/.keep": {}}
	for n := range 10_000 {
		p := strings.NewReplacer("name: watch", fmt.Sprintf("name: watch-%d", n), "group: g", fmt.Sprintf("group: g-%d", n),
			"{type: Object Created}", fmt.Sprintf(`{type: Object Created, match: "event.data.object.key.startsWith('%d/')"}`, n)).Replace(benchPolicy)
		project[fmt.Sprintf("policies/%d.yaml", n)] = &fstest.MapFile{Data: []byte(p)}
	}
	dir := b.TempDir()
	if err := os.CopyFS(dir, project); err != nil {
		b.Fatal(err)
	}
	benchStart(b, filepath.Join(dir, "anneal.yaml"))
}
