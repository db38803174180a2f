package engine

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator"
	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// The kinds of the engine's records.
const (
	kindTurn = "turn" // a turnRecord; key: the execution's name
	// KindMachine is a definition, as it was given; its key is the [Digest].
	KindMachine = "machine"
)

// A turnRecord is one turn in the journal. The newest one of an execution is
// all that is needed to go on with it.
type turnRecord struct {
	Head     Head    `json:"head"`
	Machine  string  `json:"machine"`            // digest of the definition
	Previous uint64  `json:"previous,omitempty"` // record of the turn before; 0 in the first
	Pending  pending `json:"pending,omitempty"`
	asl.Turn
}

// UnmarshalJSON reads what write wrote, or package encoding/json.
func (t *turnRecord) UnmarshalJSON(data []byte) error {
	var written struct {
		Head     Head    `json:"head"`
		Machine  string  `json:"machine"`
		Previous uint64  `json:"previous"`
		Pending  pending `json:"pending"`
		asl.WrittenTurn
	}
	if err := json.Unmarshal(data, &written); err != nil {
		return err
	}
	turn, err := written.Turn()
	*t = turnRecord{written.Head, written.Machine, written.Previous, written.Pending, turn}
	return err
}

// write writes the record's JSON, without what the rest of it tells.
func (t *turnRecord) write(w *value.Writer) {
	w.Open('{')
	w.Key("head")
	w.Open('{')
	w.IntSome("form", int64(t.Head.Form))
	w.String("status", t.Head.Status)
	t.Head.First.write(w, "first")
	t.Head.Last.write(w, "last")
	w.TimeSome("wake", t.Head.Wake)
	w.TrueSome("waits", t.Head.Waits)
	w.TrueSome("handed", t.Head.Handed)
	if len(t.Head.Offers) > 0 {
		w.Key("offers")
		t.Head.Offers.write(w)
	}
	w.TrueSome("cancels", t.Head.Cancels)
	w.StringSome("of", t.Head.Of)
	w.TimeSome("began", t.Head.Began)
	w.Close('}')
	w.String("machine", t.Machine)
	w.IntSome("previous", int64(t.Previous))
	if len(t.Pending) > 0 {
		w.Key("pending")
		t.Pending.write(w)
	}
	t.Turn.WriteMembers(w)
	w.Close('}')
}

func (e Event) write(w *value.Writer, key string) {
	w.Key(key)
	w.Open('{')
	w.Int("id", e.ID)
	w.String("type", string(e.Type))
	w.Time("timestamp", e.Timestamp)
	w.Close('}')
}

// A Head is what those who read the whole journal need of a turn. It is the
// beginning of its record, so that they need not read the rest.
type Head struct {
	Form    Form      `json:"form,omitempty"` // first, so that what else cannot be read is not told instead
	Status  string    `json:"status"`
	First   Event     `json:"first"` // of the history events; zero: there are none
	Last    Event     `json:"last"`
	Wake    time.Time `json:"wake,omitzero"`    // as in [asl.Turn]
	Waits   bool      `json:"waits,omitempty"`  // for effects, or as the child of a map run
	Handed  bool      `json:"handed,omitempty"` // all of what it waits for, to those who tell by token
	Offers  Offers    `json:"offers,omitempty"` // all of what it waits for and was not handed over, if those are tasks of activities
	Cancels bool      `json:"cancels,omitzero"` // there are some
	// Of is the ARN of the state machine, and Began when the execution did, where the
	// turn changes its status and it is no child of a map run.
	Of    string    `json:"of,omitempty"`
	Began time.Time `json:"began,omitzero"`
}

// changes says whether the turn changed the status of its execution.
func (h Head) changes() bool {
	return h.Status != asl.StatusRunning || h.First.Type == asl.ExecutionStarted || h.First.Type == asl.ExecutionRedriven
}

// A Form is how the record of a turn is written: 1, which 0 stands for, until a version
// that wants to write what this one would misread raises newestForm.
type Form int

const newestForm Form = 1

// UnmarshalJSON refuses what a newer version wrote.
func (f *Form) UnmarshalJSON(text []byte) error {
	var n int
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	if *f = Form(n); *f > newestForm {
		return fmt.Errorf("it was written by a newer anneal: its form is %d, this one reads up to %d; run that one", n, newestForm)
	}
	return nil
}

// An Event is one of the history, without what it tells.
type Event struct {
	ID        int64         `json:"id"`
	Type      asl.EventType `json:"type"`
	Timestamp time.Time     `json:"timestamp"`
}

func headOf(t asl.Turn) Head {
	h := Head{Status: t.Status, Wake: t.Wake, Cancels: len(t.Cancels) > 0}
	h.Waits = t.State.Execution.MapRun != ""
	for range t.State.Pending() {
		h.Waits = true
		break
	}
	if n := len(t.Events); n > 0 {
		first, last := t.Events[0], t.Events[n-1]
		h.First, h.Last = Event{first.ID, first.Type, first.Timestamp}, Event{last.ID, last.Type, last.Timestamp}
	}
	if x := t.State.Execution; h.changes() && x.MapRun == "" {
		h.Of, h.Began = x.StateMachineARN, x.Started
	}
	return h
}

const (
	headBegins = `{"head":`
	headEnds   = `,"machine":` // no text in a head has it
)

// Changes says whether the turn in a record may have changed the status of its
// execution. It looks at a few letters: most turns have not.
func Changes(r journal.Record) bool {
	rest, ok := bytes.CutPrefix(r.Data, []byte(headBegins+`{"status":"`+asl.StatusRunning+`","first":{"id":`))
	if !ok {
		return true
	}
	rest = bytes.TrimLeft(rest, "0123456789")
	return !bytes.HasPrefix(rest, []byte(`,"type":"`)) || bytes.HasPrefix(rest, []byte(`,"type":"Execution`))
}

// HeadOf reads the head of a turn's record.
func HeadOf(r journal.Record) (Head, error) {
	if rest, ok := bytes.CutPrefix(r.Data, []byte(headBegins)); ok {
		if head, _, ok := bytes.Cut(rest, []byte(headEnds)); ok {
			h, ok := parseHead(head)
			if !ok {
				h = Head{}
				if err := json.Unmarshal(head, &h); err != nil {
					return h, fmt.Errorf("read turn in record %d: %w", r.Seq, err)
				}
			}
			return h, nil
		}
	}
	t, err := decodeTurn(r) // of before turns had heads
	if err != nil {
		return Head{}, err
	}
	return headOf(t.Turn), nil
}

// Digest is the identity of a definition: its SHA-256, in hex.
func Digest(definition []byte) string {
	sum := sha256.Sum256(definition)
	return hex.EncodeToString(sum[:])
}

// newest reads an execution's newest turn.
func (e *Engine) newest(ctx context.Context, name string) (turnRecord, error) {
	r, err := e.journal.Find(ctx, kindTurn, name)
	if errors.Is(err, journal.ErrNotFound) {
		return turnRecord{}, orchestrator.ErrNotFound
	}
	if err != nil {
		return turnRecord{}, err
	}
	return decodeTurn(r)
}

func (e *Engine) turnAt(ctx context.Context, seq uint64) (turnRecord, error) {
	r, err := e.journal.At(ctx, seq)
	if err != nil {
		return turnRecord{}, err
	}
	return decodeTurn(r)
}

func decodeTurn(r journal.Record) (turnRecord, error) {
	var t turnRecord
	err := t.UnmarshalJSON(r.Data)
	if err != nil {
		return turnRecord{}, fmt.Errorf("read turn in record %d: %w", r.Seq, err)
	}
	if t.State != nil {
		for p := range t.State.Pending() {
			p.Asked = cmp.Or(t.Pending.of(p.ID), r.Seq)
		}
	}
	return t, nil
}
