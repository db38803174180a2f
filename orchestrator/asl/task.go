package asl

import (
	"cmp"
	"encoding/json"
	"iter"
	"strconv"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// effectID is the identity of the attempt that the state is at.
func (f *frame) effectID() string {
	x, c := &f.t.s.Execution, f.c
	var room [64]byte
	place := append(append(append(room[:0], c.Path...), '/'), c.Name...)
	parts := [...]string{"effect", cmp.Or(x.Key, x.ARN, x.Name), string(place),
		strconv.FormatInt(c.EnteredEvent, 10), strconv.FormatInt(c.RetryCount, 10), ""}
	if n := f.t.s.Redrives; n > 0 { // attempts are counted anew
		parts[5] = strconv.FormatInt(n, 10)
		return anneal.ID(parts[:]...)
	}
	return anneal.ID(parts[:5]...)
}

// schedule begins an attempt of a Task.
func (f *frame) schedule() {
	params, timeout, heartbeat, err := f.prepare()
	var credentials *TaskCredentials
	if err == nil {
		credentials, err = f.credentials()
	}
	if err != nil {
		f.fail(err)
		return
	}
	now, r := f.t.env.Now, f.st.task.resource
	d := datum{v: params}
	if value.Same(params, f.raw.v) {
		d = f.raw
	}
	text := d.json()
	p := Pending{ID: f.effectID(), Heartbeat: heartbeat}
	if timeout > 0 {
		p.Deadline = now.Add(time.Duration(timeout) * time.Second)
	}
	e := Effect{
		ID: p.ID, Execution: f.t.s.Execution.Handle(), State: f.st.name, Attempt: int(f.c.RetryCount),
		Resource: r.arn, Input: rawOf(text, f.c.Input), Deadline: p.Deadline,
	}
	if credentials != nil {
		e.RoleARN = credentials.RoleARN
	}
	if f.t.env.Refuses != nil {
		if why := f.t.env.Refuses(e); why != "" {
			f.fail(f.runtime("%s", why))
			return
		}
	}
	switch r.service {
	case serviceTask:
		f.t.tell(f.c, TaskScheduled, len(text)).TaskScheduled = &TaskScheduledDetails{
			TaskDetails: r.details(), Region: f.t.region(), Parameters: text, TimeoutInSeconds: timeout, HeartbeatInSeconds: heartbeat,
			TaskCredentials: credentials,
		}
		f.t.tell(f.c, TaskStarted, 0).TaskStarted = new(r.details())
	case serviceLambda:
		f.t.tell(f.c, LambdaFunctionScheduled, len(text)).LambdaScheduled = f.t.room.scheduled.add(WorkScheduledDetails{
			Resource: r.arn, Input: text, TimeoutInSeconds: timeout, TaskCredentials: credentials,
		})
		f.t.tell(f.c, LambdaFunctionStarted, 0)
	case serviceActivity: // starts when a worker takes it
		f.t.tell(f.c, ActivityScheduled, len(text)).ActivityScheduled = f.t.room.scheduled.add(WorkScheduledDetails{
			Resource: r.arn, Input: text, TimeoutInSeconds: timeout, HeartbeatInSeconds: heartbeat,
		})
	}
	p.beat(now)
	f.c.Phase = PhaseTask
	f.c.await(p)
	f.t.out.Effects = append(f.t.out.Effects, e)
}

// credentials are whose rights the task is done with; nil are the execution's
// own.
func (f *frame) credentials() (*TaskCredentials, error) {
	t := f.st.task.credentials
	if t == nil {
		return nil, nil
	}
	in, err := f.selected(f.st.input, f.raw.v)
	if err != nil {
		return nil, err
	}
	v, err := t.eval(f, in, "Credentials")
	if err != nil {
		return nil, err
	}
	role, ok := v.Find("RoleArn")
	if !ok || role.Kind() != value.String {
		return nil, f.runtime("The value of the field 'RoleArn' of 'Credentials' must be a string, not %s", role.Kind())
	}
	return &TaskCredentials{RoleARN: role.Text()}, nil
}

// prepare is what an attempt is made with.
func (f *frame) prepare() (params value.Value, timeout, heartbeat int64, err error) {
	in, err := f.selected(f.st.input, f.raw.v)
	if err != nil {
		return
	}
	if timeout, err = f.number(f.st.task.timeout, in); err != nil {
		return
	}
	if heartbeat, err = f.number(f.st.task.heartbeat, in); err != nil {
		return
	}
	params = in
	if f.st.parameters != nil {
		if params, err = f.st.parameters.eval(f, in, "Parameters"); err != nil {
			return
		}
	}
	return params, timeout, heartbeat, f.fits(params)
}

func (r resource) details() TaskDetails {
	return TaskDetails{ResourceType: r.kind, Resource: r.action}
}

// beat sets when the next heartbeat is due.
func (p *Pending) beat(now time.Time) {
	if p.Heartbeat > 0 {
		p.HeartbeatDue = now.Add(time.Duration(p.Heartbeat) * time.Second)
	}
}

// pending is a turn in which something is heard of an effect, and the state
// that waits for it. It is nil where nothing waits for it anymore, or never
// did.
func (m *Machine) pending(s *State, effect string, env Env) (*turn, *frame) {
	if s.waiting(effect) == nil {
		return nil, nil
	}
	t := m.begin(s, env)
	return t, t.frame(t.s.waiting(effect))
}

// Started tells that a worker has taken an activity's task. Other tasks count
// as started when they are scheduled.
func (m *Machine) Started(s *State, effect, worker string, env Env) Turn {
	t, f := m.pending(s, effect, env)
	if f != nil && f.st.task.resource.service == serviceActivity && !f.c.Effect.Started {
		f.started(worker)
		f.c.Effect.beat(env.Now)
	} else if f != nil || t == nil {
		return unchanged(s)
	}
	return t.done()
}

func (f *frame) started(worker string) {
	f.c.Effect.Started = true
	f.t.emit(f.c, HistoryEvent{Type: ActivityStarted, ActivityStarted: &ActivityStartedDetails{WorkerName: worker}}, 0)
}

// Submitted tells that the work of an effect was handed over and goes on
// elsewhere (.sync, .waitForTaskToken); output is what the service answered.
func (m *Machine) Submitted(s *State, effect string, output json.RawMessage, env Env) Turn {
	t, f := m.pending(s, effect, env)
	if f != nil && f.st.kind == TypeTask && f.st.task.resource.service == serviceTask && !f.c.Effect.Submitted {
		f.c.Effect.Submitted = true
		if v, err := value.Parse(output); err == nil {
			output = json.RawMessage(v.String())
		} else {
			output = json.RawMessage("null")
		}
		t.emit(f.c, HistoryEvent{Type: TaskSubmitted, TaskSubmitted: &TaskOutputDetails{
			f.st.task.resource.details(), OutputDetails{Output: string(output)},
		}}, len(output))
	} else if f != nil || t == nil {
		return unchanged(s)
	}
	return t.done()
}

// HasToken reports whether an effect that is waited for has a token, by which
// its outcome may be told.
func (m *Machine) HasToken(s *State, effect string) bool {
	c := s.waiting(effect)
	if c == nil || m.states[c.Name] == nil {
		return false
	}
	r := m.states[c.Name].task.resource
	return r.token || r.service == serviceActivity
}

// Owed are the effects that are waited for and that something is to be done for, here:
// all but those which were handed over to somebody who tells their outcome by token.
// Each is with the ARN of the activity of which it is a task; empty: of none.
func (m *Machine) Owed(s *State) iter.Seq2[*Pending, string] {
	return func(yield func(p *Pending, activity string) bool) {
		for c := range s.contexts() {
			if c.Effect == nil {
				continue
			}
			activity := ""
			if st := m.states[c.Name]; st != nil && st.kind == TypeTask {
				r := st.task.resource
				if r.byToken() && (c.Effect.Submitted || c.Effect.Started) {
					continue
				}
				if r.service == serviceActivity {
					activity = r.arn
				}
			}
			if !yield(c.Effect, activity) {
				return
			}
		}
	}
}

// Heartbeat tells that an effect is alive.
func (m *Machine) Heartbeat(s *State, effect string, env Env) Turn {
	if c := s.waiting(effect); c == nil || c.Effect.Heartbeat == 0 {
		return unchanged(s)
	}
	t := m.begin(s, env)
	t.s.waiting(effect).Effect.beat(env.Now)
	return t.done()
}

// Resolve tells how an effect ended.
func (m *Machine) Resolve(s *State, effect string, o Outcome, env Env) Turn {
	t, f := m.pending(s, effect, env)
	if t == nil {
		return unchanged(s)
	}
	if f != nil {
		f.resolve(o)
	}
	return t.done()
}

func (f *frame) resolve(o Outcome) {
	if f.st.kind == TypeMap {
		f.ran(o)
		return
	}
	r := f.st.task.resource
	if r.service == serviceActivity && !f.c.Effect.Started {
		f.started("")
	}
	f.c.Effect = nil
	if o.Failed || o.Error != "" || o.Cause != "" && o.Output == nil {
		x := &fault{name: o.Error, cause: o.Cause}
		if o.Branch {
			x.from = TypeParallel
		}
		f.failed(x)
		return
	}
	if len(o.Output) > MaxData {
		f.failed(tooLarge(r.name()))
		return
	}
	given := datum{}
	if len(o.Output) > 0 {
		var err error
		if given.v, given.text, err = value.ParseText(o.Output); err != nil {
			f.failed(&fault{name: ErrTaskFailed, cause: "The output of the task: " + err.Error()})
			return
		}
	}
	output := OutputDetails{Output: given.json()}
	switch r.service {
	case serviceLambda:
		f.t.tell(f.c, LambdaFunctionSucceeded, len(output.Output)).LambdaSucceeded = f.t.room.outputs.add(output)
	case serviceActivity:
		f.t.tell(f.c, ActivitySucceeded, len(output.Output)).ActivitySucceeded = f.t.room.outputs.add(output)
	default:
		f.t.tell(f.c, TaskSucceeded, len(output.Output)).TaskSucceeded = &TaskOutputDetails{r.details(), output}
	}
	out, err := f.harvest(given)
	if err != nil {
		f.fail(err)
		return
	}
	f.leave(out, f.st.next)
}

// harvest is the state's output for what a task gave.
func (f *frame) harvest(given datum) (value.Value, error) {
	f.given, f.harvested = given, true
	result := given.v
	err := f.assign(f.st.assign, result)
	if err != nil {
		return result, err
	}
	if f.st.resultSelector != nil {
		if result, err = f.st.resultSelector.eval(f, result, "ResultSelector"); err != nil {
			return result, err
		}
	}
	out, err := f.placed(f.st.resultPath, result)
	if err != nil {
		return out, err
	}
	return f.selected(f.st.output, out)
}

// failed records that a task failed, and handles it.
func (f *frame) failed(x *fault) {
	details := ErrorDetails{Error: x.name, Cause: x.cause}
	r := f.st.task.resource
	e := HistoryEvent{Type: TaskFailed, TaskFailed: &TaskErrorDetails{r.details(), details}}
	switch r.service {
	case serviceLambda:
		e = HistoryEvent{Type: LambdaFunctionFailed, LambdaFailed: &details}
	case serviceActivity:
		e = HistoryEvent{Type: ActivityFailed, ActivityFailed: &details}
	}
	f.t.emit(f.c, e, len(x.cause))
	f.fail(x)
}

// timedOut records that an effect took too long, or sent no heartbeat. AWS
// calls both States.Timeout in the history.
func (f *frame) timedOut(heartbeat bool) *fault {
	f.t.cancel(f.c)
	x := &fault{name: ErrTimeout}
	if heartbeat {
		x.alias = ErrHeartbeatTimeout
	}
	details := ErrorDetails{Error: x.name}
	r := f.st.task.resource
	e := HistoryEvent{Type: TaskTimedOut, TaskTimedOut: &TaskErrorDetails{r.details(), details}}
	switch r.service {
	case serviceLambda:
		e = HistoryEvent{Type: LambdaFunctionTimedOut, LambdaTimedOut: &details}
	case serviceActivity:
		e = HistoryEvent{Type: ActivityTimedOut, ActivityTimedOut: &details}
	}
	f.t.emit(f.c, e, 0)
	return x
}
