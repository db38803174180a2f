package sfnapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// Activities are the tasks of an engine: it keeps those of activities until a
// worker asks for them, and leaves the others to the tasks that it has inside.
type Activities struct {
	inside engine.Tasks
	exists func(name string) bool // set by New

	mu     sync.Mutex
	queues map[string]*queue // guarded by mu; by name of the activity
}

// A queue has the tasks of one activity that no worker has yet, and those who wait for
// one. Invariant: not both.
type queue struct {
	tasks   []offered // the oldest first; neither the first nor the last is withdrawn
	gone    int       // of tasks, that were withdrawn
	waiters []chan engine.Offer
}

// An offered task is an [engine.Offer] of the queue's activity. There may be very many.
type offered struct {
	execution string
	effect    string // empty: withdrawn
	record    uint64
}

// NewActivities makes the tasks of an engine.
func NewActivities(inside engine.Tasks) *Activities {
	return &Activities{inside: inside, queues: map[string]*queue{}}
}

// activityName is the activity of a resource.
func activityName(resource string) (string, bool) {
	if !strings.Contains(resource, ":activity:") { // as most
		return "", false
	}
	a, err := parseARN(resource, "activity")
	if err != nil {
		return "", false
	}
	return a.name(), true
}

// Do implements [engine.Tasks].
func (a *Activities) Do(ctx context.Context, e asl.Effect, recovered bool, submitted func(output json.RawMessage)) (asl.Outcome, error) {
	return a.inside.Do(ctx, e, recovered, submitted)
}

// Refuses implements [engine.Refuser]: nothing can be begun with an activity that
// does not exist.
func (a *Activities) Refuses(e asl.Effect) string {
	name, ok := activityName(e.Resource)
	if !ok {
		if r, ok := a.inside.(engine.Refuser); ok {
			return r.Refuses(e)
		}
		return ""
	}
	a.mu.Lock()
	exists := a.exists
	a.mu.Unlock()
	if exists == nil || exists(name) {
		return ""
	}
	return "The activity " + e.Resource + " does not exist."
}

// Stop implements [engine.Tasks].
func (a *Activities) Stop(ctx context.Context, effect string) { a.inside.Stop(ctx, effect) }

// Check implements [engine.Tasks]. An activity may be created later.
func (a *Activities) Check(r asl.Resource) error {
	if _, ok := activityName(r.ARN); ok {
		return nil
	}
	return a.inside.Check(r)
}

// Offer implements [engine.Broker].
func (a *Activities) Offer(o engine.Offer) {
	name, ok := activityName(o.Activity)
	if !ok {
		return // unreachable: the engine offers tasks of activities
	}
	a.offer(name, o)
}

// offer hands a task to who has waited the longest, or puts it in the queue, also where
// it was taken by who cannot have it after all.
func (a *Activities) offer(name string, o engine.Offer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.queue(name)
	if len(q.waiters) > 0 {
		q.waiters[0] <- o // has room for one
		q.waiters = q.waiters[1:]
		a.tidy(name)
		return
	}
	at := len(q.tasks)
	if at > 0 && q.tasks[at-1].record > o.Record {
		at = q.from(o.Record + 1)
	}
	q.tasks = slices.Insert(q.tasks, at, offered{o.Execution, o.Effect, o.Record})
}

// from is the place of the first task that was asked for in that record or later.
func (q *queue) from(record uint64) int {
	at, _ := slices.BinarySearchFunc(q.tasks, record, func(t offered, record uint64) int { return cmp.Compare(t.record, record) })
	return at
}

// Withdraw implements [engine.Broker].
func (a *Activities) Withdraw(effect string, record uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, q := range a.queues {
		for i := q.from(record); i < len(q.tasks) && q.tasks[i].record == record; i++ {
			if q.tasks[i].effect == effect {
				q.tasks[i].effect = ""
				q.gone++
				q.trim()
				a.tidy(name)
				return
			}
		}
	}
}

// trim lets go of what was withdrawn, where it is in the way or most of all: so often
// that it takes no time by itself.
func (q *queue) trim() {
	if q.gone > len(q.tasks)/2 {
		q.tasks = slices.Clone(slices.DeleteFunc(q.tasks, func(t offered) bool { return t.effect == "" }))
		q.gone = 0
	}
	for len(q.tasks) > 0 && q.tasks[0].effect == "" {
		q.tasks = q.tasks[1:]
		q.gone--
	}
	for n := len(q.tasks); n > 0 && q.tasks[n-1].effect == ""; n-- {
		q.tasks = q.tasks[:n-1]
		q.gone--
	}
}

// queue is that of an activity. The caller holds mu.
func (a *Activities) queue(name string) *queue {
	if a.queues[name] == nil {
		a.queues[name] = &queue{}
	}
	return a.queues[name]
}

// tidy lets go of an empty queue. The caller holds mu.
func (a *Activities) tidy(name string) {
	if q := a.queues[name]; q != nil && len(q.tasks) == 0 && len(q.waiters) == 0 {
		delete(a.queues, name)
	}
}

// maxWorkers is how many workers may wait for tasks of one activity.
const maxWorkers = 1000

// take waits for the oldest task of an activity; false once ctx ends. It refuses to wait
// beside too many.
func (a *Activities) take(ctx context.Context, name string) (o engine.Offer, ok bool, err error) {
	a.mu.Lock()
	q := a.queue(name)
	if len(q.tasks) > 0 {
		t := q.tasks[0]
		q.tasks[0] = offered{}
		q.gone++
		q.trim()
		a.tidy(name)
		a.mu.Unlock()
		return engine.Offer{Execution: t.execution, Effect: t.effect, Record: t.record}, true, nil
	}
	if len(q.waiters) >= maxWorkers {
		a.mu.Unlock()
		return o, false, refuse("ActivityWorkerLimitExceeded", "The maximum number of workers concurrently polling for activity tasks has been reached.")
	}
	mine := make(chan engine.Offer, 1)
	q.waiters = append(q.waiters, mine)
	a.mu.Unlock()
	select {
	case o := <-mine:
		return o, true, nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	q.waiters = slices.DeleteFunc(q.waiters, func(w chan engine.Offer) bool { return w == mine })
	a.tidy(name)
	a.mu.Unlock()
	select {
	case o := <-mine: // it came at the last moment
		a.offer(name, o)
	default:
	}
	return engine.Offer{}, false, nil
}

type activityInput struct {
	ARN        string          `json:"activityArn"`
	Name       string          `json:"name"`
	Worker     string          `json:"workerName"`
	Tags       []tag           `json:"tags"`
	Encryption json.RawMessage `json:"encryptionConfiguration"`
}

type activityItem struct {
	ARN     string `json:"activityArn"`
	Name    string `json:"name,omitempty"`
	Created epoch  `json:"creationDate"`
}

func (s *Server) createActivity(ctx context.Context, in activityInput) (any, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := checkEncryption(in.Encryption); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.fold.Activities[in.Name]
	switch {
	case a == nil:
		a = &activity{Name: in.Name, Created: time.Now().UTC(), Tags: in.Tags, Encryption: in.Encryption}
		if err := s.saveActivity(ctx, a); err != nil {
			return nil, err
		}
	case !revision{Encryption: a.Encryption}.set(revision{Encryption: in.Encryption}):
		return nil, refuse("ActivityAlreadyExists", "Activity Already Exists: '%s'", s.arn("activity", a.Name))
	}
	return activityItem{ARN: s.arn("activity", a.Name), Created: epoch(a.Created)}, nil
}

// saveActivity makes a change of an activity durable. The caller holds mu.
func (s *Server) saveActivity(ctx context.Context, a *activity) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("write activity %s: %w", a.Name, err)
	}
	if _, err := s.cfg.Journal.Append(ctx, journal.Record{Kind: kindActivity, Key: keyOf(a.Name), Data: data}); err != nil {
		return fmt.Errorf("record activity %s: %w", a.Name, err)
	}
	s.fold.setActivity(a)
	return nil
}

// changeActivity changes an activity; it does nothing to one that is not there.
func (s *Server) changeActivity(ctx context.Context, name string, f func(*activity) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.fold.Activities[name]
	if old == nil {
		return nil
	}
	a := *old
	if err := f(&a); err != nil {
		return err
	}
	return s.saveActivity(ctx, &a)
}

// activity finds an activity by its ARN.
func (s *Server) activity(text string) (*activity, error) {
	a, err := parseARN(text, "activity")
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.fold.Activities[a.name()]; x != nil {
		return x, nil
	}
	return nil, refuse("ActivityDoesNotExist", "Activity Does Not Exist: '%s'", text)
}

func (s *Server) deleteActivity(ctx context.Context, in activityInput) (any, error) {
	a, err := parseARN(in.ARN, "activity")
	if err != nil {
		return nil, err
	}
	return nothing{}, s.changeActivity(ctx, a.name(), func(x *activity) error {
		x.Deleted = true
		return nil
	})
}

func (s *Server) describeActivity(_ context.Context, in activityInput) (any, error) {
	a, err := s.activity(in.ARN)
	if err != nil {
		return nil, err
	}
	return struct {
		activityItem
		Encryption json.RawMessage `json:"encryptionConfiguration"`
	}{activityItem{s.arn("activity", a.Name), a.Name, epoch(a.Created)}, shown(a.Encryption, defaultEncryption)}, nil
}

func (s *Server) listActivities(_ context.Context, in page) (any, error) {
	items := []activityItem{}
	s.mu.Lock()
	for _, a := range s.fold.Activities {
		items = append(items, activityItem{s.arn("activity", a.Name), a.Name, epoch(a.Created)})
	}
	s.mu.Unlock()
	slices.SortFunc(items, func(a, b activityItem) int { return strings.Compare(a.Name, b.Name) })
	items, next, err := cut(items, func(a activityItem) string { return a.Name }, in, "activities")
	return struct {
		Items []activityItem `json:"activities"`
		Next  string         `json:"nextToken,omitempty"`
	}{items, next}, err
}

// activityPoll is how long a worker waits for a task.
const activityPoll = 60 * time.Second

// getActivityTask gives a worker a task, or nothing after a while.
func (s *Server) getActivityTask(ctx context.Context, in activityInput) (any, error) {
	a, err := s.activity(in.ARN)
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, activityPoll)
	defer cancel()
	for {
		o, ok, err := s.cfg.Activities.take(wait, a.Name)
		if err != nil {
			return nil, err
		}
		if !ok {
			return struct {
				Token *string `json:"taskToken"`
			}{}, nil
		}
		about, taken, err := json.RawMessage(nil), false, ctx.Err()
		if err == nil { // a worker that is gone begins nothing
			about, taken, err = s.cfg.Engine.Begin(ctx, o.Token(), in.Worker)
		}
		if err != nil {
			s.cfg.Activities.offer(a.Name, o) // where it is begun, the next worker is refused it
			return nil, err
		}
		if !taken {
			continue // it has ended, or a worker had it before a restart
		}
		return struct {
			Token string `json:"taskToken"`
			Input string `json:"input"`
		}{o.Token(), string(about)}, nil
	}
}
