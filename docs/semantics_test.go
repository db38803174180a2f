package docs_test

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers/cron"
)

// marked are the tables of semantics.md after a mark `<!-- test: docs/… -->`, by
// the rest of the mark: each a list of rows, each of cells without backquotes.
func marked(t *testing.T) map[string][][]string {
	t.Helper()
	text, err := os.ReadFile("semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][][]string{}
	for _, m := range regexp.MustCompile(`(?m)^<!-- test: docs/(\w+) -->\n\n((?:\|.*\n)+)`).FindAllStringSubmatch(string(text), -1) {
		for _, line := range strings.Split(strings.TrimSpace(m[2]), "\n")[2:] {
			var cells []string
			for cell := range strings.SplitSeq(strings.Trim(strings.ReplaceAll(line, "`", ""), "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			tables[m[1]] = append(tables[m[1]], cells)
		}
	}
	return tables
}

// TestSemantics plays the tables of schedules and notices; those of policies are
// played by the package policy, and no mark is for anyone else.
func TestSemantics(t *testing.T) {
	plays := map[string]func(*testing.T, []string){"schedules": playSchedule, "clocks": playClocks, "notices": playNotice}
	tables := marked(t)
	for name, play := range plays {
		if len(tables[name]) == 0 {
			t.Errorf("semantics.md has no table %s", name)
		}
		for _, cells := range tables[name] {
			t.Run(name+" "+strings.Join(cells, " | "), func(t *testing.T) { play(t, cells) })
		}
	}
	text, err := os.ReadFile("semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`<!-- test: (.*?) -->`).FindAllStringSubmatch(string(text), -1) {
		name, docs := strings.CutPrefix(m[1], "docs/")
		if !strings.HasPrefix(m[1], "policy/") && (!docs || plays[name] == nil) {
			t.Errorf("nothing plays the table %s", m[1])
		}
	}
}

// entry is a schedule as the daemon reads it.
func entry(t *testing.T, text, zone string) cron.Entry {
	t.Helper()
	var s policy.Schedule
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := policy.ParseSpec([]byte(`{"spec": {"triggers": [{"id": "tick", "schedule": ` + string(data) + `}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	s = *spec.Spec.Triggers[0].Schedule
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return cron.Entry{Policy: "p", Trigger: "tick", Cron: s.Cron, Zone: location, CatchUp: cron.CatchUp(s.CatchUp), Max: s.Max, Deadline: time.Duration(s.Deadline)}
}

func playSchedule(t *testing.T, cells []string) {
	s, err := cron.Parse(entry(t, cells[0], "UTC"))
	if err != nil {
		t.Fatal(err)
	}
	clock := func(text string) time.Time {
		at, err := time.Parse("2006-01-02 15:04", "2026-01-05 "+text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	got := "–"
	var ticks []string
	for _, tick := range s.Missed(clock(cells[1]), clock(cells[2])).Ticks {
		ticks = append(ticks, tick.At.Format("15:04"))
	}
	if len(ticks) > 0 {
		got = strings.Join(ticks, " ")
	}
	if got != cells[3] {
		t.Errorf("got %s, the table says %s", got, cells[3])
	}
}

func playClocks(t *testing.T, cells []string) {
	e := entry(t, "{cron: "+strconv.Quote(cells[1])+"}", cells[0])
	s, err := cron.Parse(e)
	if err != nil {
		t.Fatal(err)
	}
	day, err := time.Parse(time.DateOnly, cells[2])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for tick := range s.Ticks(day.AddDate(0, 0, -1), day.AddDate(0, 0, 2)) {
		if tick.At.In(e.Zone).Format(time.DateOnly) == cells[2] {
			got = append(got, tick.At.UTC().Format("15:04"))
		}
	}
	if want := strings.Fields(cells[3]); !slices.Equal(got, want) {
		t.Errorf("got %v, the table says %v", got, want)
	}
}

// held is a decision of the policy p: `defer`, cooldown.
func held(id, text string, at time.Time) anneal.Decision {
	verdict, why, _ := strings.Cut(text, ", ")
	d := anneal.Decision{ID: id, Policy: "p", At: at, Verdict: anneal.Verdict(verdict), Rule: "r", Rules: []anneal.RuleResult{{ID: "r", Result: anneal.True}}}
	if d.Reason = why + ": some time left at " + id; why == "paused" {
		d.Reason = why
	} else if why != "" {
		d.Guards = []anneal.GuardResult{{ID: why, Veto: true}}
	}
	return d
}

func playNotice(t *testing.T, cells []string) {
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	first, second := held("d1", cells[0], at), held("d2", cells[1], at.Add(time.Hour))
	late := held("d3", cells[1], second.At.Add(notify.Repeat))
	var told notify.Told
	told.ApplyDecision(first)
	told.Apply(notify.Held("team", first))
	told.ApplyDecision(second)
	n, news := told.News(notify.Held("team", second), notify.Repeat)
	if got := map[bool]string{true: "yes", false: "no"}[news]; got != cells[2] {
		t.Errorf("got %s, the table says %s", got, cells[2])
	}
	if news {
		told.Apply(n)
	}
	if _, news := told.News(notify.Held("team", late), notify.Repeat); !news {
		t.Errorf("not told again after %s", notify.Repeat)
	}
}
