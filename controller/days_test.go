package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/triggers"
	"github.com/anneal-ml/anneal/triggers/cron"
)

// TestDays plays the stories of testdata/day-*.txt with the real controller and
// the real schedules: policies, and steps, each with what came until the next.
// Every story is told twice, the second time to a daemon that starts anew before
// each step. In the end nothing may still wait but what the story says, and each
// decision must come out the same when it is made again. Times are UTC in 2000.
//
//	at 03-26T01:00 loads NAME …         the policies of these names decide from here on, and no other
//	at 03-26T01:00 trains 2h [fails]    how long each run takes from here on
//	at 03-26T01:00 event [N] [x=1] [time=2099-01-01T00:00:00Z]   N at one instant
//	at 03-26T01:00 force p | pause p | resume p | approve p | reject p | stop p
//	at 03-26T01:00 down | up            the daemon
//	at 03-26T01:00 ends                 the story
func TestDays(t *testing.T) {
	stories(t, "testdata/day-*.txt", playDay)
}

// A day is being played.
type day struct {
	t        *testing.T
	policies map[string]*policy.Policy // of the file
	loaded   controller.Generation
	memory   *journal.Memory
	world    *world
	out      strings.Builder
	told     uint64 // record that is told up to
	n        int    // events
	asked    map[string]string
	names    map[string]string // of runs

	c    *controller.Controller // nil while the daemon is down
	j    *journal.Journal
	stop func()
}

// newDay is a day with the policies of a file, and no daemon yet.
func newDay(t *testing.T, archive *txtar.Archive) *day {
	d := &day{t: t, policies: map[string]*policy.Policy{}, memory: &journal.Memory{}, world: newWorld(script{conduct: []conduct{{takes: time.Hour}}}), asked: map[string]string{}, names: map[string]string{}}
	for _, f := range archive.Files[:len(archive.Files)-1] {
		data, err := yaml.YAMLToJSON(f.Data)
		if err != nil {
			t.Fatal(err)
		}
		d.policies[f.Name] = written(t, string(data))
	}
	return d
}

func playDay(t *testing.T, archive *txtar.Archive, story string, restarts bool) (told string) {
	synctest.Test(t, func(t *testing.T) {
		d := newDay(t, archive)
		defer func() { told = d.out.String() }()
		for line := range strings.Lines(story) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, " ") {
				continue
			}
			if line == "" || line[0] == '#' {
				d.out.WriteString(line + "\n")
				continue
			}
			words := strings.Fields(line)
			at, err := time.Parse("2006-01-02T15:04", "2000-"+words[1])
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(at))
			synctest.Wait()
			d.tell()
			d.out.WriteString(line + "\n")
			if restarts && d.c != nil {
				d.down()
				d.up()
			}
			d.step(words[2:])
			synctest.Wait()
			d.tell()
		}
		if d.c != nil {
			d.down()
		}
		d.verify()
	})
	return told
}

func (d *day) step(words []string) {
	now := time.Now().UTC()
	var err error
	switch words[0] {
	case "loads":
		d.loaded = controller.Generation{Machines: map[string]orchestrator.Machine{}}
		for _, name := range words[1:] {
			p := d.policies[name]
			d.loaded.Policies = append(d.loaded.Policies, p)
			d.loaded.Machines[p.Name()] = orchestrator.Machine{Name: name, Definition: []byte(simMachine)}
		}
		if d.c == nil {
			d.up()
			break
		}
		err = d.c.Load(context.Background(), d.loaded)
		d.down() // schedules are followed anew
		d.up()
	case "trains":
		takes, _ := time.ParseDuration(words[1])
		d.world.mu.Lock()
		d.world.script.conduct = []conduct{{takes: takes, fails: len(words) > 2}}
		d.world.mu.Unlock()
	case "event":
		d.event(words[1:], now)
	case "force":
		d.n++
		e, _ := triggers.Manual(words[1], nil, true, fmt.Sprint(d.n), now)
		_, _, err = d.c.Ingest(context.Background(), e)
	case "pause":
		_, err = d.c.Pause(context.Background(), words[1], strings.Join(words[2:], " "))
	case "resume":
		_, err = d.c.Resume(context.Background(), words[1], "")
	case "approve":
		_, err = d.c.Approve(context.Background(), d.asked[words[1]], "")
	case "reject":
		_, err = d.c.Reject(context.Background(), d.asked[words[1]], "")
	case "stop":
		for id := range d.names {
			if strings.HasPrefix(id, words[1]+"-") {
				_ = d.c.StopRun(context.Background(), id, "by hand") // one that has ended is not open
			}
		}
	case "down":
		d.down()
	case "up":
		d.up()
	case "ends":
	default:
		d.t.Fatalf("nothing is known of %q", words)
	}
	if err != nil {
		d.t.Fatal(words, err)
	}
}

func (d *day) event(words []string, now time.Time) {
	count, claimed := 1, now
	data := map[string]any{}
	for _, w := range words {
		key, value, pair := strings.Cut(w, "=")
		switch n, _ := strconv.Atoi(w); {
		case n > 0:
			count = n
		case key == "time":
			var err error
			if claimed, err = time.Parse(time.RFC3339, value); err != nil {
				d.t.Fatal(err)
			}
		case pair:
			data[key], _ = strconv.ParseFloat(value, 64)
		}
	}
	raw, _ := json.Marshal(data)
	var wg sync.WaitGroup
	for range count {
		d.n++
		e := anneal.Event{SpecVersion: "1.0", ID: fmt.Sprint("event ", d.n), Source: "x", Type: "T", Subject: fmt.Sprint(d.n), Time: claimed, Seen: now, Data: raw}
		wg.Go(func() {
			if _, _, err := d.c.Ingest(context.Background(), e); err != nil {
				d.t.Error(err)
			}
		})
	}
	wg.Wait()
}

// up starts the daemon.
func (d *day) up() {
	ctx, cancel := context.WithCancel(context.Background())
	silent := slog.New(slog.DiscardHandler)
	j, err := journal.Open(ctx, d.memory, journal.Options{Logger: silent})
	if err != nil {
		d.t.Fatal(err)
	}
	recovery, err := controller.Recover(ctx, j)
	if err != nil {
		d.t.Fatal(err)
	}
	c := controller.New(controller.Config{
		Journal: j, Log: silent, Generation: d.loaded,
		Executors: map[string]orchestrator.Executor{"embedded": d.world},
		Profile:   readFile, Outcomes: readPredictions,
		Stage:    func(context.Context, anneal.Training) error { return nil },
		Staging:  "s3://staging",
		Checksum: func(context.Context, string) (string, int64, error) { return "00", 1, nil },
		Channels: map[string]notify.Channel{"team": d.world},
	}, recovery.State)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := c.Run(ctx); err != nil {
			d.t.Error(err)
		}
	})
	var schedules []*cron.Schedule
	for _, p := range d.loaded.Policies {
		for _, trigger := range p.Spec.Spec.Triggers {
			if s := trigger.Schedule; s != nil {
				zone, _ := time.LoadLocation(p.Spec.Spec.TimeZone)
				schedule, err := cron.Parse(cron.Entry{Policy: p.Name(), Trigger: trigger.ID, Cron: s.Cron, Zone: zone,
					CatchUp: cron.CatchUp(s.CatchUp), Max: s.Max, Deadline: time.Duration(s.Deadline), Jitter: time.Duration(s.Jitter)})
				if err != nil {
					d.t.Fatal(err)
				}
				schedules = append(schedules, schedule)
			}
		}
	}
	known, err := c.Ticks(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	source, err := cron.New(cron.Config{Schedules: schedules, Last: func(s *cron.Schedule) (time.Time, bool) {
		e := s.Entry()
		return known.Last(e.Policy, e.Trigger, e.Cron, e.Zone.String())
	}}, silent)
	if err != nil {
		d.t.Fatal(err)
	}
	tasks.Go(func() { _ = source.Run(ctx, c) })
	d.c, d.j = c, j
	d.stop = func() { cancel(); tasks.Wait(); j.Close() }
	synctest.Wait()
}

func (d *day) down() {
	d.stop()
	d.c, d.j = nil, nil
}

// tell writes what has come since it was last asked.
func (d *day) tell() {
	if d.j == nil {
		return
	}
	gathered := map[string]int{}
	var order []string
	for record, err := range d.j.Read(context.Background(), d.told+1, false) {
		if err != nil {
			d.t.Fatal(err)
		}
		d.told = record.Seq
		switch record.Kind {
		case controller.KindGathered:
			var g policy.Gathering
			_ = json.Unmarshal(record.Data, &g)
			who := strings.TrimSpace(g.Policy + " " + g.Trigger + " " + g.Key)
			if gathered[who]++; gathered[who] == 1 {
				order = append(order, who)
			}
		case controller.KindDecision:
			var x anneal.Decision
			_ = json.Unmarshal(record.Data, &x)
			if x.Verdict == anneal.VerdictAwaitApproval {
				d.asked[x.Policy] = x.ID
			}
			if x.Verdict == anneal.VerdictRun {
				d.names[x.ID] = fmt.Sprintf("run %d", len(d.names)+1)
			}
			line := fmt.Sprintf("%s: %s  %s", x.Policy, x.Verdict, x.Reason)
			if x.Verdict == anneal.VerdictRun {
				line += "  is " + d.names[x.ID]
			}
			for _, id := range x.Stops {
				line += "  stops " + id
			}
			if x.Until != nil {
				line += "  until " + x.Until.Format("01-02T15:04:05")
			}
			d.say(x.At, line)
		case controller.KindRun:
			var r anneal.Run
			_ = json.Unmarshal(record.Data, &r)
			if r.Status.Ended() {
				d.say(*r.Ended, fmt.Sprintf("%s %s", r.ID, r.Status))
			}
		}
	}
	for _, who := range order {
		fmt.Fprintf(&d.out, "    gathered by %s: %d\n", who, gathered[who])
	}
}

func (d *day) say(at time.Time, line string) {
	for id, name := range d.names {
		line = strings.ReplaceAll(line, id, name)
	}
	fmt.Fprintf(&d.out, "    %s  %s\n", at.UTC().Format("01-02T15:04:05"), line)
}

// verify makes every decision again.
func (d *day) verify() {
	j, err := journal.Open(context.Background(), d.memory, journal.Options{ReadOnly: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.t.Fatal(err)
	}
	defer j.Close()
	v, err := controller.Verify(context.Background(), j)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, x := range v.Divergent {
		d.t.Errorf("decision %s comes out otherwise when it is made again: %s\n%s\n%s", x.Decision, x.Problem, x.Recorded, x.Again)
	}
}

// TestWakeInVain has what a policy waits for come while it is not loaded: after a
// crash between the record and the loop, and a start without the policy. It comes
// again when the policy is back.
func TestWakeInVain(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/day-reload.txt")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		d := newDay(t, archive)
		for _, line := range []string{"loads base", "event", "down"} {
			d.step(strings.Fields(line))
			synctest.Wait()
		}
		time.Sleep(2 * time.Hour) // the window is complete
		ctx := context.Background()
		j, err := journal.Open(ctx, d.memory, journal.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		recovery, err := controller.Recover(ctx, j)
		if err != nil {
			t.Fatal(err)
		}
		due := recovery.State.Past.Due(map[string]*policy.Policy{"p": d.policies["base"]}, time.Now().UTC())
		if len(due) != 1 || due[0].Type != anneal.TypeDebounceEnded {
			t.Fatalf("due are %v, want the end of the window", due)
		}
		data, err := json.Marshal(due[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.Append(ctx, journal.Record{Kind: controller.KindEvent, Key: due[0].ID, Data: data}); err != nil {
			t.Fatal(err)
		}
		j.Close()
		d.loaded = controller.Generation{}
		d.up()
		time.Sleep(3 * time.Hour)
		d.step([]string{"loads", "base"})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		d.tell()
		d.down()
		d.verify()
		const want = "    gathered by p new: 1\n"
		story := strings.Split(strings.Replace(d.out.String(), want, "", 1), "\n")
		if len(story) != 4 || !strings.Contains(story[0], "p: suppressed") || !strings.Contains(story[1], "p: run  always") || !strings.Contains(story[2], "SUCCEEDED") {
			t.Errorf("want the wake suppressed, then a run and its end:\n%s", d.out.String())
		}
	})
}
