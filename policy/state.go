package policy

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
)

// A State is the past as decisions need it, of all policies: a fold of the
// journal's policies, events, decisions, runs, models and what was gathered,
// applied in the journal's order. Its JSON is a snapshot to go on from, equal
// for equal records. Its size grows with the policies, model groups and open
// runs, not with the journal. The zero State is the beginning.
type State struct {
	Policies map[string]*Memory `json:"policies,omitempty"` // by policy
	Open     map[string]OpenRun `json:"open,omitempty"`     // by run ID
	Ended    map[string]Ends    `json:"ended,omitempty"`    // by model group
	Last     *End               `json:"last,omitempty"`     // the last run that ended

	agenda *agenda // a cache; nil until it is asked for
}

// Memory is what is remembered of one policy.
type Memory struct {
	Overlap string                 `json:"overlap,omitempty"` // what its concurrency guard says
	Rules   map[string]*RuleMemory `json:"rules,omitempty"`   // by rule id
	// Wake is the decision that waits; Queue are those behind it, in their
	// order, where the overlap is buffer-all.
	Wake  *Wake  `json:"wake,omitempty"`
	Queue []Wake `json:"queue,omitempty"`
	// Gathered are the windows of its triggers, the oldest first.
	Gathered []Gathered `json:"gathered,omitempty"`
	// Approval is the decision that waits for approval, and OnTimeout what the
	// policy says of one that nobody answers.
	Approval  *Wake  `json:"approval,omitempty"`
	OnTimeout string `json:"onTimeout,omitempty"`
	// Paused is why a person has paused it, nil where nobody has. Resumed is
	// when one last resumed it.
	Paused  *string    `json:"paused,omitempty"`
	Resumed *time.Time `json:"resumed,omitempty"`
	// Off is that its file says mode: paused.
	Off bool `json:"off,omitempty"`
}

// RuleMemory is what is remembered of one rule.
type RuleMemory struct {
	// Truths are the last known values of its clauses. What made the rule true
	// when a guard vetoed, the policy was paused, or the run could not be made,
	// is not remembered: it is still new the next time.
	Truths map[string]bool `json:"truths,omitempty"`

	// Windows are the known results of If on the last distinct windows, the
	// newest last, for a rule with a `for`.
	If      string         `json:"if,omitempty"`
	Windows []WindowResult `json:"windows,omitempty"`
}

// A WindowResult is how a rule came out on one window, against one champion.
type WindowResult struct {
	Window   string `json:"window"`
	Champion string `json:"champion,omitempty"`
	True     bool   `json:"true"`
}

// An OpenRun is a run that has not ended.
type OpenRun struct {
	Policy string `json:"policy"`
	Model  string `json:"model"`
	Key    string `json:"key"` // what concurrency guards count by

	Decided  time.Time `json:"decided"`
	Stopping bool      `json:"stopping,omitempty"` // a decision has stopped it
}

// Ends are the last ends of a model group's runs.
type Ends struct {
	Success *End `json:"success,omitempty"`
	Failure *End `json:"failure,omitempty"`

	// Streak is how many have failed since the last success. Those that were
	// stopped have not failed, here and below.
	Streak int `json:"streak,omitempty"`
	// Failed are the last that failed, NotPromoted the last that succeeded and
	// whose model has not become the champion; the newest last.
	Failed      []End `json:"failed,omitempty"`
	NotPromoted []End `json:"notPromoted,omitempty"`
	// Decided are when the last runs were decided on, in order.
	Decided []time.Time `json:"decided,omitempty"`
}

// An End is when a run ended.
type End struct {
	Run    string        `json:"run"`
	Status anneal.Status `json:"status"`
	At     time.Time     `json:"at"`
}

// Bounds of what is remembered: of a rule, which bounds `for.of`, and of the
// runs of a model group, which bounds what a breaker and a budget can count.
const (
	maxWindows = 64
	maxEnds    = 64
	maxDecided = 512
)

// ApplyPolicy takes in a policy of the journal: it decides from here on.
func (s *State) ApplyPolicy(spec Spec) {
	m, overlap := s.memory(spec.Metadata.Name), ""
	if c := spec.Spec.Guards.Concurrency; c != nil {
		overlap = c.Overlap
	}
	m.applyOverlap(overlap)
	if m.OnTimeout = ""; spec.Spec.Approval != nil {
		m.OnTimeout = spec.Spec.Approval.OnTimeout
	}
	if m.Off = spec.Spec.Mode == Paused; !m.stopped() {
		m.release()
	}
}

// ApplyEvent takes in an event of the journal. Only those that [State.Due]
// gave matter: what has its event in the journal is not due again.
func (s *State) ApplyEvent(e anneal.Event) {
	if w := s.wake(e); w != nil {
		w.Woken = &e.Seen
		if w.Asks {
			w.Answer = e.ID
		}
		s.touch(e.Subject)
	}
	if w := s.window(e); w != nil {
		w.Woken = &e.Seen
		s.touch(e.Subject)
	}
}

// ApplyDecision takes in a decision of the journal. A run that it decided is
// open from here on.
func (s *State) ApplyDecision(d anneal.Decision) {
	if d.Verdict == anneal.VerdictSuppressed {
		s.inVain(d)
		return
	}
	m := s.memory(d.Policy)
	switch d.Trigger {
	case TriggerPause:
		m.Paused = &d.Reason
		return
	case TriggerResume:
		m.Paused, m.Resumed = nil, &d.At
		m.release()
		return
	}
	vetoed := m.stopped() || firstVeto(d.Guards) != "" || d.Verdict == anneal.VerdictError
	for _, r := range d.Rules {
		m.rule(r.ID).apply(d, r, vetoed)
	}
	m.applyWake(d)
	for _, id := range d.Stops {
		if o, open := s.Open[id]; open {
			o.Stopping = true
			s.Open[id] = o
		}
	}
	if d.Verdict == anneal.VerdictRun {
		s.open(d.ID, OpenRun{Policy: d.Policy, Model: d.Model, Key: d.Model, Decided: d.At}, true)
	}
}

// ApplyRun takes in a run of the journal, each time it is told anew.
func (s *State) ApplyRun(r anneal.Run) {
	key := r.ConcurrencyKey
	if key == "" {
		key = r.Model
	}
	if !r.Status.Ended() {
		s.open(r.ID, OpenRun{Policy: r.Policy, Model: r.Model, Key: key, Decided: r.Started}, r.Redrives == 0)
		return
	}
	was, open := s.Open[r.ID]
	delete(s.Open, r.ID)
	if s.agenda != nil {
		s.agenda.freed = true
	}
	if r.Ended == nil || !open {
		return // told before
	}
	ends, end := s.Ended[r.Model], End{Run: r.ID, Status: r.Status, At: *r.Ended}
	switch r.Status {
	case anneal.StatusSucceeded:
		ends.Success, ends.Streak = &end, 0
		ends.NotPromoted = lastOf(append(ends.NotPromoted, end), maxEnds) // until ApplyModel knows better
	case anneal.StatusAborted:
		if !was.Stopping { // what made way for another must not hold that back
			ends.Failure = &end
		}
	default:
		ends.Failure = &end
		ends.Streak++
		ends.Failed = lastOf(append(ends.Failed, end), maxEnds)
	}
	s.ended(r.Model, ends)
	s.Last = &end
}

// ApplyModel takes in a model of the journal, each time it is told anew.
func (s *State) ApplyModel(m anneal.Model) {
	ends, known := s.Ended[m.Group]
	if !known || m.Stage != anneal.StageLive {
		return
	}
	ends.NotPromoted = slices.DeleteFunc(ends.NotPromoted, func(e End) bool { return e.Run == m.Run })
	s.ended(m.Group, ends)
}

func (s *State) ended(group string, ends Ends) {
	if s.Ended == nil {
		s.Ended = map[string]Ends{}
	}
	s.Ended[group] = ends
}

// memory is what is remembered of a policy, to be changed.
func (s *State) memory(policy string) *Memory {
	s.touch(policy)
	if s.Policies == nil {
		s.Policies = map[string]*Memory{}
	}
	if s.Policies[policy] == nil {
		s.Policies[policy] = &Memory{}
	}
	return s.Policies[policy]
}

// open takes in an open run: what is known of it already stays. One that goes
// on after it had ended is not decided anew.
func (s *State) open(run string, o OpenRun, decided bool) {
	if s.Open == nil {
		s.Open = map[string]OpenRun{}
	}
	if known, ok := s.Open[run]; ok {
		if s.agenda != nil && known.Key != o.Key {
			s.agenda.freed = true
		}
		o.Decided, o.Stopping = known.Decided, known.Stopping
	} else if decided {
		ends := s.Ended[o.Model]
		ends.Decided = append(ends.Decided, o.Decided)
		slices.SortFunc(ends.Decided, time.Time.Compare)
		ends.Decided = lastOf(ends.Decided, maxDecided)
		s.ended(o.Model, ends)
	}
	s.Open[run] = o
}

func lastOf[T any](list []T, n int) []T { return list[max(0, len(list)-n):] }

// openUnder lists the open runs under key.
func (s *State) openUnder(key string) (ids []string) {
	for id, o := range s.Open {
		if o.Key == key {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// ruleMemory is what is remembered of a rule, empty where nothing is.
func (s *State) ruleMemory(policy, rule string) RuleMemory {
	if m := s.Policies[policy]; m != nil && m.Rules[rule] != nil {
		return *m.Rules[rule]
	}
	return RuleMemory{}
}

func (m *Memory) rule(id string) *RuleMemory {
	if m.Rules == nil {
		m.Rules = map[string]*RuleMemory{}
	}
	if m.Rules[id] == nil {
		m.Rules[id] = &RuleMemory{}
	}
	return m.Rules[id]
}

// apply remembers how the rule came out in d.
func (m *RuleMemory) apply(d anneal.Decision, r anneal.RuleResult, vetoed bool) {
	truths := map[string]bool{}
	for _, c := range r.Clauses {
		was, known := m.Truths[c.Expr]
		if now, ok := c.Value.(bool); ok && !(now && vetoed && r.Result == anneal.True) {
			was, known = now, true
		}
		if known {
			truths[c.Expr] = was
		}
	}
	m.Truths = truths

	if r.For == "" || len(r.Clauses) == 0 {
		m.If, m.Windows = "", nil
		return
	}
	whole := r.Clauses[0] // see Decide: the whole expression where there is a `for`
	if m.If != whole.Expr {
		m.If, m.Windows = whole.Expr, nil
	}
	if truth, ok := whole.Value.(bool); ok {
		m.Windows = addWindow(m.Windows, WindowResult{Window: windowOf(r.Clauses, d.Signals), Champion: d.Champion, True: truth})
	}
}

// addWindow adds the result on a window, or replaces the one it had.
func addWindow(list []WindowResult, w WindowResult) []WindowResult {
	list = slices.DeleteFunc(slices.Clone(list), func(o WindowResult) bool {
		return o.Window == w.Window && o.Champion == w.Champion
	})
	list = append(list, w)
	return list[max(0, len(list)-maxWindows):]
}

// windowOf is the identity of the data that a rule with these clauses looked
// at: the windows of the signals it read.
func windowOf(clauses []anneal.Clause, signals map[string]anneal.SignalValue) string {
	read := map[string]string{}
	for _, c := range clauses {
		if rest, ok := strings.CutPrefix(c.Expr, "signals."); ok {
			name, _, _ := strings.Cut(rest, ".")
			if s, ok := signals[name]; ok {
				read[name] = name + "=" + s.Window
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Values(read)), " ")
}
