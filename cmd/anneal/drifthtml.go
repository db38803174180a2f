package main

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/drift"
)

//go:embed templates/drift.html
var driftPage string

// A chart is a pair of bars for each part of a column, in an SVG 640 wide.
type chart struct {
	Height int
	Bars   []chartBar
}

type chartBar struct {
	Name, Label        string
	Top, Middle, Text  int
	Reference, Current float64
	End                float64
}

func newChart(parts []drift.Move) *chart {
	if len(parts) == 0 {
		return nil
	}
	most := 0.0
	for _, p := range parts {
		most = max(most, p.Reference, p.Current)
	}
	c := &chart{Height: 24*len(parts) + 4}
	for i, p := range parts {
		b := chartBar{Name: shortened(p.Part, 24), Top: 24*i + 3, Middle: 24*i + 12, Text: 24*i + 15}
		b.Reference, b.Current = 340*p.Reference/most, 340*p.Current/most
		b.End = 166 + max(b.Reference, b.Current)
		b.Label = fmt.Sprintf("%.1f %% → %.1f %%", 100*p.Reference, 100*p.Current)
		c.Bars = append(c.Bars, b)
	}
	return c
}

// shortened cuts a name to n characters.
func shortened(name string, n int) string {
	if r := []rune(name); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return name
}

// writePage writes a comparison as a page that needs nothing else. Columns that
// drifted come first.
func writePage(path string, c drift.Comparison) (err error) {
	t, err := template.New("drift").Funcs(template.FuncMap{
		"chart":       newChart,
		"probability": func(p *float64) string { return fmt.Sprintf("%.2g", *p) },
	}).Parse(driftPage)
	if err != nil {
		return err
	}
	c.Columns = slices.Clone(c.Columns)
	slices.SortStableFunc(c.Columns, func(a, b drift.Column) int {
		last := func(c drift.Column) int {
			if c.Verdict == drift.Drift {
				return 0
			}
			return 1
		}
		return cmp.Compare(last(a), last(b))
	})
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := t.Execute(f, c); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return f.Close()
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
