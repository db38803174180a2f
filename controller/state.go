package controller

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/drift"
	"github.com/anneal-ml/anneal/drift/statistics"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/notify"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/policy"
	"github.com/anneal-ml/anneal/registry"
)

// The kinds of record that the controller writes and reads.
const (
	KindEvent    = "event"
	KindSignal   = "signal"
	KindDecision = "decision"
	KindRun      = "run"
	KindModel    = "model"
	KindNotice   = "notice"
	KindPolicy   = "policy"           // a policy.Spec, by revision
	KindProfile  = "profile"          // of an object under a schema
	KindObject   = "object"           // an object that joined a policy's data
	KindOutcomes = "outcomes"         // predictions or labels that were read from an object
	KindReport   = "report"           // what was read of another tool's report
	KindFed      = "fed"              // an object that joined a signal's predictions or labels
	KindStream   = "stream"           // how far a detector has followed the errors of predictions
	KindMachine  = engine.KindMachine // a definition, by digest
	KindTaken    = "taken"            // how far events were taken, and whom they woke
	KindGathered = "gathered"         // an event that a debounce gathered: a policy.Gathering
	KindSchedule = "schedule"         // since when a policy's schedule is in force
	KindParked   = "parked"           // why an event could not be processed, by its ID
)

// State is a fold of the journal: everything the loop has to remember. Its size
// goes with what is open, not with how much has happened.
type State struct {
	Seq   uint64 `json:"seq"`   // record it is folded up to
	Taken uint64 `json:"taken"` // events up to this record have been taken

	Revisions map[string]string `json:"revisions"` // by policy: the one that decides
	// Schedules are those in force, by policy and trigger.
	Schedules Ticks `json:"schedules"`

	Past   policy.State     `json:"past"`
	Models registry.State   `json:"models"`
	Data   map[string]*Data `json:"data"` // by policy
	// Fed is what signals over predictions are measured on, by policy and signal.
	Fed map[string]map[string]*Fed `json:"fed,omitempty"`
	// Found is what drift signals have found so far, by policy and signal: the level of
	// the next test depends on it.
	Found map[string]map[string]statistics.Online `json:"found,omitempty"`
	// Savings are what retrainings may cost by drift signals, by policy and signal.
	Savings map[string]map[string]drift.Savings `json:"savings,omitempty"`
	Wakes   wakes                               `json:"wakes"`  // in the order they were taken; not decided yet
	Runs    map[string]anneal.Run               `json:"runs"`   // open ones, by ID
	Unsent  map[string]anneal.Notice            `json:"unsent"` // notices on their way, by ID
	Told    notify.Told                         `json:"told"`
}

// A wake is a policy that has to decide about an event.
type wake struct {
	Policy  string         `json:"policy"`
	Trigger string         `json:"trigger,omitempty"`
	Event   anneal.Event   `json:"event"`
	Object  *anneal.Object `json:"object,omitempty"` // that the event brought as data
	Feeds   []feed         `json:"feeds,omitempty"`  // that it brought as predictions or labels
	Silent  bool           `json:"silent,omitempty"` // no trigger matched: nothing is decided
	Staging Staging        `json:"staging"`          // of a run, if it comes to one

	Origin     string         `json:"origin,omitempty"` // event that a repeated look is about
	Parameters map[string]any `json:"parameters,omitempty"`
	Force      bool           `json:"force,omitempty"`
}

// takenRecord says how far events have been taken.
type takenRecord struct {
	UpTo  uint64 `json:"upTo"`
	Wakes wakes  `json:"wakes,omitempty"`
}

// parkedRecord says why an event could not be processed.
type parkedRecord struct {
	Event  string    `json:"event"`
	Policy string    `json:"policy,omitempty"` // whose predictions or labels they should be; empty: for all policies
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// objectRecord is an object that joined a policy's data.
type objectRecord struct {
	Policy string        `json:"policy"`
	Keep   policy.Train  `json:"keep"` // what a run trains on
	Window int           `json:"window"`
	Object anneal.Object `json:"object"`
}

func newState() *State {
	return &State{
		Revisions: map[string]string{},
		Schedules: Ticks{},
		Data:      map[string]*Data{},
		Runs:      map[string]anneal.Run{},
		Unsent:    map[string]anneal.Notice{},
	}
}

// Apply folds one record in, in the order of the journal.
func (s *State) Apply(r journal.Record) error {
	switch r.Kind {
	case KindPolicy:
		spec, err := policy.ParseSpec(r.Data)
		if err != nil {
			return fmt.Errorf("policy record %d: %w", r.Seq, err)
		}
		s.Revisions[spec.Metadata.Name] = r.Key
		s.Past.ApplyPolicy(spec)
	case KindTaken:
		var t takenRecord
		if err := decode(r, &t); err != nil {
			return err
		}
		s.Taken = t.UpTo
		for _, w := range t.Wakes {
			s.woken(w)
			s.ticked(w)
		}
	case KindSchedule:
		var changed scheduleRecord
		if err := decode(r, &changed); err != nil {
			return err
		}
		s.scheduled(changed)
	case KindGathered:
		var g policy.Gathering
		if err := decode(r, &g); err != nil {
			return err
		}
		s.Past.ApplyGathering(g)
		s.decided(g.Policy, g.Event)
	case KindParked:
		var p parkedRecord
		if err := decode(r, &p); err != nil {
			return err
		}
		s.Wakes = slices.DeleteFunc(s.Wakes, func(w *wake) bool {
			return w.Event.ID == p.Event && (p.Policy == "" || p.Policy == w.Policy)
		})
	case KindObject:
		var o objectRecord
		if err := decode(r, &o); err != nil {
			return err
		}
		from, gathers := s.Past.KeepFrom(o.Policy)
		s.data(o.Policy).add(o, from, gathers)
	case KindFed:
		var f fedRecord
		if err := decode(r, &f); err != nil {
			return err
		}
		s.applyFed(f)
	case KindStream:
		var f streamRecord
		if err := decode(r, &f); err != nil {
			return err
		}
		s.applyStream(f)
	case KindSignal:
		return s.found(r)
	case KindEvent:
		if !s.Past.Awaits() {
			break // decoding every event would be most of a start's time
		}
		var e anneal.Event
		if err := decode(r, &e); err != nil {
			return err
		}
		if e.Source != anneal.SourceManual { // see woken
			s.Past.ApplyEvent(e)
		}
	case KindDecision:
		var d anneal.Decision
		if err := decode(r, &d); err != nil {
			return err
		}
		s.Past.ApplyDecision(d)
		s.Told.ApplyDecision(d)
		s.decided(d.Policy, d.Cause)
	case KindRun:
		var run anneal.Run
		if err := decode(r, &run); err != nil {
			return err
		}
		s.applyRun(run)
	case KindModel:
		var m anneal.Model
		if err := decode(r, &m); err != nil {
			return err
		}
		s.Models.Apply(m)
		s.Past.ApplyModel(m)
	case KindNotice:
		var n anneal.Notice
		if err := decode(r, &n); err != nil {
			return err
		}
		s.Told.Apply(n)
		if n.Delivered == nil && !n.GivenUp {
			s.Unsent[n.ID] = n
		} else {
			delete(s.Unsent, n.ID)
		}
	}
	if r.Seq > 0 {
		s.Seq = r.Seq
	}
	return nil
}

// woken opens a wake. What a person answers counts from here on, and not from
// when it came: between the two the loop may have answered itself, for want of it.
func (s *State) woken(w *wake) {
	s.Wakes = append(s.Wakes, w)
	if w.Event.Source == anneal.SourceManual {
		s.Past.ApplyEvent(w.Event)
	}
}

// decided closes the policy's wake about an event.
func (s *State) decided(policy, event string) {
	s.Wakes = slices.DeleteFunc(s.Wakes, func(w *wake) bool { return w.Policy == policy && w.Event.ID == event })
}

func (s *State) applyRun(run anneal.Run) {
	s.Past.ApplyRun(run)
	data := s.data(run.Policy)
	switch _, known := s.Runs[run.ID]; {
	case run.Status.Ended():
		delete(s.Runs, run.ID)
		data.ended(run)
		if known && run.Status == anneal.StatusSucceeded {
			for name, of := range s.Savings[run.Policy] {
				s.Savings[run.Policy][name] = of.Pay()
			}
		}
	default:
		s.Runs[run.ID] = run
		if !known {
			data.started(run)
		}
	}
}

func (s *State) data(policy string) *Data {
	if s.Data[policy] == nil {
		s.Data[policy] = &Data{}
	}
	return s.Data[policy]
}

func decode(r journal.Record, v any) error {
	if err := json.Unmarshal(r.Data, v); err != nil {
		return fmt.Errorf("read %s record %d: %w", r.Kind, r.Seq, err)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// found counts what a drift signal tested and found, and its windows. A signal that could
// not be measured, and one by the rules of another tool, is no test; a column that the
// model does not use is no find.
func (s *State) found(r journal.Record) error {
	var signal struct {
		Name, Policy, Window string
		Due                  *bool
		Detail               *struct {
			Alpha   float64
			Drifted int
			Share   *float64
		}
	}
	if err := decode(r, &signal); err != nil {
		return err
	}
	if signal.Due != nil {
		if s.Savings == nil {
			s.Savings = map[string]map[string]drift.Savings{}
		}
		if s.Savings[signal.Policy] == nil {
			s.Savings[signal.Policy] = map[string]drift.Savings{}
		}
		s.Savings[signal.Policy][signal.Name] = s.Savings[signal.Policy][signal.Name].See(signal.Window)
	}
	if signal.Detail == nil || signal.Detail.Alpha == 0 {
		return nil
	}
	if s.Found == nil {
		s.Found = map[string]map[string]statistics.Online{}
	}
	if s.Found[signal.Policy] == nil {
		s.Found[signal.Policy] = map[string]statistics.Online{}
	}
	o := s.Found[signal.Policy][signal.Name]
	o.Add(signal.Detail.Drifted > 0 && (signal.Detail.Share == nil || *signal.Detail.Share > 0))
	s.Found[signal.Policy][signal.Name] = o
	return nil
}
