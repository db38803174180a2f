package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/sqs/sqstest"
)

const queueSettings = `listen: 127.0.0.1:0
data: ./anneal-data
policies: [./policies]
sources:
  - sqs: {queueURL: {env: QUEUE_URL}, visibility: %s}
`

// queuePolicy decides on each event by itself, and reads no data.
const queuePolicy = `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: %[1]s}
spec:
  model: {group: %[1]s}
  triggers:
    - {id: told, event: {source: ml.features, type: Batch Ready}}
  rules:
    - {id: always, if: "true"}
`

// batchReady is the nth event of a bus of one's own, as a rule of EventBridge sends
// it to a queue.
func batchReady(n int) string {
	return fmt.Sprintf(`{"version":"0","id":"6f87d04b-9f74-4f04-a780-%012d","detail-type":"Batch Ready","source":"ml.features","account":"123456789012",`+
		`"time":"2026-07-01T12:00:00Z","region":"us-east-1","resources":["batch-%d"],"detail":{"rows":%d}}`, n, n, n)
}

// queueProject is a folder with a daemon's settings that follow a queue of s,
// and the environment for them.
func queueProject(t testing.TB, s *sqstest.Server, queue, visibility string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml":        fmt.Sprintf(queueSettings, visibility),
		"policies/each.yaml": fmt.Sprintf(queuePolicy, "each"),
	})
	for name, value := range map[string]string{
		"QUEUE_URL": queue, "AWS_ENDPOINT_URL": s.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
	} {
		t.Setenv(name, value)
	}
	return dir
}

// TestQueueKill kills the daemon again and again while it empties a queue whose
// messages are out of order and in which one in twenty thing is told twice: none
// is lost, and none recorded or decided twice.
func TestQueueKill(t *testing.T) {
	kills, each := 100, 20
	if testing.Short() {
		kills = 10
	}
	s := sqstest.New(t)
	queue := s.Queue(t, false)
	var bodies []string
	for n := range kills * each {
		bodies = append(bodies, batchReady(n))
		if n%20 == 0 {
			bodies = append(bodies, batchReady(n))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	dir := queueProject(t, s, queue, "1s")
	p := &process{t: t, dir: dir}
	for kill := range kills {
		n := len(bodies) / (kills - kill)
		s.Send(t, queue, "", bodies[:n]...)
		bodies = bodies[n:]
		before := s.Left(t, queue)
		p.start()
		// In the middle of what was just sent, wherever that is by then.
		eventually(t, 20*time.Second, func() error {
			if left := s.Left(t, queue); left >= before {
				return fmt.Errorf("the queue has %d messages, as before\n%s", left, p.log)
			}
			return nil
		})
		time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
		p.kill()
	}
	p = begin(t, dir)
	s.Empty(t, queue)
	var events []anneal.Event
	var decisions []anneal.Decision
	eventually(t, 30*time.Second, func() error {
		if err := p.get("decisions?limit=0", &decisions); err != nil {
			return err
		}
		if len(decisions) < kills*each {
			return fmt.Errorf("%d decisions; want %d\n%s", len(decisions), kills*each, p.log)
		}
		return p.get("events?limit=0", &events)
	})
	causes, told := map[string]int{}, map[string]int{}
	for _, d := range decisions {
		causes[d.Cause]++
	}
	for _, e := range events {
		if told[e.Subject]++; causes[e.ID] != 1 {
			t.Errorf("event of %s has %d decisions; want 1", e.Subject, causes[e.ID])
		}
	}
	if len(told) != kills*each || len(events) != kills*each || len(decisions) != kills*each {
		t.Errorf("%d things are told in %d events and have %d decisions after %d kills; want %d of each", len(told), len(events), len(decisions), kills, kills*each)
	}
	for _, args := range [][]string{{"decisions", "verify", "--data", dir + "/anneal-data"}, {"journal", "verify", dir + "/anneal-data"}} {
		if out, status := runOnce(args...); status != 0 {
			t.Errorf("anneal %v: status %d\n%s", args, status, out)
		}
	}
}

// BenchmarkQueue is the daemon itself that empties a full queue, with each event
// in its journal, in turns with a bare loop of four workers: of the rounds of
// each the middle one counts.
func BenchmarkQueue(b *testing.B) {
	const (
		messages = 10_000 // of 1 KiB, a round
		rounds   = 3
		goal     = 0.4 // of what the bare loop does
	)
	s := sqstest.New(b)
	var bodies []string
	for n := range messages {
		bodies = append(bodies, sqstest.Notification(fmt.Sprintf("%d-%s", n, strings.Repeat("x", 600)), n))
	}
	var bare, daemon []float64
	for b.Loop() {
		for range rounds {
			queue := s.Queue(b, false)
			s.Send(b, queue, "", bodies...)
			began := time.Now()
			s.Drain(b, queue, messages)
			bare = append(bare, messages/time.Since(began).Seconds())

			queue = s.Queue(b, false)
			s.Send(b, queue, "", bodies...)
			p := &process{t: b, dir: queueProject(b, s, queue, "5s")}
			p.start()
			p.awaitReady()
			s.Empty(b, queue)
			var events []anneal.Event // newest first; the rest of the start is no part of it
			if err := p.get("events?limit=0", &events); err != nil {
				b.Fatal(err)
			}
			p.kill()
			if len(events) != messages {
				b.Fatalf("%d events; want %d", len(events), messages)
			}
			daemon = append(daemon, messages/events[0].Seen.Sub(events[messages-1].Seen).Seconds())
		}
	}
	middle := func(rates []float64) float64 {
		slices.Sort(rates)
		return rates[len(rates)/2]
	}
	b.ReportMetric(middle(bare), "bare/s")
	b.ReportMetric(middle(daemon), "events/s")
	b.ReportMetric(middle(daemon)/middle(bare), "of-bare")
	b.ReportMetric(middle(daemon)/middle(bare)/goal, "of-goal")
}
