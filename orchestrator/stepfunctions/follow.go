package stepfunctions

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/orchestrator"
)

const (
	// An execution is looked at after an eighth of the time that it has run, at
	// least and at most after these.
	soonest = time.Second
	latest  = time.Minute
	// few executions of a machine are described one by one; more that are due
	// together are looked for in the list of those that run.
	few = 3
	// mostPages of a thousand each are read of that list; beyond it those who are
	// not found are described.
	mostPages = 10
	// unlisted is how long the list is not asked for again where it is refused.
	unlisted = 10 * time.Minute
	// An execution that is not there is lost after so many looks, and so long:
	// what AWS shows may be late.
	missesToLose = 5
	timeToLose   = 2 * time.Minute

	// timeoutError is the error by which an execution is stopped whose time is
	// over, and that by which Step Functions ends one by its definition.
	timeoutError = "States.Timeout"
	lostError    = "Anneal.ExecutionLost"
)

// A followed execution is open. What changes of it is guarded by the executor's
// mu, until done is closed.
type followed struct {
	name     string
	arn      string
	machine  machine
	timeout  time.Duration // 0: none
	deadline time.Time     // by timeout
	redrives int64         // an end before the last of them is not its end
	since    time.Time     // by which the next look is reckoned
	due      time.Time     // of that
	told     bool          // there is reason to look at it alone
	misses   int
	x        orchestrator.Execution // as it was seen last
	seen     chan struct{}          // closed when it was seen once
	done     chan struct{}          // closed when it has ended
}

// polling is how the executions of one machine are looked at.
type polling struct {
	failed   int       // calls, one after another
	unlisted time.Time // until then, the list is not asked for
}

// follow has an open execution followed.
func (e *Executor) follow(m machine, x orchestrator.Execution, timeout time.Duration) *followed {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.following[x.Name]
	if f == nil {
		now := time.Now()
		f = &followed{name: x.Name, arn: x.ARN, machine: m, since: now, x: x, seen: make(chan struct{}), done: make(chan struct{})}
		f.due = now.Add(jitter(soonest))
		e.following[x.Name] = f
	}
	f.redrives = max(f.redrives, x.Redrives)
	if timeout > 0 {
		f.timeout = timeout
		f.deadline = deadline(x, timeout)
	}
	e.rouse()
	return f
}

// deadline is when the time of an execution is over, which begins anew when it
// is redriven.
func deadline(x orchestrator.Execution, timeout time.Duration) time.Time {
	from := time.Now()
	if x.Redriven != nil {
		from = *x.Redriven
	} else if x.Started != nil {
		from = *x.Started
	}
	return from.Add(timeout)
}

func (e *Executor) rouse() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// look has the loop look at an execution now.
func (e *Executor) look(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.following[name]; f != nil {
		f.told, f.due, f.since = true, time.Now(), time.Now()
		e.rouse()
	}
}

// Told takes note of an event that may be of an execution that is followed. It
// does not wait.
func (e *Executor) Told(event anneal.Event) {
	if event.Source != "aws.states" || e.Following() == 0 {
		return
	}
	var detail struct {
		Execution string        `json:"executionArn"`
		Status    anneal.Status `json:"status"`
	}
	if json.Unmarshal(event.Data, &detail) != nil || !detail.Status.Ended() {
		return
	}
	name := detail.Execution[strings.LastIndexByte(detail.Execution, ':')+1:]
	e.mu.Lock()
	f := e.following[name]
	ours := f != nil && f.arn == detail.Execution
	e.mu.Unlock()
	if ours {
		e.look(name)
	}
}

// Following is how many executions are followed.
func (e *Executor) Following() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.following)
}

// Run follows executions until ctx ends.
func (e *Executor) Run(ctx context.Context) error {
	timer := time.NewTimer(latest)
	defer timer.Stop()
	for {
		f, list, wait := e.next(time.Now())
		if f == nil {
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return nil
			case <-e.wake:
			case <-timer.C:
			}
			continue
		}
		if list {
			e.list(ctx, f.machine)
		} else {
			e.lookAt(ctx, f)
		}
		if !e.pause(ctx) {
			return nil
		}
	}
}

// pause keeps the calls of the loop apart.
func (e *Executor) pause(ctx context.Context) bool {
	select {
	case <-time.After(e.cfg.Gap):
		return true
	case <-ctx.Done():
		return false
	}
}

// next is the execution to look at, and whether as one of its machine's list; or
// how long there is none. Those come first that there is word of.
func (e *Executor) next(now time.Time) (first *followed, list bool, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wait = latest
	for _, f := range e.following {
		if left := f.at().Sub(now); left > 0 {
			wait = min(wait, left)
		} else if first == nil || f.before(first) {
			first = f
		}
	}
	if first == nil || first.told || first.over(now) || now.Before(e.poll(first.machine).unlisted) {
		return first, false, wait
	}
	due := 0
	for _, f := range e.following {
		if f.machine.base == first.machine.base && !f.told && f.soon(now) {
			due++
		}
	}
	return first, due > few, wait
}

// jitter is between 0.8 and 1.2 of a time, so that what is due together does not
// stay so.
func jitter(d time.Duration) time.Duration { return d*4/5 + rand.N(d*2/5+1) }

// at is when there is something to do about an execution.
func (f *followed) at() time.Time {
	if !f.deadline.IsZero() && f.deadline.Before(f.due) {
		return f.deadline
	}
	return f.due
}

func (f *followed) before(g *followed) bool {
	if f.told != g.told {
		return f.told
	}
	return cmp.Or(f.at().Compare(g.at()), strings.Compare(f.name, g.name)) < 0
}

// over reports whether the time of an execution is over.
func (f *followed) over(now time.Time) bool { return !f.deadline.IsZero() && !f.deadline.After(now) }

// interval is the time to the next look at an execution that runs.
func (f *followed) interval(now time.Time) time.Duration {
	return min(max(now.Sub(f.since)/8, soonest), latest)
}

// soon reports whether an execution may be looked at together with those that
// are due.
func (f *followed) soon(now time.Time) bool { return f.due.Before(now.Add(f.interval(now) / 2)) }

// poll is how a machine is looked at; under mu.
func (e *Executor) poll(m machine) *polling {
	p := e.polls[m.base]
	if p == nil {
		p = &polling{}
		e.polls[m.base] = p
	}
	return p
}

// runs notes that an execution was seen to run; under mu.
func (e *Executor) runs(f *followed, x orchestrator.Execution, now time.Time) {
	f.told, f.misses = false, 0
	f.x.Status, f.x.Started, f.x.Redrives, f.x.Redriven = anneal.StatusRunning, x.Started, x.Redrives, x.Redriven
	f.sight()
	if f.timeout > 0 {
		f.deadline = deadline(x, f.timeout)
	}
	f.due = now.Add(jitter(f.interval(now)))
}

// sight tells those who wait to see an execution; under mu.
func (f *followed) sight() {
	select {
	case <-f.seen:
	default:
		close(f.seen)
	}
}

// failed puts off all looks at the executions of a machine that cannot be asked
// for.
func (e *Executor) failed(m machine) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, now := e.poll(m), time.Now()
	p.failed++
	off := now.Add(jitter(min(soonest<<min(p.failed-1, 10), latest)))
	for _, f := range e.following {
		if f.machine.base != m.base {
			continue
		}
		if f.due.Before(off) {
			f.due = off
		}
		if !f.deadline.IsZero() && f.deadline.Before(off) {
			f.deadline = off
		}
	}
}

// list looks at the executions of a machine in the list of those that run. Those
// that are due and not in it are described next.
func (e *Executor) list(ctx context.Context, m machine) {
	asked := time.Now()
	running, next := map[string]types.ExecutionListItem{}, (*string)(nil)
	for page := 0; page < mostPages; page++ {
		if page > 0 && !e.pause(ctx) {
			return
		}
		out, err := callNow(ctx, e, m, "ListExecutions", callTime, func(ctx context.Context, c *sfn.Client) (*sfn.ListExecutionsOutput, error) {
			return c.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &m.base, StatusFilter: types.ExecutionStatusRunning, MaxResults: 1000, NextToken: next})
		})
		if err != nil {
			if ctx.Err() == nil {
				e.notListed(m, err)
			}
			return
		}
		for _, x := range out.Executions {
			running[aws.ToString(x.ExecutionArn)] = x
		}
		if next = out.NextToken; next == nil || e.allIn(m, running) {
			break
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.poll(m).failed = 0
	for _, f := range e.following {
		x, runs := running[f.arn]
		switch {
		case f.machine.base != m.base || f.told:
		case runs:
			e.runs(f, orchestrator.Execution{Started: utc(x.StartDate), Redrives: int64(aws.ToInt32(x.RedriveCount)), Redriven: utc(x.RedriveDate)}, asked)
		case f.soon(asked):
			f.told, f.due = true, asked
		}
	}
}

// notListed goes on without the list, where that alone is what is refused.
func (e *Executor) notListed(m machine, err error) {
	if !isCode(err, "AccessDeniedException", "AccessDenied", "StateMachineDoesNotExist", "StateMachineDeleting") {
		e.failed(m)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.poll(m).unlisted = time.Now().Add(unlisted)
}

func (e *Executor) allIn(m machine, running map[string]types.ExecutionListItem) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.following {
		if _, is := running[f.arn]; f.machine.base == m.base && !is {
			return false
		}
	}
	return true
}

// lookAt asks where one execution stands, and ends it if its time is over.
func (e *Executor) lookAt(ctx context.Context, f *followed) {
	e.mu.Lock()
	f.told = false // what is told from here on is another look
	e.mu.Unlock()
	began := time.Now()
	x, err := e.describe(ctx, f.machine, f.arn)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, orchestrator.ErrNotFound):
		e.missed(f)
		return
	case err != nil:
		e.failed(f.machine)
		return
	}
	e.mu.Lock()
	e.poll(f.machine).failed = 0
	told, over := f.told, false
	if x.Status.Ended() && x.Redrives >= f.redrives {
		e.ended(f, x)
	} else {
		e.runs(f, x, began)
		if told { // meanwhile
			f.told, f.due = true, began
		}
		over = f.over(time.Now()) && x.Redrives >= f.redrives
	}
	e.mu.Unlock()
	if !over {
		return
	}
	cause := fmt.Sprintf("The run took longer than its timeout of %s.", f.timeout)
	if err := e.stop(ctx, f.machine, f.arn, timeoutError, cause); err != nil {
		if ctx.Err() == nil {
			e.failed(f.machine)
		}
		return
	}
	e.look(f.name)
	e.mu.Lock()
	f.deadline = time.Now().Add(latest) // in case it is not shown as ended by then
	e.mu.Unlock()
}

// missed notes that AWS does not show an execution, and gives it up in the end.
func (e *Executor) missed(f *followed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	f.misses++
	if f.misses < missesToLose || now.Sub(f.since) < timeToLose {
		f.due = now.Add(jitter(f.interval(now)))
		return
	}
	e.ended(f, orchestrator.Execution{
		Name: f.name, ARN: f.arn, Machine: f.machine.base, Status: anneal.StatusFailed, Ended: &now,
		Error: lostError, Cause: "Step Functions no longer has the execution " + f.arn + ".",
	})
}

// ended tells those who wait; under mu.
func (e *Executor) ended(f *followed, x orchestrator.Execution) {
	f.x = x
	f.sight()
	delete(e.following, f.name)
	close(f.done)
}
