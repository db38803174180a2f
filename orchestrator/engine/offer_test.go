package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A board is the world with a place where the tasks of activities are offered.
type board struct {
	world
	offers    []Offer         // guarded by mu
	withdrawn map[string]bool // guarded by mu; effects
}

func (b *board) Offer(o Offer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offers = append(b.offers, o)
}

func (b *board) Withdraw(effect string, record uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, o := range b.offers {
		if o.Effect == effect && o.Record == record {
			b.withdrawn[effect] = true
		}
	}
}

// Tasks of activities are offered before their start is told, and again after a restart,
// the oldest first; where an execution waits for nothing else it is not read for that.
// Their time runs on.
func TestOffers(t *testing.T) {
	const activity = "arn:aws:states:us-east-1:123456789012:activity:"
	work := func(name string) string {
		return strings.ReplaceAll(task(activity+name, `"TimeoutSeconds": 1000, "HeartbeatSeconds": 600, "Parameters": {"name": "`+name+`", "about.$": "$.i"},`), "Train", name)
	}
	both := func(beside string) string {
		return `{"StartAt": "Both", "States": {"Both": {"Type": "Parallel", "End": true, "Branches": [` + work("one") + `,` + work("two") + `,` + beside + `]}}}`
	}
	definitions := []string{
		work("one"),
		both(work("three")),
		// The newest turn is another than the one that asked.
		both(`{"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 60, "End": true}}}`),
		// The engine has something to do beside.
		both(task(invoke, "")),
	}
	const many = 4 * maxDesks / 2
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		plan := func(asl.Effect) (time.Duration, asl.Outcome) {
			return 2 * time.Hour, asl.Outcome{Output: json.RawMessage(`1`)}
		}
		before := &board{world: world{plan: plan}, withdrawn: map[string]bool{}}
		e, stop := engineOn(t, j, before)
		for i := range many {
			start(t, e, fmt.Sprintf("x-%d", i), definitions[i%4], fmt.Sprintf(`{"i":%d}`, i))
			before.mu.Lock()
			if n := len(before.offers); n == 0 || before.offers[n-1].Execution != fmt.Sprintf("x-%d", i) {
				t.Fatalf("x-%d is started, and its task is not offered", i)
			}
			before.mu.Unlock()
		}
		time.Sleep(100 * time.Second)
		synctest.Wait()
		want := before.offers
		takes := func(e *Engine, i int, takes bool) {
			t.Helper()
			o := want[i]
			about, taken, err := e.Begin(t.Context(), o.Token(), "w")
			if taken != takes || err != nil {
				t.Fatalf("offer %d, %+v, is taken: %t, %v", i, o, taken, err)
			}
			var number int
			if _, err := fmt.Sscanf(o.Execution, "x-%d", &number); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf(`{"name":"%s","about":%d}`, o.Activity[len(activity):], number); taken && string(about) != want {
				t.Fatalf("offer %d is about %s; want %s", i, about, want)
			}
		}
		for i := range 20 {
			takes(e, i, true)
			takes(e, i, false)
		}
		stop()

		after := &board{world: world{plan: plan}, withdrawn: map[string]bool{}}
		e = readEngine(t, j, after)
		if desks := atHand(e); desks != many/4 {
			t.Errorf("%d executions were read at the start; want the %d that wait for more", desks, many/4)
		}
		defer runEngine(t, e)()
		if diff := cmp.Diff(want[20:], after.offers); diff != "" {
			t.Fatalf("other tasks are offered after a restart (-before +after):\n%s", diff)
		}
		for i := range 20 {
			takes(e, 20+i, true)
			takes(e, i, false)
		}
		time.Sleep(499 * time.Second) // 599 since all were asked for; 499 since the last was taken
		takes(e, 40, true)
		synctest.Wait()
		after.mu.Lock()
		if len(after.withdrawn) > 0 {
			t.Errorf("%d tasks have timed out too early", len(after.withdrawn))
		}
		after.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		after.mu.Lock()
		for i, o := range want {
			if i > 60 && !after.withdrawn[o.Effect] {
				t.Errorf("offer %d, %+v, has sent no heartbeat and is not withdrawn", i, o)
			}
		}
		after.mu.Unlock()
		takes(e, len(want)-1, false)
	})
}

// Offers are read as they are written, by what reads heads and by package encoding/json.
func TestOffersJSON(t *testing.T) {
	for _, all := range []Offers{
		{{Activity: "arn:a", Effect: "1"}},
		{{Activity: "arn:a", Effect: "1", Record: 7}, {Activity: "arn:a", Effect: "2"}, {Activity: "arn:b", Effect: "3", Record: 1<<63 - 1}, {Activity: "arn:a", Effect: "4"}},
	} {
		var w value.Writer
		all.write(&w)
		s := headScan{rest: w.Text}
		var scanned, read Offers
		if ok := s.offers(&scanned); !ok || len(s.rest) > 0 || cmp.Diff(all, scanned) != "" {
			t.Errorf("%s is scanned as %+v, %t, with %q left", w.Text, scanned, ok, s.rest)
		}
		if err := json.Unmarshal(w.Text, &read); err != nil || cmp.Diff(all, read) != "" {
			t.Errorf("%s is read as %+v, %v", w.Text, read, err)
		}
	}
	for _, text := range []string{``, `[`, `[}`, `[{"effect":1}]`, `[{"effect":"1"},]`, `[{"effect":"1"}{"effect":"2"}]`, `[{"effect":"1","record":-1}]`} {
		s := headScan{rest: []byte(text)}
		if s.offers(new(Offers)) {
			t.Errorf("%q is scanned", text)
		}
	}
}
