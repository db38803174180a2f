package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/anneal-ml/anneal/drift"
)

//go:embed templates/drift.html
var driftPage string

// A chartBar is a pair of bars for a part of a column, in per cent of the longest.
type chartBar struct {
	Name, Label        string
	Reference, Current float64
}

func chart(parts []drift.Move) []chartBar {
	most := 0.0
	for _, p := range parts {
		most = max(most, p.Reference, p.Current)
	}
	var bars []chartBar
	for _, p := range parts {
		bars = append(bars, chartBar{
			Name: shortened(p.Part, 60), Reference: 100 * p.Reference / most, Current: 100 * p.Current / most,
			Label: fmt.Sprintf("%.1f %% → %.1f %%", 100*p.Reference, 100*p.Current),
		})
	}
	return bars
}

// shortened cuts a name to n characters.
func shortened(name string, n int) string {
	if r := []rune(name); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return name
}

// A driftReport is a comparison as a page.
type driftReport struct {
	drift.Comparison
	ReferenceName, CurrentName, Target string
	Rules                              drift.RuleSet
}

// Headline says what it came to.
func (r driftReport) Headline() string {
	switch r.Verdict {
	case drift.Drift:
		return "Drift"
	case drift.None:
		return "No drift"
	}
	return "Too few rows to tell"
}

// Small reports whether all columns can be shown at once.
func (r driftReport) Small() bool { return len(r.Columns) <= 12 }

// Furthest is the test that counts which is furthest beyond its threshold, or nearest
// to it; none where the thresholds are probabilities.
func (r driftReport) Furthest(c drift.Column) string {
	test, of := c.Furthest()
	if test == nil || r.Rules == drift.EvidentlyRules && test.PValue != nil {
		return ""
	}
	return fmt.Sprintf("%s %.3g of %.3g", test.Test, of*test.Threshold, test.Threshold)
}

// writePage writes a comparison as a page that needs nothing else. Columns that
// drifted come first, those that matter most before the others.
func writePage(path string, c driftReport) error {
	t, err := template.New("drift").Funcs(template.FuncMap{
		"chart":       chart,
		"percent":     percent,
		"probability": func(p *float64) string { return fmt.Sprintf("%.2g", *p) },
	}).Parse(driftPage)
	if err != nil {
		return err
	}
	c.Columns = c.Mattering()
	var text bytes.Buffer
	if err := t.Execute(&text, c); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeWhole(path, text.Bytes())
}

// writeMoves shows what moved most in each column that drifted, with bars.
func writeMoves(w io.Writer, columns []drift.Column) {
	for _, c := range columns {
		if c.Verdict != drift.Drift || len(c.Moved) == 0 {
			continue
		}
		since := ""
		if c.Since != "" {
			since = ", since " + printable(c.Since)
		}
		fmt.Fprintf(w, "\n%s%s\n", printable(c.Name), since)
		most := 0.0
		for _, m := range c.Moved {
			most = max(most, m.Reference, m.Current)
		}
		for _, m := range c.Moved {
			fmt.Fprintf(w, "  %-24s %s %5.1f %%  →  %s %5.1f %%\n", shortened(printable(m.Part), 24),
				bar(m.Reference/most), 100*m.Reference, bar(m.Current/most), 100*m.Current)
		}
	}
	fmt.Fprintln(w)
}

// bar is a share as a bar twelve characters wide, to an eighth of one.
func bar(share float64) string {
	const width = 12
	eighths := int(math.Round(8 * width * share))
	b := strings.Repeat("█", eighths/8)
	if eighths%8 > 0 {
		b += string([]rune("▏▎▍▌▋▊▉")[eighths%8-1])
	}
	return b + strings.Repeat(" ", width-len([]rune(b)))
}
