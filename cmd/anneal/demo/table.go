package demo

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/anneal-ml/anneal"
)

// A Table is how the story went, a line a batch. The model that was live when
// a batch came is measured on it before anything is trained on it.
type Table struct {
	Metric        string // accuracy, mae, …
	LowerIsBetter bool
	Batches       []Batch
	Runs          int
	Promoted      int
}

// A Batch is one line of a [Table]. What was not measured is nil.
type Batch struct {
	Name    string
	Rows    int
	Drift   *float64 // share of drifted columns
	Verdict anneal.Verdict
	Reason  string   // short; cut to the width of the table
	Model   string   // live when the batch came
	Live    *float64 // its metric on the batch
	Never   *float64 // that of the first model
}

// Means are the metric over all batches that were measured, weighted by rows:
// of the models that were live, and of the first model. ok is false where none
// was measured.
func (t Table) Means() (live, never float64, ok bool) {
	rows := 0.0
	for _, b := range t.Batches {
		if b.Live != nil && b.Never != nil {
			live += *b.Live * float64(b.Rows)
			never += *b.Never * float64(b.Rows)
			rows += float64(b.Rows)
		}
	}
	if rows == 0 {
		return 0, 0, false
	}
	return live / rows, never / rows, true
}

const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

// Write prints the table, in at most width columns where that is 80 or more, and
// a sentence of totals. The column `never` is the first model's metric.
func (t Table) Write(w io.Writer, width int, color bool) error {
	out := bufio.NewWriter(w)
	paint := func(code, text string) string {
		if !color || code == "" {
			return text
		}
		return code + text + plain
	}
	names, rows, verdicts, models := len("batch"), len("rows"), len("verdict"), len("model")
	digits := t.digits()
	lives, nevers := len(t.Metric), len("never")
	for _, b := range t.Batches {
		names = max(names, utf8.RuneCountInString(short(b.Name)))
		rows = max(rows, len(fmt.Sprint(b.Rows)))
		verdicts = max(verdicts, len(b.Verdict))
		models = max(models, utf8.RuneCountInString(b.Model))
		lives, nevers = max(lives, len(printed(b.Live, digits))), max(nevers, len(printed(b.Never, digits)))
	}
	names, models = min(names, 20), min(models, 16)
	const drifts = len("drift")
	// Two spaces between the eight columns; the reasons have what is left.
	reasons := max(10, width-names-rows-drifts-verdicts-models-lives-nevers-7*2)

	fmt.Fprintln(out, paint(bold, strings.Join([]string{
		left("batch", names), right("rows", rows), "drift", left("verdict", verdicts), left("why", reasons),
		left("model", models), right(t.Metric, lives), right("never", nevers),
	}, "  ")))
	for _, b := range t.Batches {
		live, never, shade := printed(b.Live, digits), printed(b.Never, digits), ""
		if b.Live != nil && b.Never != nil && live != never {
			shade = t.shade(*b.Live, *b.Never)
		}
		tone := ""
		switch b.Verdict {
		case anneal.VerdictRun:
			tone = bold
		case anneal.VerdictError:
			tone = red
		case anneal.VerdictHold, anneal.VerdictDefer, anneal.VerdictSuppressed:
			tone = dim
		}
		model := b.Model
		if model == "" {
			model = "-"
		}
		fmt.Fprintln(out, strings.Join([]string{
			left(short(b.Name), names), right(fmt.Sprint(b.Rows), rows), right(printed(b.Drift, 2), drifts),
			paint(tone, left(string(b.Verdict), verdicts)), paint(tone, left(b.Reason, reasons)),
			left(model, models), paint(shade, right(live, lives)), right(never, nevers),
		}, "  "))
	}
	fmt.Fprintln(out)
	fmt.Fprintf(out, "%s, %s, %s.", count(len(t.Batches), "object"), count(t.Runs, "run"), count(t.Promoted, "promotion"))
	if live, never, ok := t.Means(); ok {
		a, b := printed(&live, digits), printed(&never, digits)
		shade := ""
		if a != b {
			shade = t.shade(live, never)
		}
		fmt.Fprintf(out, " Mean %s %s with retraining, %s without.", t.Metric, paint(shade, a), b)
	}
	fmt.Fprintln(out)
	return out.Flush()
}

// digits after the point: few where the numbers are large.
func (t Table) digits() int {
	for _, b := range t.Batches {
		if b.Never != nil && (*b.Never >= 10 || *b.Never <= -10) {
			return 1
		}
	}
	return 3
}

// printed is v, or a dash for nil.
func printed(v *float64, digits int) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.*f", digits, *v)
}

// shade is the colour of live beside never.
func (t Table) shade(live, never float64) string {
	if (live < never) == t.LowerIsBetter {
		return green
	}
	return red
}

// short is a file's name without what all of them end in.
func short(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".csv")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// left pads text on the right, or cuts it. What would break the line, or talk
// to the terminal, becomes a space.
func left(text string, width int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	n := utf8.RuneCountInString(text)
	if n > width {
		return string([]rune(text)[:width-1]) + "…"
	}
	return text + strings.Repeat(" ", width-n)
}

func right(text string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + text
}

// Colored reports whether f is a terminal that may be written to in colour: see
// no-color.org.
func Colored(f *os.File, getenv func(string) string) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}
