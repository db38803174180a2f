package triggers

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/anneal-ml/anneal"
)

// A source that tries again waits twice as long each time, from the shortest
// wait to the longest.
const (
	ShortestWait = 100 * time.Millisecond
	LongestWait  = 30 * time.Second
)

// Patience is how long an [Intake] holds an event that the sink refuses while it
// takes others.
const Patience = time.Minute

// An Intake hands the events of messages to a sink, for a source whose transport
// can be given a message back. It may be used from several goroutines.
type Intake struct {
	log   *slog.Logger
	taken atomic.Int64
}

// NewIntake returns an intake that tells log of events that are refused.
func NewIntake(log *slog.Logger) *Intake { return &Intake{log: log} }

// Ingest returns true when the event is durable. It returns false, and the event's
// message is to be given back, when ctx has ended, or when the sink has refused the
// event for [Patience] and taken others. One that nothing else overtakes is held
// for as long as it takes, since a queue counts how often a message was given back.
func (in *Intake) Ingest(ctx context.Context, sink Sink, event anneal.Event) bool {
	var refused time.Time // when it first was
	var before int64      // taken until then
	told := ""
	for wait := ShortestWait; ; wait = min(2*wait, LongestWait) {
		_, duplicate, err := sink.Ingest(ctx, event)
		if err == nil {
			in.Took(event, duplicate)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if refused.IsZero() {
			refused, before = time.Now(), in.taken.Load()
		}
		if told != err.Error() {
			told = err.Error()
			in.log.Warn("event is not taken, trying again", "event", event.ID, "err", err)
		}
		if time.Since(refused) > Patience && in.taken.Load() > before {
			in.log.Warn("event is refused while others are taken, its message is given back", "event", event.ID, "err", err)
			return false
		}
		Sleep(ctx, wait)
	}
}

// Took counts and tells of an event that is durable.
func (in *Intake) Took(event anneal.Event, duplicate bool) {
	in.taken.Add(1)
	if event.Parked != "" && !duplicate {
		in.log.Warn("message cannot be read, it is parked", "event", event.ID, "err", event.Parked)
	}
	in.log.Debug("message taken", "event", event.ID, "duplicate", duplicate)
}

// Sleep returns after d, or when ctx has ended.
func Sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
