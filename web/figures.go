package web

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// A group is the versions of one model.
type group struct {
	Name     string
	Champion *anneal.Model // nil: none is live
	Newest   anneal.Model
	Versions int
	Metric   string // that is drawn
	Line     *line  // nil with fewer than two values
}

// groups are the models by name, each with its champion.
func groups(models []anneal.Model) []group {
	by := map[string][]anneal.Model{}
	for _, m := range models {
		by[m.Group] = append(by[m.Group], m)
	}
	var all []group
	for _, name := range sortedKeys(by) {
		versions := by[name]
		slices.SortFunc(versions, func(a, b anneal.Model) int { return cmp.Compare(a.Version, b.Version) })
		g := group{Name: name, Versions: len(versions), Newest: versions[len(versions)-1]}
		for i, m := range versions {
			if m.Stage == anneal.StageLive {
				g.Champion = &versions[i]
			}
		}
		g.Metric = mainMetric(versions)
		g.Line = drawLine(versions, g.Metric)
		all = append(all, g)
	}
	return all
}

// mainMetric is what people ask for first, of those that the newest has.
func mainMetric(versions []anneal.Model) string {
	have := versions[len(versions)-1].Metrics
	for _, name := range []string{"accuracy", "f1", "auc", "r2", "rmse", "mae", "loss"} {
		if _, ok := have[name]; ok {
			return name
		}
	}
	for _, name := range sortedKeys(have) {
		return name
	}
	return ""
}

// maxPoints is how many versions a line shows.
const maxPoints = 30

// A line is a small drawing of values, oldest left.
type line struct {
	Points string // of an SVG polyline, in a box of 100 × 24
	Dots   []dot
	Words  string // the same for who cannot see it
}

type dot struct {
	X, Y  string
	Class string
}

func drawLine(versions []anneal.Model, metric string) *line {
	var values []float64
	var shown []anneal.Model
	for _, m := range versions {
		if v, ok := m.Metrics[metric]; ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			values, shown = append(values, v), append(shown, m)
		}
	}
	if over := len(values) - maxPoints; over > 0 {
		values, shown = values[over:], shown[over:]
	}
	if len(values) < 2 {
		return nil
	}
	low, high := slices.Min(values), slices.Max(values)
	l, points, words := &line{}, []string{}, []string{}
	for i, v := range values {
		x := 3 + 94*float64(i)/float64(len(values)-1)
		y := 12.0
		if high > low {
			y = 21 - 18*(v-low)/(high-low)
		}
		d := dot{X: coordinate(x), Y: coordinate(y), Class: string(shown[i].Stage)}
		points = append(points, d.X+","+d.Y)
		l.Dots = append(l.Dots, d)
		words = append(words, fmt.Sprintf("version %d %s", shown[i].Version, number(v)))
	}
	l.Points, l.Words = strings.Join(points, " "), metric+": "+strings.Join(words, ", ")
	return l
}

func coordinate(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

// ran is a run with what its execution has gone through.
type ran struct {
	anneal.Run
	States []visit
}

// A visit is one stay in a state.
type visit struct {
	Name, Type string
	Entered    time.Time
	Left       time.Time // zero: still there
	Outcome    string    // succeeded, failed or open
	Detail     string    // the error
	X, Width   string    // of its bar, in 100
}

const maxVisits = 200

// LeftAt is when it ended, nil while it goes on.
func (v visit) LeftAt() *time.Time {
	if v.Left.IsZero() {
		return nil
	}
	return &v.Left
}

// ran reads the history of a run; one that cannot be read is a run without.
func (h *handler) ran(ctx context.Context, run anneal.Run) ran {
	r := ran{Run: run}
	if h.History == nil || run.Status == anneal.StatusPending {
		return r
	}
	history, err := h.History(ctx, run)
	if err != nil {
		h.Log.Debug("history not read", "run", run.ID, "err", err)
		return r
	}
	end := time.Now()
	if run.Ended != nil {
		end = *run.Ended
	}
	r.States = visits(history, run.Started, end)
	return r
}

// visits are the stays of a history, in the order in which they began, drawn
// between the run's begin and end.
func visits(history []asl.HistoryEvent, begin, end time.Time) []visit {
	var all []visit
	of := map[int64]int{} // event to the visit that it belongs to
	for _, e := range history {
		at, known := of[e.PreviousID]
		if e.StateEntered != nil {
			at, known = len(all), true
			all = append(all, visit{Name: e.StateEntered.Name, Type: strings.TrimSuffix(string(e.Type), "StateEntered"), Entered: e.Timestamp, Outcome: "open"})
		}
		if !known {
			continue
		}
		of[e.ID] = at
		v := &all[at]
		if e.StateExited != nil {
			// Branches end on another event than the state began on.
			for i := len(all) - 1; i >= 0; i-- {
				if all[i].Name == e.StateExited.Name && all[i].Left.IsZero() {
					of[e.ID], v = i, &all[i]
					break
				}
			}
			v.Left, v.Outcome = e.Timestamp, "succeeded"
		}
		if failed := failure(e); failed != "" {
			v.Detail = failed
		}
	}
	if len(all) > maxVisits {
		all = all[len(all)-maxVisits:]
	}
	whole := max(end.Sub(begin).Seconds(), 1e-9)
	for i := range all {
		v := &all[i]
		left := v.Left
		if left.IsZero() {
			left = end
			if strings.HasSuffix(v.Type, "Fail") || v.Detail != "" {
				v.Outcome = "failed"
			}
		}
		x := min(max(v.Entered.Sub(begin).Seconds()/whole, 0), 0.99)
		width := min(max(left.Sub(v.Entered).Seconds()/whole, 0.01), 1-x)
		v.X, v.Width = coordinate(100*x), coordinate(100*width)
	}
	return all
}

// failure is what went wrong in an event, empty where nothing did.
func failure(e asl.HistoryEvent) string {
	var d *asl.ErrorDetails
	switch {
	case e.TaskFailed != nil:
		d = &e.TaskFailed.ErrorDetails
	case e.TaskTimedOut != nil:
		d = &e.TaskTimedOut.ErrorDetails
	case e.LambdaFailed != nil:
		d = e.LambdaFailed
	case e.LambdaTimedOut != nil:
		d = e.LambdaTimedOut
	case e.ActivityFailed != nil:
		d = e.ActivityFailed
	case e.ActivityTimedOut != nil:
		d = e.ActivityTimedOut
	case e.ExecutionFailed != nil:
		d = e.ExecutionFailed
	case e.ExecutionTimedOut != nil:
		d = e.ExecutionTimedOut
	case e.ExecutionAborted != nil:
		d = e.ExecutionAborted
	default:
		return ""
	}
	if d.Cause == "" {
		return cmp.Or(d.Error, "it timed out")
	}
	return fmt.Sprintf("%s: %.300s", d.Error, d.Cause)
}

// ago is a stretch of time in its largest unit or two: 42s, 3m, 5h 10m, 12d.
func ago(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 24*time.Hour:
		if m := int(d.Minutes()) % 60; m > 0 {
			return fmt.Sprintf("%dh %dm", int(d.Hours()), m)
		}
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func took(from time.Time, to *time.Time) string {
	if to == nil {
		return ""
	}
	d := to.Sub(from)
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// number is a measured value as people read it.
func number(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return whole(int64(x))
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// whole is a whole number with its thousands set apart.
func whole(n any) string {
	digits := fmt.Sprint(n)
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// value is that of a clause.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "unknown"
	case float64:
		return number(v)
	case *float64:
		if v == nil {
			return "–"
		}
		return number(*v)
	}
	return fmt.Sprint(v)
}

// tone is how a word is coloured; the word itself says the same.
func tone(word any) string {
	switch fmt.Sprint(word) {
	case "run", "live", "SUCCEEDED", "succeeded", "delivered", "ok", "true", "enforce":
		return "good"
	case "RUNNING", "PENDING", "open", "waiting", "would-run", "await-approval", "candidate", "shadow", "canary", "observe", "defer":
		return "busy"
	case "error", "FAILED", "TIMED_OUT", "ABORTED", "failed", "parked", "paused", "stale", "drift", "worse":
		return "bad"
	}
	return "calm"
}
