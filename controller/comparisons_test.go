package controller_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/witness"
	"github.com/anneal-ml/anneal/objects"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/policy"
)

// rowsOf is a file of n rows whose columns lie around shift, and whose target goes
// by the first of them; turned, it goes the other way.
func rowsOf(seed uint64, n int, shift float64, turned bool) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	var b bytes.Buffer
	b.WriteString("a,b,y\n")
	for range n {
		a := r.NormFloat64()
		y := a > 0 != turned
		fmt.Fprintf(&b, "%.3f,%.3f,%t\n", a+shift, r.NormFloat64()+shift, y)
	}
	return b.Bytes()
}

// idleOf is a file without the target in which only the column has moved that it does
// not hang on.
func idleOf(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 3))
	var b bytes.Buffer
	b.WriteString("a,b,y\n")
	for range n {
		fmt.Fprintf(&b, "%.3f,%.3f,\n", r.NormFloat64(), r.NormFloat64()/2+1)
	}
	return b.Bytes()
}

// TestComparisons has windows judged by a witness of the champion's data while they
// can be read again, and by the columns, with the reason, where they cannot.
func TestComparisons(t *testing.T) {
	files := map[string][]byte{
		"reference.csv":  rowsOf(1, 2000, 0, false),
		"same.csv":       rowsOf(2, 500, 0, false),
		"turned.csv":     rowsOf(3, 500, 0, true),
		"few.csv":        rowsOf(4, 20, 0, true),
		"unlabelled.csv": bytes.ReplaceAll(bytes.ReplaceAll(rowsOf(5, 500, 3, false), []byte(",true"), []byte(",")), []byte(",false"), []byte(",")),
		"idle.csv":       idleOf(7, 500),
		"gone.csv":       rowsOf(6, 500, 3, false),
	}
	synctest.Test(t, func(t *testing.T) {
		opened := map[string]int{}
		c := serve(t, history{Target: "y"}.policy(t, "signals.drift.verdict == 'drift' && signals.drift.due && signals.drift.n > 1e9"), opens(files), func(cfg *controller.Config) {
			cfg.Workers = 1
			cfg.Open = func(_ context.Context, o anneal.Object) (io.ReadCloser, error) { // by one worker
				name := path.Base(o.URI)
				if opened[name]++; name == "gone.csv" {
					return nil, fmt.Errorf("open %s: %w", o.URI, objects.ErrNotFound)
				}
				return opens(files)(o)
			}
		})
		for _, step := range []struct {
			file    string
			verdict drift.Verdict
			quality string // of the witness; empty: none
			outlook string // which holds; otherwise it is unknown, or not asked for
			alone   string // part of the reason
			due     bool
		}{
			{file: "reference.csv"},
			{file: "same.csv", verdict: drift.None, quality: witness.Holds},
			{file: "turned.csv", verdict: drift.Drift, quality: witness.Worse, due: true},
			{file: "few.csv", alone: "too few rows have the target"},
			{file: "unlabelled.csv", verdict: drift.Drift, alone: "too few rows have the target", due: true}, // by the rows
			{file: "idle.csv", verdict: drift.None, outlook: witness.Holds, alone: "too few rows have the target", due: true},
			{file: "gone.csv", verdict: drift.Drift, alone: "cannot be read again: open s3://inbox/gone.csv", due: true},
		} {
			e := c.drop(step.file)
			time.Sleep(time.Hour)
			if step.file == "reference.csv" {
				continue
			}
			s, got := c.drift(e)
			quality := ""
			if got.Quality != nil {
				quality = got.Quality.Verdict
			}
			if held := got.Outlook != nil && got.Outlook.Verdict == witness.Holds; held != (step.outlook != "") {
				t.Errorf("%s: the outlook is %+v, want %q", step.file, got.Outlook, step.outlook)
			}
			if step.verdict == "" { // no column can be tested
				if s.Status != anneal.SignalMissing || s.Due != nil || !strings.Contains(got.ColumnsAlone, step.alone) {
					t.Errorf("%s: %s due %v, %q", step.file, s.Status, s.Due, got.ColumnsAlone)
				}
				continue
			}
			if s.Verdict != string(step.verdict) || got.Verdict != step.verdict || quality != step.quality || s.Due == nil || *s.Due != step.due ||
				!strings.Contains(got.ColumnsAlone, step.alone) || (got.ColumnsAlone == "") != (step.alone == "") {
				t.Errorf("%s: %s (%s), witness %q, due %v, columns alone %q; want %+v", step.file, s.Verdict, s.Status, quality, s.Due, got.ColumnsAlone, step)
			}
		}
		if opened["reference.csv"] != 1 {
			t.Errorf("the reference was read again %d times, want once for all windows", opened["reference.csv"])
		}
		c.verify()
	})
}

// BenchmarkWindow is a file of 10,000 rows and 13 columns, from its event to the decision about
// it, with a witness of 30,000 rows of the champion's: 99 of 100 within 100 ms is the goal.
func BenchmarkWindow(b *testing.B) {
	table := func(seed uint64, rows int) []byte {
		r := rand.New(rand.NewPCG(seed, 4))
		var t bytes.Buffer
		t.WriteString("a0,a1,a2,a3,a4,a5,a6,a7,a8,a9,b0,b1,y\n")
		for range rows {
			first := r.NormFloat64()
			fmt.Fprintf(&t, "%.6f", first)
			for range 9 {
				fmt.Fprintf(&t, ",%.6f", r.NormFloat64())
			}
			fmt.Fprintf(&t, ",c%d,d%d,%t\n", r.IntN(4), r.IntN(100), first+r.NormFloat64() > 0)
		}
		return t.Bytes()
	}
	files := [][]byte{table(0, 30_000), table(1, 10_000), table(2, 10_000), table(3, 10_000)}
	content := opener(func(o anneal.Object) (io.ReadCloser, error) {
		var n int
		fmt.Sscanf(path.Base(o.URI), "f%d.csv", &n)
		if n > 0 {
			n = 1 + n%3
		}
		return io.NopCloser(bytes.NewReader(files[n])), nil
	})
	c := serve(b, history{Target: "y"}.policy(b, "false"), content, func(cfg *controller.Config) {
		cfg.Open = content.read
		cfg.Executors = map[string]orchestrator.Executor{policy.ExecutorEmbedded: newWorld(script{conduct: []conduct{{takes: time.Millisecond}}})}
	})
	decide := func(n int) {
		e := c.drop(fmt.Sprintf("f%d.csv", n))
		for {
			if _, err := c.journal.Find(b.Context(), controller.KindDecision, anneal.DecisionID("history", e.ID)); err == nil {
				return
			}
			time.Sleep(200 * time.Microsecond)
		}
	}
	decide(0)
	for len(c.Status().Policies[0].OpenRuns) > 0 {
		time.Sleep(time.Millisecond)
	}
	decide(1) // waits for the witness
	var took []time.Duration
	n := 2
	for b.Loop() {
		start := time.Now()
		decide(n)
		took = append(took, time.Since(start))
		n++
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
}
