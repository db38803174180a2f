package sfnapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/engine"
)

// The kinds of the API's records.
const (
	kindMachine  = "sfn-machine"  // a machine, whole, after each change; key: its name
	kindActivity = "sfn-activity" // an activity, whole; key: its name
	// KindExecution is a start; its key is that of the execution.
	KindExecution = "sfn-execution"
)

const (
	kindTurn  = "turn"  // of the engine; key: that of the execution
	kindEvent = "event" // of the controller; key: the event's ID
)

// Keys of executions that the API starts: no other execution has them, as no
// name has a colon.
const (
	keyStandard = "sfn:"
	keyExpress  = "sfnx:"
)

// A Fold is what the API must know of the journal to begin: its machines and
// activities, the changes of status that are not an event yet, and what is not logged.
// Its JSON is all of it.
type Fold struct {
	Machines   map[string]*machine  `json:"machines,omitempty"`
	Activities map[string]*activity `json:"activities,omitempty"`
	Untold     []change             `json:"untold,omitempty"` // in their order

	// Logs are the open executions that log, by key; nil: what the record of the start
	// says. Unlogged is the first record whose lines may not be written; 0: none ever was.
	Logs     map[string]*logging `json:"logs,omitempty"`
	Unlogged uint64              `json:"unlogged,omitempty"`
}

// A machine is a state machine as it stands. It is not changed: each change
// makes a new one.
type machine struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"` // another, where one of that name was deleted before
	Type    string    `json:"type"`
	Created time.Time `json:"created"`
	revision
	Published int       `json:"published,omitempty"` // number of the newest version there ever was
	Versions  []version `json:"versions,omitempty"`  // oldest first
	Aliases   []alias   `json:"aliases,omitempty"`   // oldest first
	Tags      []tag     `json:"tags,omitempty"`
	Deleting  bool      `json:"deleting,omitempty"` // its executions have not all ended
	Deleted   bool      `json:"deleted,omitempty"`  // in its last record

	policy bool // it belongs to a policy, and is only shown
}

// A revision is what UpdateStateMachine changes.
type revision struct {
	Revision   string          `json:"revision,omitempty"` // empty for the first
	Updated    time.Time       `json:"updated"`
	Digest     string          `json:"digest"` // of the definition, which is a record of the engine's
	Role       string          `json:"role"`
	Logging    json.RawMessage `json:"logging,omitempty"`
	Tracing    json.RawMessage `json:"tracing,omitempty"`
	Encryption json.RawMessage `json:"encryption,omitempty"`
}

type version struct {
	Number      int       `json:"number"`
	Created     time.Time `json:"created"`
	Description string    `json:"description,omitempty"`
	revision
}

type alias struct {
	Name        string    `json:"name"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
	Description string    `json:"description,omitempty"`
	Routes      []route   `json:"routes"`
}

type route struct {
	Version int `json:"version"`
	Weight  int `json:"weight"`
}

type tag struct {
	Key   *string `json:"key"`
	Value *string `json:"value"`
}

type activity struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Tags    []tag     `json:"tags,omitempty"`
	Deleted bool      `json:"deleted,omitempty"`

	Encryption json.RawMessage `json:"encryption,omitempty"`
}

// A change is one of an execution's status.
type change struct {
	Event  string    `json:"event"` // its ID
	Key    string    `json:"key"`
	Status string    `json:"status"`
	At     time.Time `json:"at"`
}

// Apply takes the next record of the journal.
func (f *Fold) Apply(r journal.Record) error {
	if err := f.applyLogs(r); err != nil {
		return err
	}
	switch r.Kind {
	case kindMachine:
		var m machine
		if err := json.Unmarshal(r.Data, &m); err != nil {
			return fmt.Errorf("read state machine in record %d: %w", r.Seq, err)
		}
		f.setMachine(&m)
	case kindActivity:
		var a activity
		if err := json.Unmarshal(r.Data, &a); err != nil {
			return fmt.Errorf("read activity in record %d: %w", r.Seq, err)
		}
		f.setActivity(&a)
	case kindTurn:
		all, err := changed(r)
		f.Untold = append(f.Untold, all...)
		return err
	case kindEvent:
		switch i := slices.IndexFunc(f.Untold, func(c change) bool { return c.Event == r.Key }); {
		case i == 0: // as a rule
			f.Untold = f.Untold[1:]
		case i > 0:
			f.Untold = slices.Delete(f.Untold, i, i+1)
		}
	}
	return nil
}

func (f *Fold) setMachine(m *machine) {
	if f.Machines == nil {
		f.Machines = map[string]*machine{}
	}
	f.Machines[m.Name] = m
	if m.Deleted {
		delete(f.Machines, m.Name)
	}
}

// deleting reports whether some machine is being deleted.
func (f *Fold) deleting() bool {
	for _, m := range f.Machines {
		if m.Deleting {
			return true
		}
	}
	return false
}

func (f *Fold) setActivity(a *activity) {
	if f.Activities == nil {
		f.Activities = map[string]*activity{}
	}
	f.Activities[a.Name] = a
	if a.Deleted {
		delete(f.Activities, a.Name)
	}
}

// Definitions are the digests of the definitions that machines and versions
// have.
func (f *Fold) Definitions() []string {
	var all []string
	for _, m := range f.Machines {
		all = append(all, m.Digest)
		for _, v := range m.Versions {
			all = append(all, v.Digest)
		}
	}
	return all
}

// mayChange says whether a turn may have changed the status of a Standard execution.
func mayChange(r journal.Record) bool {
	return strings.HasPrefix(r.Key, keyStandard) && engine.Changes(r)
}

// changed are the changes of status that a turn of a Standard execution made, in their
// order: its beginning, its end, or both.
func changed(r journal.Record) ([]change, error) {
	if !mayChange(r) {
		return nil, nil
	}
	h, err := engine.HeadOf(r)
	if err != nil {
		return nil, err
	}
	var all []change
	add := func(status string, event int64, at time.Time) {
		all = append(all, change{anneal.ID("event", sourceStates, r.Key, status, strconv.FormatInt(event, 10)), r.Key, status, at})
	}
	if e := h.First; e.Type == asl.ExecutionStarted || e.Type == asl.ExecutionRedriven {
		add(asl.StatusRunning, e.ID, e.Timestamp)
	}
	if e := h.Last; e.ID > 0 && h.Status != asl.StatusRunning {
		add(h.Status, e.ID, e.Timestamp)
	}
	return all, nil
}
