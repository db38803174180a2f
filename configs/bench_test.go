package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// benchPolicy is policy number n: much as in the others, its name, group and
// prefix its own.
func benchPolicy(n, rows int) string {
	return fmt.Sprintf(`apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: policy-%05d, labels: {team: pricing}}
spec:
  mode: observe
  timeZone: Europe/Berlin
  model: {group: group-%05[1]d}
  data:
    target: class
    train: {last: 6}
  signals:
    drift: {source: data, window: {objects: 3}, reference: champion}
    rows:  {source: data, reduce: rows, since: lastTrained}
  triggers:
    - id: new-data
      event: {type: Object Created, match: "event.data.object.key.startsWith('training/%05[1]d/')"}
      debounce: {quiet: 15m, maxWait: 2h, minRows: 10000}
    - id: nightly
      schedule: {cron: "30 2 * * *", catchUp: latest, deadline: 6h}
  rules:
    - {id: first, if: "!champion.exists && signals.rows.value >= %[2]d"}
    - {id: drifted, if: "signals.drift.share >= 0.5 && signals.rows.value >= 5000", for: {windows: 2, of: 3}}
    - {id: stale, if: "champion.age > days(30) && signals.rows.value > 0"}
  guards:
    cooldown: {after: success, for: 24h}
    concurrency: {key: model.group, limit: 1, overlap: buffer-one}
    budget: {runs: 12, per: 30d}
    blackout: [{cron: "0 0 24 12 *", for: 72h}]
  run:
    stateMachine: {file: pipeline.asl.json}
    input: {DataPath: {expr: training.prefix}, TrainingJobName: {expr: "'train-' + run.id"}, AccuracyThreshold: 0.7}
  notify: [{events: [started, failed], to: team}]
`, n, rows)
}

// benchFolder has that many policies, so many in a file.
func benchFolder(b *testing.B, policies, inFile int) (dir string) {
	b.Helper()
	dir = b.TempDir()
	files := map[string]string{
		"anneal.yaml":                "policies: [./policies]\nnotify: {team: {log: {}}}\n",
		"policies/pipeline.asl.json": `{"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}`,
	}
	for first := 0; first < policies; first += inFile {
		var file strings.Builder
		for n := first; n < min(first+inFile, policies); n++ {
			file.WriteString("---\n" + benchPolicy(n, 8000))
		}
		files[fmt.Sprintf("policies/p%05d.yaml", first)] = file.String()
	}
	for name, content := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkLoad reads 10,000 policies that were never read before, from files of
// their own and from a few large ones, and again after one of them has changed;
// each is to be done within 3 seconds.
func BenchmarkLoad(b *testing.B) {
	const policies, goal = 10_000, 3 // seconds
	for _, inFile := range []int{1, 1000} {
		b.Run(fmt.Sprintf("infile=%d", inFile), func(b *testing.B) {
			dir := benchFolder(b, policies, inFile)
			var c *Config
			load := func(b *testing.B) {
				var err error
				if c, err = Load(filepath.Join(dir, "anneal.yaml"), Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.Run("all", func(b *testing.B) {
				for b.Loop() {
					load(b)
				}
				b.ReportMetric(goal*float64(b.N)/b.Elapsed().Seconds(), "of-goal")
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-live")
			})
			b.Run("one-changed", func(b *testing.B) {
				load(b)
				file, rows := filepath.Join(dir, "policies", "p00000.yaml"), 8000
				before, err := os.ReadFile(file)
				if err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					rows++
					after := strings.Replace(string(before), ">= 8000", fmt.Sprintf(">= %d", rows), 1)
					if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
						b.Fatal(err)
					}
					if c, err = c.Reload(Options{}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(goal*float64(b.N)/b.Elapsed().Seconds(), "of-goal")
				runtime.KeepAlive(c)
			})
		})
	}
}
