package stream

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mathext/prng"
)

// python draws as random.Random(seed) of CPython does.
type python struct{ *prng.MT19937 }

func newPython(seed uint32) python {
	p := python{prng.NewMT19937()}
	p.SeedFromKeys([]uint32{seed})
	return p
}

// choices are n draws of [low, high), equally likely, or of 0 and 1 where 0 has
// the weight zero.
func (p python) choices(n int, low, high, zero float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		a, b := p.Uint32()>>5, p.Uint32()>>6
		u := (float64(a)*(1<<26) + float64(b)) / (1 << 53)
		switch {
		case zero == 0:
			values[i] = low + math.Floor(u*(high-low))
		case u >= zero:
			values[i] = 1
		}
	}
	return values
}

type detector = Detector

// TestRiver runs the examples of River's documentation, of which each prints
// where drift comes, and the first warning since the last.
func TestRiver(t *testing.T) {
	random := newPython(42)
	errors := slices.Concat(random.choices(1000, 0, 2, 0), random.choices(1000, 0, 2, 0.3))
	random = newPython(12345)
	jump := slices.Concat(random.choices(1000, 0, 2, 0), random.choices(1000, 4, 8, 0))
	eddm := NewEDDM()
	eddm.Warning, eddm.Drift = 0.8, 0.75
	kswin := NewKSWIN(42)
	kswin.Alpha = 0.0001
	for name, c := range map[string]struct {
		detector
		stream []float64
		want   string
	}{
		"DDM":         {NewDDM(), errors, "warning 1084, drift 1334, warning 1492"},
		"EDDM":        {eddm, errors, "warning 1059, drift 1278"},
		"HDDMA":       {NewHDDMA(false), errors, "warning 451, drift 1206"},
		"HDDMW":       {NewHDDMW(false), errors, "warning 451, drift 1077"},
		"ADWIN":       {NewADWIN(false), jump, "drift 1023"},
		"PageHinkley": {NewPageHinkley(), jump, "drift 1006"},
		"KSWIN":       {kswin, jump, "drift 1016"},
	} {
		got, warned := "", false
		for i, x := range c.stream {
			drift, warning := c.Add(x)
			if warning && !warned {
				got += fmt.Sprintf(", warning %d", i)
				warned = true
			}
			if drift {
				got += fmt.Sprintf(", drift %d", i)
				warned = false
			}
		}
		if got = got[min(2, len(got)):]; got != c.want {
			t.Errorf("%s: %s; want %s", name, got, c.want)
		}
	}
}

// TestTwoSided finds a fall where, and only where, it is looked for.
func TestTwoSided(t *testing.T) {
	random := newPython(7)
	falling := slices.Concat(random.choices(2000, 0, 2, 0.4), random.choices(2000, 0, 2, 0.9))
	for _, c := range []struct {
		name string
		detector
		found bool
	}{
		{"HDDMA", NewHDDMA(false), false}, {"HDDMA two-sided", NewHDDMA(true), true},
		{"HDDMW", NewHDDMW(false), false}, {"HDDMW two-sided", NewHDDMW(true), true},
	} {
		found := false
		for i, x := range falling {
			if drift, _ := c.Add(x); drift && i >= 2000 && i < 2200 {
				found = true
			}
		}
		if found != c.found {
			t.Errorf("%s: the fall is found: %v, want %v", c.name, found, c.found)
		}
	}
}

// TestWindow holds what ADWIN remembers against the values themselves.
func TestWindow(t *testing.T) {
	d := NewADWIN(true)
	if d.Width() != 0 || d.Mean() != 0 {
		t.Errorf("an empty window has %d values, mean %v", d.Width(), d.Mean())
	}
	random := newPython(1)
	values := slices.Concat(random.choices(1000, 0, 10, 0), random.choices(1000, 5, 15, 0))
	for i, x := range values {
		d.Add(x)
		latest := values[i+1-d.Width() : i+1]
		mean, squares := 0.0, 0.0
		for _, v := range latest {
			mean += v / float64(len(latest))
		}
		for _, v := range latest {
			squares += (v - mean) * (v - mean)
		}
		if math.Abs(d.Mean()-mean) > 1e-9 || math.Abs(d.variance-squares) > 1e-6*(1+squares) {
			t.Fatalf("after value %d: mean %v and squares %v, want %v and %v", i, d.Mean(), d.variance, mean, squares)
		}
		buckets := 0
		for _, row := range d.rows {
			buckets += len(row)
		}
		if buckets > d.Buckets*(2+int(math.Log2(float64(i+1)))) {
			t.Fatalf("after value %d: %d buckets", i, buckets)
		}
	}
	if d.Width() > 1200 {
		t.Errorf("the window still has %d values, of both laws", d.Width())
	}
}

// TestSave saves and restores each detector between any two values: it then finds
// what an undisturbed one does.
func TestSave(t *testing.T) {
	random := newPython(11)
	values := slices.Concat(random.choices(700, 0, 2, 0.9), random.choices(500, 0, 2, 0.4), random.choices(500, 0, 2, 0.8))
	for name, make := range map[string]func() Detector{
		"adwin": func() Detector { return NewADWIN(false) }, "adwin_keep": func() Detector { return NewADWIN(true) },
		"ddm": func() Detector { return NewDDM() }, "eddm": func() Detector { return NewEDDM() },
		"hddm_a": func() Detector { return NewHDDMA(true) }, "hddm_w": func() Detector { return NewHDDMW(true) },
		"page_hinkley": func() Detector { p := NewPageHinkley(); p.Threshold = 5; return p },
		"kswin":        func() Detector { return NewKSWIN(3) },
	} {
		whole, parts, drifts, longest := make(), make(), 0, 0
		for i, x := range values {
			drift, warning := whole.Add(x)
			saved := Save(parts)
			longest = max(longest, len(saved))
			parts = make()
			if err := Restore(parts, saved); err != nil {
				t.Fatal(err)
			}
			if d, w := parts.Add(x); d != drift || w != warning {
				t.Fatalf("%s at value %d: drift %v, warning %v after a restart; %v, %v without", name, i, d, w, drift, warning)
			}
			if drift {
				drifts++
			}
		}
		if drifts == 0 || longest > 4096 {
			t.Errorf("%s: %d drifts, saved in up to %d bytes", name, drifts, longest)
		}
		saved := Save(whole)
		for _, damaged := range [][]byte{saved[:len(saved)-1], append(slices.Clone(saved), 0), nil} {
			if err := Restore(make(), damaged); err == nil {
				t.Errorf("%s: %d of %d bytes are taken for what was saved", name, len(damaged), len(saved))
			}
		}
	}
}
