package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unique"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// An Offer is the task of an activity that no worker has taken. There may be very many:
// it does not say what the task is about, which [Engine.Begin] tells who takes it.
type Offer struct {
	Activity  string // ARN
	Execution string // by which the engine knows it
	Effect    string // ID
	Record    uint64 // of the turn that asked for it: those with a lower number are older
}

// Token is that of the effect, as [asl.Effect.Token].
func (o Offer) Token() string { return asl.Effect{ID: o.Effect, Execution: o.Execution}.Token() }

// A Broker is [Tasks] that hand the tasks of activities to workers. It is told of them
// instead of having them done, after a restart too. Its methods must not wait, nor use
// the engine.
type Broker interface {
	// Offer takes a task as soon as it is durable that the execution asks for it, and
	// before anybody else is told so. It may take a younger one first.
	Offer(o Offer)
	// Withdraw is told of a task that is no longer waited for, taken by a worker or not,
	// and of the record that asked for it.
	Withdraw(effect string, record uint64)
}

// ofActivities are those of the effects that are tasks of activities.
func ofActivities(effects []asl.Effect) []asl.Effect {
	var some []asl.Effect
	for _, effect := range effects {
		if effect.OfActivity() {
			some = append(some, effect)
		}
	}
	return some
}

// Begin tells that a worker has taken the task of an activity, by its token, and gives
// what it is about. It is not taken where another worker has it, or nothing waits for it
// any more.
func (e *Engine) Begin(ctx context.Context, token, worker string) (about json.RawMessage, taken bool, err error) {
	var unread error
	err = e.tell(ctx, token, func(x *execution, effect string, env asl.Env) asl.Turn {
		turn := x.machine.Started(x.state, effect, worker, env)
		if turn.State == x.state {
			return turn
		}
		if about, unread = e.about(ctx, x, effect); unread != nil {
			return asl.Turn{State: x.state, Wake: x.state.Wake()}
		}
		taken = true
		return turn
	})
	switch {
	case errors.Is(err, ErrTaskClosed) || errors.Is(err, ErrNoTask):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case unread != nil:
		return nil, false, fmt.Errorf("read what the task is about: %w", unread)
	}
	return about, taken, nil
}

// about is the input of an effect that an execution waits for and that is the task of an
// activity. The caller owns the execution.
func (e *Engine) about(ctx context.Context, x *execution, effect string) (json.RawMessage, error) {
	is := func(asked asl.Effect) bool { return asked.ID == effect }
	if i := slices.IndexFunc(x.offered, is); i >= 0 {
		return x.offered[i].Input, nil
	}
	for p := range x.state.Pending() {
		if p.ID != effect {
			continue
		}
		t, err := e.turnAt(ctx, p.Asked)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(t.Effects, is); i >= 0 {
			return t.Effects[i].Input, nil
		}
	}
	return nil, fmt.Errorf("effect %s is not in the record that asked for it", effect)
}

// Offers are those of one execution, which they do not name in JSON. There each says
// its activity only where that is not the one of the offer before, and its record where
// that is not the one that they are written in.
type Offers []Offer

// writtenOffer is one as package encoding/json reads it.
type writtenOffer struct {
	Activity *string `json:"activity"`
	Effect   string  `json:"effect"`
	Record   uint64  `json:"record"`
}

func (all Offers) write(w *value.Writer) {
	w.Open('[')
	last := ""
	for _, o := range all {
		w.Open('{')
		if o.Activity != last {
			w.String("activity", o.Activity)
			last = o.Activity
		}
		w.String("effect", o.Effect)
		w.IntSome("record", int64(o.Record))
		w.Close('}')
	}
	w.Close(']')
}

// MarshalJSON writes them as write does.
func (all Offers) MarshalJSON() ([]byte, error) {
	var w value.Writer
	all.write(&w)
	return w.Text, w.Err
}

// UnmarshalJSON reads what write wrote.
func (all *Offers) UnmarshalJSON(data []byte) error {
	var written []writtenOffer
	if err := json.Unmarshal(data, &written); err != nil {
		return err
	}
	*all = nil
	for _, o := range written {
		all.add(o)
	}
	return nil
}

// add adds one that was written. Activities are few: their names take memory once.
func (all *Offers) add(w writtenOffer) {
	o := Offer{Effect: w.Effect, Record: w.Record}
	if n := len(*all); w.Activity != nil {
		o.Activity = unique.Make(*w.Activity).Value()
	} else if n > 0 {
		o.Activity = (*all)[n-1].Activity
	}
	*all = append(*all, o)
}

// offers are those that come next.
func (s *headScan) offers(to *Offers) bool {
	ok := s.skip("[")
	for ok && !s.skip("]") {
		var o writtenOffer
		ok = (len(*to) == 0 || s.skip(",")) && s.skip("{")
		if ok && s.skip(`"activity":`) {
			o.Activity = new(string)
			ok = s.text(o.Activity) && s.skip(",")
		}
		ok = ok && s.skip(`"effect":`) && s.text(&o.Effect) && (!s.skip(`,"record":`) || s.number(&o.Record)) && s.skip("}")
		to.add(o)
	}
	return ok
}
