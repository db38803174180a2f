package asl

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// enter executes the state, which was just entered: it leaves it or has the
// line wait.
func (f *frame) enter() {
	switch f.st.kind {
	case TypeTask, TypeParallel, TypeMap:
		f.attempt()
	case TypeWait:
		f.sleep()
	case TypeFail:
		f.raise()
	default:
		out, next, err := f.pure()
		if err != nil {
			f.fail(err)
			return
		}
		f.leave(out, next)
	}
}

// attempt begins what can be tried again.
func (f *frame) attempt() {
	if f.st.kind == TypeTask {
		f.schedule()
	} else {
		f.branch()
	}
}

// pure is a Pass, Choice or Succeed state.
func (f *frame) pure() (out value.Value, next string, err error) {
	in, err := f.selected(f.st.input, f.raw.v)
	if err != nil {
		return out, "", err
	}
	out, next = in, f.st.next
	switch f.st.kind {
	case TypePass, TypeSucceed:
		if f.st.result != nil {
			out = *f.st.result
		} else if f.st.parameters != nil {
			if out, err = f.st.parameters.eval(f, in, "Parameters"); err != nil {
				return out, "", err
			}
		}
		if err = f.assign(f.st.assign, out); err != nil {
			return out, "", err
		}
		if out, err = f.placed(f.st.resultPath, out); err != nil {
			return out, "", err
		}
	case TypeChoice:
		r, err := f.choose(in)
		if err != nil {
			return out, "", err
		}
		if err := f.assign(r.assign, in); err != nil {
			return out, "", err
		}
		if next = r.next; r.output != nil {
			if out, err = r.output.eval(f, in, "Output"); err != nil {
				return out, "", err
			}
		}
	}
	out, err = f.selected(f.st.output, out)
	return out, next, err
}

// leave exits the state with its output, for the state next, or the end of the
// line.
func (f *frame) leave(out value.Value, next string) {
	err := f.fits(out)
	if err == nil {
		err = f.store()
	}
	if err != nil {
		f.fail(err)
		return
	}
	d := datum{v: out}
	if value.Same(out, f.raw.v) {
		d = f.raw // the text is there already
	} else if value.Same(out, f.given.v) {
		d = f.given
	}
	f.t.tell(f.c, f.st.exits, len(d.json())+f.assigned.size()).StateExited =
		f.assigned.told(f.t.room.exited.add(StateExitedDetails{Name: f.st.name, Output: d.json()}))
	delete(f.t.wide, f.c)
	f.c.Begun, f.c.Failed, f.c.MapRun = 0, 0, ""
	if next == "" {
		f.t.arrive(f.c, d)
		return
	}
	f.c.Name = next
	f.t.goOn(f.c, d)
}

// fits says whether a state may have this output.
func (f *frame) fits(v value.Value) error {
	if v.Size() > MaxData || v.Depth() > value.MaxDepth-1 {
		return tooLarge(f.st.name)
	}
	return nil
}

// selected applies InputPath or OutputPath.
func (f *frame) selected(s selection, v value.Value) (value.Value, error) {
	if s.path == nil {
		return value.OfObject(), nil
	}
	if s.path.Root() {
		return v, nil
	}
	return f.at(s.path, v)
}

// at is what a path gives in v.
func (f *frame) at(p *jsonpath.Path, v value.Value) (value.Value, error) {
	v, ok := f.root(p, v)
	if !ok {
		return v, f.noVariable(p)
	}
	x, err := p.Select(v)
	if _, missing := err.(*jsonpath.NotFoundError); missing && !p.Definite() {
		return value.OfArray(nil), nil
	}
	if err != nil {
		return x, f.runtime("Invalid path '%s' : %v", p, err)
	}
	return x, nil
}

// placed applies ResultPath: result is put into the state's input.
func (f *frame) placed(p *jsonpath.Path, result value.Value) (value.Value, error) {
	if p == nil {
		return f.raw.v, nil
	}
	v, err := p.Set(f.raw.v, result)
	if err != nil {
		return v, &fault{name: ErrResultPathMatchFailure, cause: f.where() + err.Error()}
	}
	return v, nil
}

// sleep begins a Wait state.
func (f *frame) sleep() {
	in, err := f.selected(f.st.input, f.raw.v)
	if err != nil {
		f.fail(err)
		return
	}
	now := f.t.env.Now
	w := f.st.wait
	var wake time.Time
	switch {
	case w.untilFrom != nil:
		if wake, err = f.moment(w.untilFrom); err != nil {
			f.fail(err)
			return
		}
	case w.seconds.query != nil:
		n, err := f.numberOf(w.seconds)
		if err != nil {
			f.fail(err)
			return
		}
		wake = after(now, n)
	case w.until != "" || w.untilPath != nil:
		text := w.until
		if w.untilPath != nil {
			v, err := f.waitValue("TimestampPath", w.untilPath, in)
			if err != nil {
				f.fail(err)
				return
			}
			if text = v.Text(); v.Kind() != value.String {
				text = ""
			}
			if _, ok := timestamp(text); !ok {
				f.fail(f.runtime("The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: %s == %s", w.untilPath, shown(v)))
				return
			}
		}
		wake, _ = timestamp(text)
	case w.seconds.path != nil:
		v, err := f.waitValue("SecondsPath", w.seconds.path, in)
		if err != nil {
			f.fail(err)
			return
		}
		n, ok := v.Int()
		switch {
		case !ok:
			f.fail(f.runtime("The SecondsPath parameter cannot be parsed as a long value: %s == %s", w.seconds.path, shown(v)))
			return
		case n < 0:
			f.fail(f.runtime("The SecondsPath parameter references a negative value: %s == %d", w.seconds.path, n))
			return
		}
		wake = after(now, n)
	default:
		wake = after(now, w.seconds.n)
	}
	if wake.Sub(now) > math.MaxInt32*time.Second {
		f.fail(f.runtime("Wait state delay is too long."))
		return
	}
	if wake.After(now) {
		f.c.Phase, f.c.Wake = PhaseWait, wake
		return
	}
	f.waited()
}

// waited ends a Wait state.
func (f *frame) waited() {
	out, err := f.selected(f.st.input, f.raw.v)
	if err == nil {
		err = f.assign(f.st.assign, out)
	}
	if err == nil && f.st.resultSelector != nil { // Output
		out, err = f.st.resultSelector.eval(f, out, "Output")
	}
	if err == nil {
		out, err = f.selected(f.st.output, out)
	}
	if err != nil {
		f.fail(err)
		return
	}
	f.leave(out, f.st.next)
}

func (f *frame) waitValue(field string, p *jsonpath.Path, in value.Value) (value.Value, error) {
	v, err := f.at(p, in)
	if err != nil {
		return v, f.runtime("The %s parameter does not reference an input value: %s", field, p)
	}
	return v, nil
}

// after is n seconds after now, or so late that it is refused.
func after(now time.Time, n int64) time.Time {
	return now.Add(time.Duration(min(n, math.MaxInt32+1)) * time.Second)
}

// shown is a value as it stands in a cause: a string without quotes.
func shown(v value.Value) string {
	if v.Kind() == value.String {
		return v.Text()
	}
	return v.String()
}

// timestamp reads an RFC 3339 time: a date, a capital T, a time with seconds,
// and an offset or a capital Z.
func timestamp(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, s)
	return t, err == nil && len(s) > 19 && s[19] != ','
}

// raise is a Fail state.
func (f *frame) raise() {
	x := f.st.failure
	text := [2]string{x.errorText, x.causeText}
	for i, e := range [2]*expression{x.errorFrom, x.causeFrom} {
		if e == nil {
			continue
		}
		field := [2]string{"ErrorPath", "CausePath"}[i]
		v, err := e.eval(f, f.raw.v, field)
		if err != nil {
			f.fail(err)
			return
		}
		if v.Kind() != value.String {
			f.fail(f.runtime("The value of the field '%s' must be a string, not %s", field, v.Kind()))
			return
		}
		text[i] = v.Text()
	}
	for i, q := range [2]*query{x.errorQuery, x.causeQuery} {
		if q == nil {
			continue
		}
		var err error
		if text[i], err = f.textOf(q); err != nil {
			f.fail(err)
			return
		}
	}
	f.fail(&fault{name: text[0], cause: text[1]})
}

// number is what TimeoutSeconds and its like come to; 0 is none.
func (f *frame) number(s number, in value.Value) (int64, error) {
	if s.query != nil {
		return f.numberOf(s)
	}
	if s.path == nil {
		return s.n, nil
	}
	v, err := f.at(s.path, in)
	if err != nil {
		return 0, err
	}
	n, ok := v.Int()
	if v.Kind() == value.String {
		n, err = strconv.ParseInt(v.Text(), 10, 64)
		ok = err == nil
	}
	if !ok {
		return 0, f.runtime("The %s field refers to value %q which is not a valid integer: %s", s.field, shown(v), s.path)
	}
	if n < s.least && s.least == 0 {
		return 0, f.runtime("Expected non-negative integer for %s, got '%d' instead.", strings.TrimSuffix(s.field, "Path"), n)
	}
	if n < s.least || n > s.most {
		return 0, f.runtime("The %s field refers to value %q which is not between %d and %d: %s", s.field, shown(v), s.least, s.most, s.path)
	}
	return n, nil
}

// fail handles an error of the state: it is tried again, caught, or ends the
// line.
func (f *frame) fail(err error) {
	x, ok := err.(*fault)
	if !ok {
		x = f.runtime("%v", err)
	}
	f.t.cancel(f.c)
	delete(f.t.wide, f.c)
	f.assigned = nil
	if x.evaluation != nil && x.from == "" {
		f.tellEvaluation(x)
	}
	for i, r := range f.st.retry {
		if !x.matches(r.errors) {
			continue
		}
		if f.c.Retries == nil {
			f.c.Retries = make([]int64, len(f.st.retry))
		}
		if i < len(f.c.Retries) && f.c.Retries[i] < r.attempts {
			f.c.Phase, f.c.Wake = PhaseRetry, f.t.env.Now.Add(r.delay(f.c.Retries[i], f.rand()))
			f.c.MapRun = "" // the next attempt is another run
			f.c.Retries[i]++
			f.t.left = nil
			f.handled(x, r.errors, true, i)
			return
		}
		break
	}
	stood := f.c.LastEvent
	failed := func() { f.t.emit(f.c, HistoryEvent{Type: EventType(string(f.st.kind) + "StateFailed")}, 0) }
	caught := slices.ContainsFunc(f.st.catch, func(c catcher) bool { return x.caught(c.errors) })
	tell := x.from != "" && (x.name != ErrRuntime || caught) || x.evaluation != nil && f.st.kind == TypeMap && !f.harvested
	if tell {
		failed()
	}
	for i, c := range f.st.catch {
		if !x.caught(c.errors) {
			continue
		}
		told := x.output(c.errors)
		f.caught = &told
		out, err := f.placed(c.resultPath, told)
		if err == nil && c.output != nil {
			out, err = c.output.eval(f, told, "Output")
		}
		if err == nil {
			err = f.fits(out)
		}
		if err == nil {
			err = f.assign(c.assign, told)
		}
		if err == nil {
			err = f.store() // so that leave has no reason to fail here again
		}
		if err != nil {
			if x = err.(*fault); x.evaluation != nil {
				f.c.LastEvent = stood
				f.tellEvaluation(x)
				if tell { // once more
					failed()
				}
			}
			break
		}
		f.t.left = nil
		f.handled(x, c.errors, false, i)
		f.leave(out, c.next)
		return
	}
	f.fell(x)
}

// handled tells that a retrier or catcher, which names these errors, took a fault.
func (f *frame) handled(x *fault, names []string, retry bool, entry int) {
	f.t.out.Handled = append(f.t.out.Handled, Handling{f.st.name, x.told(names), x.cause, retry, entry})
}

// noChoice is the fault of a Choice without a match and without Default.
func (f *frame) noChoice() *fault {
	return &fault{name: ErrNoChoiceMatched, cause: f.where() + "Failed to transition out of the state. The state does not point to a next state."}
}

// choose is the rule that a Choice follows.
func (f *frame) choose(in value.Value) (rule, error) {
	for _, r := range f.st.rules {
		ok, err := r.test.holds(f, in)
		if err != nil || ok {
			return r, err
		}
	}
	if f.st.normal == "" {
		return rule{}, f.noChoice()
	}
	return rule{next: f.st.normal, assign: f.st.assign, output: f.st.resultSelector}, nil
}

// maxNumber is the most that the numbers of a definition can be.
const maxNumber = 99_999_999
