package asl

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonata"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A query is a JSONata expression in a definition: what is between {% and %}.
type query struct {
	expr     *jsonata.Expr
	location string // where it stands in its state: Output/total
	context  bool   // it reads the context object, or may
}

// turnSteps is how many steps of JSONata a turn may take before it stops and
// goes on at the next Tick. An expression may take as many again.
const turnSteps = 4 * jsonata.DefaultSteps

// evaluate is what a query gives; kind is what it has to be, empty for
// anything.
func (f *frame) evaluate(q *query, kind string) (value.Value, error) {
	now, random := f.t.env.Now, f.rand()
	if f.fixed {
		now, random = f.c.Entered, f.fixedRand()
	}
	spent := 0
	v, ok, err := q.expr.Eval(jsonata.Args{
		Variable: func(name string) (value.Value, bool) {
			if name == "states" {
				return f.states(q.context), true
			}
			return f.variable(name)
		},
		Now: now, Rand: random, Spent: &spent,
	})
	f.t.steps += spent
	switch {
	case err == jsonata.ErrFunction:
		err = f.queryFault(q, "returned an unsupported result type.")
	case err != nil && err.(*jsonata.Error).Code == "U1001": // which AWS tells without a code
		err = f.queryFault(q, "threw an error during evaluation: %s", err.(*jsonata.Error).Message)
	case err != nil:
		err = f.queryFault(q, "threw an error during evaluation. %v", err)
	case !ok:
		err = f.queryFault(q, "returned nothing (undefined).")
	case kind != "" && v.Kind().String() != kind:
		err = f.queryFault(q, "returned an unexpected result type. Expected '%s', but was '%s' for value: %s", kind, v.Kind(), brief(v))
	default:
		return v, nil
	}
	return v, err
}

// states is the variable $states.
func (f *frame) states(context bool) value.Value {
	members := []value.Member{{Key: "input", Value: f.raw.v}}
	if f.harvested {
		members = append(members, value.Member{Key: "result", Value: f.given.v})
	}
	if f.caught != nil {
		members = append(members, value.Member{Key: "errorOutput", Value: *f.caught})
	}
	if context {
		members = append(members, value.Member{Key: "context", Value: f.context()})
	}
	return value.OfObject(members...)
}

// fixedRand gives the same in every turn of a state.
func (f *frame) fixedRand() *rand.Rand {
	x := f.t.s.Execution
	return rand.New(rand.NewPCG(0, hashed(x.ARN, x.Name, f.c.Path, f.c.EnteredEvent, f.c.RetryCount)))
}

// queryFault is a States.QueryEvaluationError of a query.
func (f *frame) queryFault(q *query, format string, args ...any) *fault {
	return f.evaluationFault(q.location, "The JSONata expression '%s' specified for the field '%s' %s", q.expr, q.location, fmt.Sprintf(format, args...))
}

// evaluationFault is a States.QueryEvaluationError of a state in JSONata.
func (f *frame) evaluationFault(location, format string, args ...any) *fault {
	return &fault{name: ErrQueryEvaluation, cause: f.where() + fmt.Sprintf(format, args...), evaluation: &location}
}

// told records that an evaluation failed. Where the state has done nothing
// else yet, that follows what its entry followed, as AWS records it.
func (f *frame) tellEvaluation(x *fault) {
	after := f.c.LastEvent
	if f.entry && after == f.c.EnteredEvent && f.st.kind != TypeWait {
		after = f.before
	}
	e := HistoryEvent{Type: EvaluationFailed, EvaluationFailed: &EvaluationFailedDetails{
		Error: x.name, Cause: x.cause, Location: *x.evaluation, State: f.st.name,
	}}
	if f.t.append(after, e, len(x.cause)) {
		f.c.LastEvent = f.t.s.NextEvent - 1
	}
}

// numberOf is what a query for a number gives.
func (f *frame) numberOf(s number) (int64, error) {
	v, err := f.evaluate(s.query, "number")
	if err != nil {
		return 0, err
	}
	n, ok := v.Int()
	if !ok {
		return 0, f.evaluationFault(s.query.location, "The value of the field '%s' must be an integer, but was %s.", s.query.location, brief(v))
	}
	if n < s.least || n > s.most {
		return 0, f.evaluationFault(s.query.location, "The value of the field '%s' must be between %d and %d, but was %d.", s.query.location, s.least, s.most, n)
	}
	return n, nil
}

// textOf is what a query for a string gives.
func (f *frame) textOf(q *query) (string, error) {
	v, err := f.evaluate(q, "string")
	return v.Text(), err
}

// moment is what a query for a time gives.
func (f *frame) moment(q *query) (time.Time, error) {
	text, err := f.textOf(q)
	if err != nil {
		return time.Time{}, err
	}
	at, ok := timestamp(text)
	if !ok {
		return at, f.evaluationFault(q.location, "The %s field cannot be parsed as an ISO-8601 extended offset date-time format string: %s", q.location, text)
	}
	return at, nil
}

// array is what a Map in JSONata runs over.
func (f *frame) array() (value.Value, error) {
	list := f.st.each.list
	if list == nil {
		if f.raw.v.Kind() != value.Array {
			return f.raw.v, f.evaluationFault("", "Map state input must be an array but was: %s", brief(f.raw.v))
		}
		return f.raw.v, nil
	}
	if list.query != nil {
		return f.evaluate(list.query, "array")
	}
	return list.eval(f, f.raw.v, "Items")
}

// when is the rule's query for whether it holds.
type when struct{ query *query }

func (w when) holds(f *frame, _ value.Value) (bool, error) {
	v, err := f.evaluate(w.query, "boolean")
	return v.Bool(), err
}

// always is a rule's constant.
type always bool

func (a always) holds(*frame, value.Value) (bool, error) { return bool(a), nil }
