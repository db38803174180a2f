package controller_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/objects"
)

// TestExactly has columns whose sketches leave the verdict open read again: both sides
// of them. Where the data are gone in the meantime, or others, the interval of the
// sketches stays and what is certain of it counts.
func TestExactly(t *testing.T) {
	const n = 20_000
	// moved is the whole numbers from k on, so that Kolmogorov and Smirnov's D to
	// those from 0 on is k/n.
	moved := func(k, rows int) []byte {
		var b bytes.Buffer
		b.WriteString("x\n")
		for _, i := range rand.New(rand.NewPCG(uint64(k), 1)).Perm(rows) {
			fmt.Fprintln(&b, i+k)
		}
		return b.Bytes()
	}
	files := map[string][]byte{
		"reference.csv": moved(0, n), "below.csv": moved(1990, n), "above.csv": moved(2010, n), "beyond.csv": moved(4000, n),
		"gone.csv": moved(2011, n), "swapped.csv": moved(2012, n),
	}
	opened := map[string]int{}
	again := opener(func(o anneal.Object) (io.ReadCloser, error) { // by one worker
		name := path.Base(o.URI)
		opened[name]++
		switch name {
		case "gone.csv":
			return nil, fmt.Errorf("open %s: %w", o.URI, objects.ErrNotFound)
		case "swapped.csv":
			return io.NopCloser(bytes.NewReader(moved(0, n-1))), nil
		}
		return opens(files)(o)
	})
	synctest.Test(t, func(t *testing.T) {
		spec := history{}.policy(t, "signals.drift.verdict == 'drift' && signals.drift.n > 1e9").Spec
		s := spec.Spec.Signals["drift"]
		s.Tests = []string{"ks"} // whose threshold is 0.1
		spec.Spec.Signals["drift"] = s
		p := compiled(t, spec)
		c := serve(t, p, opens(files), func(cfg *controller.Config) {
			cfg.Workers, cfg.Open = 1, again.read
		})
		for _, step := range []struct {
			file    string
			d       float64 // 0: not known exactly
			verdict drift.Verdict
			reads   int // of the reference
		}{
			{file: "reference.csv"},
			{"below.csv", 0.0995, drift.None, 1},
			{"above.csv", 0.1005, drift.Drift, 1},
			{"beyond.csv", 0, drift.Drift, 0}, // the sketches are enough
			{"gone.csv", 0, drift.None, 1},
			{"swapped.csv", 0, drift.None, 1},
		} {
			before := opened["reference.csv"]
			e := c.drop(step.file)
			time.Sleep(time.Hour)
			if _, err := c.journal.Find(t.Context(), controller.KindDecision, anneal.DecisionID("history", e.ID)); err != nil {
				t.Fatalf("%s: the decision: %v", step.file, err)
			}
			if step.file == "reference.csv" {
				continue
			}
			s, got := c.drift(e)
			if s.Status != anneal.SignalOK || s.Error != "" || got.Verdict != step.verdict || len(got.Columns) != 1 {
				t.Errorf("%s: %s %q, %s; want %s", step.file, s.Status, s.Error, got.Verdict, step.verdict)
				continue
			}
			ks := got.Columns[0].Tests[1]
			switch {
			case ks.Test != "ks", step.d > 0 && (ks.Low != ks.High || ks.Low < step.d-1e-12 || ks.Low > step.d+1e-12):
				t.Errorf("%s: %s in [%v, %v], exactly %v", step.file, ks.Test, ks.Low, ks.High, step.d)
			case step.d == 0 && ks.Low == ks.High:
				t.Errorf("%s: D is %v exactly, which nobody can know", step.file, ks.Low)
			}
			if times := opened["reference.csv"] - before; times != step.reads {
				t.Errorf("%s: the reference was read %d times again, want %d", step.file, times, step.reads)
			}
		}
		c.verify()
	})
}
