package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/dataset"
	"github.com/anneal-ml/anneal/drift/profile"
)

// A story is a policy of the project's form over a stream of batches, without
// the daemon: what it measures, decides, trains and promotes, batch by batch.
type story struct {
	files  []File
	target string
	task   string
	ignore []string
	l2     float64

	last    int     // objects to train on
	share   float64 // of drifted columns
	rows    int     // since the last training
	windows int     // of the last three, or 1 for no `for`
	phase   int     // batches that come before the pace is counted

	tables   []*Rows
	profiles []*profile.Profile
}

// open reads the files, once for all that is told of them.
func (s *story) open(t *testing.T) {
	t.Helper()
	for _, f := range s.files {
		p, err := profile.Build(context.Background(), bytes.NewReader(f.Data), f.Name, dataset.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.tables, s.profiles = append(s.tables, parse(t, string(f.Data))), append(s.profiles, p)
	}
}

type told struct {
	live, never    float64 // the metric, weighted by rows
	runs, promoted int
	lines          []string
}

func (s story) tell(t *testing.T) told {
	t.Helper()
	metric, better := "accuracy", func(a, b float64) bool { return a >= b }
	if s.task == Regression {
		metric, better = "mae", func(a, b float64) bool { return a <= b }
	}
	tables, profiles := s.tables, s.profiles
	train := func(rows *Rows) *Model {
		m, err := fit(rows, s.target, s.task, s.ignore, s.l2)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	score := func(m *Model, rows *Rows) float64 {
		metrics, _, err := m.Score(rows)
		if err != nil {
			t.Fatal(err)
		}
		return metrics[metric]
	}

	first := train(tables[0])
	champion, reference := first, profiles[0]
	out := told{runs: 1, promoted: 1}
	var total, rows int
	var windows []bool
	for i := 1; i < len(tables); i++ {
		n := len(tables[i].Records)
		live, never := score(champion, tables[i]), score(first, tables[i])
		out.live += live * float64(n)
		out.never += never * float64(n)
		total += n
		if i > s.phase {
			rows += n
		}
		comparison := drift.Compare(reference, profiles[i], drift.Options{Target: s.target, Tests: []drift.Choice{{Test: "ks"}, {Test: "psi"}}})
		share := *comparison.Share
		windows = append(windows, share >= s.share && rows >= s.rows)
		recent := 0
		for _, w := range windows[max(0, len(windows)-3):] {
			if w {
				recent++
			}
		}
		line := fmt.Sprintf("%s share=%.2f live=%.3f never=%.3f", s.files[i].Name, share, live, never)
		if windows[len(windows)-1] && recent >= s.windows {
			var chosen []*Rows
			var chosenProfiles []*profile.Profile
			for j := max(0, i-s.last+1); j <= i; j++ {
				chosen = append(chosen, &Rows{Header: tables[j].Header, Records: slices.Clone(tables[j].Records)})
				chosenProfiles = append(chosenProfiles, profiles[j])
			}
			data := join(chosen)
			cut := len(data.Records) - len(data.Records)/5
			holdout := data.slice(cut, len(data.Records))
			candidate, old := score(train(data.slice(0, cut)), holdout), score(champion, holdout)
			line += fmt.Sprintf(" run: candidate=%.3f champion=%.3f", candidate, old)
			out.runs++
			rows = 0
			if better(candidate, old) {
				champion = train(data)
				reference = profile.Merge(chosenProfiles...)
				windows = nil
				out.promoted++
			}
		}
		out.lines = append(out.lines, line)
	}
	out.live /= float64(total)
	out.never /= float64(total)
	return out
}

// sharedStory is a real data set as `anneal demo --data` would serve it.
func sharedStory(t *testing.T, set, target string, ignore ...string) story {
	t.Helper()
	root := os.Getenv("ANNEAL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared")
	}
	folder := filepath.Join(root, "drift", "datasets", set)
	if _, err := os.Stat(folder); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("shared data: %v", err)
		}
		t.Skipf("shared data is not here: %v", err)
	}
	names, err := Batches(folder)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := Summarise(names, target, ignore)
	if err != nil {
		t.Fatal(err)
	}
	s := story{
		target: target, task: summary.Task, ignore: ignore, l2: 1,
		last: 2, share: 0.3, rows: summary.BatchRows * 5 / 2, windows: 1,
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, File{Name: filepath.Base(name), Data: data})
	}
	return s
}

// TestRetrainingPays plays the policy that WriteProject writes over real data,
// at every phase of its pace, so that a lucky moment does not decide.
func TestRetrainingPays(t *testing.T) {
	for _, test := range []struct {
		set, target string
		ignore      []string
		task        string
		gain        float64 // at least, as a share of never's metric
	}{
		{"elec2", "class", nil, Classification, 0.02},
		{"bike", "cnt", []string{"instant", "dteday", "yr", "casual", "registered"}, Regression, 0.1},
	} {
		t.Run(test.set, func(t *testing.T) {
			s := sharedStory(t, test.set, test.target, test.ignore...)
			if s.task != test.task {
				t.Fatalf("task is %s, want %s", s.task, test.task)
			}
			s.open(t)
			for s.phase = range 3 {
				got := s.tell(t)
				t.Logf("phase %d: live %.4f, never %.4f, %d runs, %d promoted", s.phase, got.live, got.never, got.runs, got.promoted)
				gain := (got.live - got.never) / got.never
				if s.task == Regression {
					gain = -gain
				}
				if gain < test.gain {
					t.Errorf("phase %d: retraining gains %.1f %%, want at least %.0f %%", s.phase, 100*gain, 100*test.gain)
				}
				if batches := len(s.files) - 1; got.runs > batches/2 {
					t.Errorf("phase %d: %d runs for %d batches, want at most half", s.phase, got.runs, batches)
				}
			}
		})
	}
}

// TestMarketStory plays the market's own policy over a few markets.
func TestMarketStory(t *testing.T) {
	for seed := range uint64(3) {
		s := story{
			files: Market(seed), target: MarketTarget, task: Classification, l2: 1,
			last: 2, share: 0.5, rows: 1000, windows: 2,
		}
		s.open(t)
		got := s.tell(t)
		trace := strings.Join(got.lines, "\n")
		t.Logf("seed %d: live %.3f, never %.3f, %d runs, %d promoted\n%s", seed, got.live, got.never, got.runs, got.promoted, trace)
		for i, line := range got.lines {
			quiet := i < 4 // batches 1 to 4 keep the law
			if quiet && strings.Contains(line, "run") {
				t.Errorf("seed %d: a run while the law stood: %s", seed, line)
			}
		}
		if got.runs < 3 || got.runs > 5 {
			t.Errorf("seed %d: %d runs, want 3 to 5 with the first", seed, got.runs)
		}
		if got.live < got.never+0.08 {
			t.Errorf("seed %d: accuracy %.3f with retraining and %.3f without, want 0.08 more", seed, got.live, got.never)
		}
	}
}
