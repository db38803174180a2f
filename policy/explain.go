package policy

import (
	"fmt"
	"math"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"

	"github.com/anneal-ml/anneal"
)

// Explain says in words for people what d decided and why, rule by rule and
// guard by guard, and what would have to change for a run to start. p is the
// policy of d's revision; with nil, or another revision, what the rules say and what
// would have to change is left out. Times are told from now.
func Explain(d anneal.Decision, p *Policy, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s\n  %s\n", strings.ToUpper(string(d.Verdict)), d.Policy, d.At.UTC().Format(time.RFC3339), d.Reason)
	if d.Until != nil {
		fmt.Fprintf(&b, "  looked at again at %s\n", moment(*d.Until, now))
	}
	if len(d.Stops) > 0 {
		fmt.Fprintf(&b, "  stops %s\n", strings.Join(d.Stops, ", "))
	}
	fmt.Fprintf(&b, "  decision %s, about event %s", d.ID, d.Cause)
	if d.Trigger != "" {
		fmt.Fprintf(&b, ", woken by %s", d.Trigger)
	}
	if d.Champion != "" {
		fmt.Fprintf(&b, ", champion %s", d.Champion)
	}
	b.WriteString("\n")
	if p != nil && p.Revision != d.Revision {
		p = nil
	}
	for i, r := range d.Rules {
		fmt.Fprintf(&b, "\nrule %s is %s", r.ID, r.Result)
		if r.For != "" {
			fmt.Fprintf(&b, " (%s)", r.For)
		}
		if p != nil {
			fmt.Fprintf(&b, ": %s", strings.Join(strings.Fields(p.Spec.Spec.Rules[i].If), " "))
		}
		b.WriteString("\n")
		for _, c := range r.Clauses {
			if value, truth := c.Value.(bool); truth {
				fmt.Fprintf(&b, "  %-7t  %s%s\n", value, c.Expr, whyDue(d, c.Expr))
			} else if c.Value == nil {
				fmt.Fprintf(&b, "  %-7s  %s\n", "unknown", c.Expr)
			} else {
				fmt.Fprintf(&b, "           %s is %s\n", c.Expr, shown(c.Value))
			}
		}
	}
	for i, g := range d.Guards {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "guard %s %s: %s\n", g.ID, map[bool]string{true: "vetoes", false: "passes"}[g.Veto], g.Detail)
	}
	if d.Verdict == anneal.VerdictRun {
		return b.String()
	}
	b.WriteString("\nwhat would have to change for a run:\n")
	if p == nil {
		b.WriteString("  the policy has changed since; ask about a newer decision\n")
		return b.String()
	}
	for _, line := range p.changes(d, now) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	return b.String()
}

// whyDue is why a signal is due, or is not, where expr asks for that.
func whyDue(d anneal.Decision, expr string) string {
	for name, s := range d.Signals {
		if expr == "signals."+name+".due" && s.Why != "" {
			return ": " + s.Why
		}
	}
	return ""
}

// changes lists what would have to change for d to be a run.
func (p *Policy) changes(d anneal.Decision, now time.Time) []string {
	var lines []string
	if !d.Force && d.Rule == "" {
		for i, r := range d.Rules {
			need, met := p.need(p.rules[i].root, true, d, r)
			if met {
				need = ""
			}
			if r.For != "" {
				f := p.Spec.Spec.Rules[i].For
				need = strings.TrimPrefix(fmt.Sprintf("%s, in %d of the last %d windows (%s so far)", need, f.Windows, f.Of, r.For), ", ")
			}
			start := "by rule "
			if i > 0 {
				start = "or by rule "
			}
			lines = append(lines, start+r.ID+": "+need)
		}
	}
	vetoes := 0
	for _, g := range d.Guards {
		if g.Veto {
			vetoes++
			lines = append(lines, p.lifted(g, d, now))
		}
	}
	if vetoes > 1 && d.Until != nil {
		lines = append(lines, fmt.Sprintf("so not before %s", moment(*d.Until, now)))
	}
	switch {
	case d.Trigger == TriggerPause || strings.HasPrefix(d.Reason, pausedByHand):
		lines = append(lines, "the policy must be resumed by hand")
	case d.Trigger == TriggerResume && p.Spec.Spec.Mode != Paused:
		return []string{"nothing: what was held is looked at again, and then every event"}
	}
	if d.Verdict == anneal.VerdictAwaitApproval {
		lines = append(lines, fmt.Sprintf("a person must say so, if nobody has: anneal approve %s, or reject", d.ID))
	}
	if d.Verdict == anneal.VerdictError {
		lines = append(lines, "the error must be mended: "+d.Reason)
	}
	if mode := p.Spec.Spec.Mode; mode != Enforce {
		lines = append(lines, fmt.Sprintf("mode must be enforce (is %s)", mode))
	}
	if len(lines) == 0 {
		lines = append(lines, "nothing more comes of this one; the next event is decided on anew")
	}
	return lines
}

// lifted says when the guard g, which vetoes, would no longer.
func (p *Policy) lifted(g anneal.GuardResult, d anneal.Decision, now time.Time) string {
	switch {
	case g.ID == guardBreaker:
		_, until, _ := strings.Cut(g.Detail, ": ")
		return fmt.Sprintf("%s is %s", g.ID, until)
	case g.Until != nil:
		return fmt.Sprintf("%s ends at %s", g.ID, moment(*g.Until, now))
	case g.ID == guardConcurrency && len(d.Stops) > 0:
		return fmt.Sprintf("%s has a place when %s has ended", g.ID, strings.Join(d.Stops, " and "))
	}
	return fmt.Sprintf("%s must not veto: %s", g.ID, g.Detail)
}

// need says what would make n come out as want, given how its clauses came out
// in r, and whether it does already.
func (p *Policy) need(n *node, want bool, d anneal.Decision, r anneal.RuleResult) (phrase string, met bool) {
	switch n.op {
	case "!":
		return p.need(n.kids[0], !want, d, r)
	case "&&", "||":
		every := (n.op == "&&") == want
		var open []string
		for _, kid := range n.kids {
			switch phrase, met := p.need(kid, want, d, r); {
			case met && !every:
				return "", true
			case !met:
				open = append(open, phrase)
			}
		}
		if every {
			return strings.Join(open, " and "), len(open) == 0
		}
		if len(open) == 1 {
			return open[0], false
		}
		return "either " + strings.Join(open, " or "), false
	}
	value, truth := clause(r, n.text).(bool)
	if truth && value == want {
		return "", true
	}
	if n.op == "newly" {
		if phrase, met := p.need(n.kids[0], want, d, r); !met {
			return "newly " + phrase, false
		}
		return n.kids[0].text + " false first, and then true again", false
	}
	if n.limit == nil {
		return fmt.Sprintf("%s %t", n.text, want), false
	}
	return p.reach(n, want, d, r), false
}

func clause(r anneal.RuleResult, expr string) any {
	for _, c := range r.Clauses {
		if c.Expr == expr {
			return c.Value
		}
	}
	return nil
}

// reach says which value the comparison n would have to read.
func (p *Policy) reach(n *node, want bool, d anneal.Decision, r anneal.RuleResult) string {
	compare := n.compare
	if !want {
		compare = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}[compare]
	}
	limit, is := clauseValue(n.limit), clause(r, n.read)
	goal := map[string]string{
		"<": "%s below %s", "<=": "%s at %s or less", ">": "%s above %s", ">=": "%s at %s or more", "==": "%s equal to %s", "!=": "%s other than %s",
	}[compare]
	text := fmt.Sprintf(goal, n.read, shown(limit))
	if is == nil {
		return text + " (is unknown)"
	}
	details := "is " + shown(is)
	grow := compare == ">" || compare == ">="
	if length, ok := n.limit.(types.Duration); ok && grow && strings.HasSuffix(n.read, ".age") {
		if age, ok := parseLength(fmt.Sprint(is)); ok {
			details += ", from " + d.At.Add(length.Duration-age).UTC().Format(time.RFC3339)
		}
	}
	limitNumber, ok1 := toFloat(limit)
	isNumber, ok2 := is.(float64)
	if ok1 && ok2 && grow && p.counts(n.read) {
		more := math.Ceil(limitNumber - isNumber)
		if compare == ">" && more == limitNumber-isNumber {
			more++
		}
		return fmt.Sprintf("%s more rows (%s %s, needs %s %s)", number(more), n.read, details, compare, number(limitNumber))
	}
	return text + " (" + details + ")"
}

// counts reports whether read is the value of a signal that counts rows.
func (p *Policy) counts(read string) bool {
	for name, s := range p.Spec.Spec.Signals {
		if s.Reduce == ReduceRows && read == "signals."+name+".value" {
			return true
		}
	}
	return false
}

// moment writes a time, and how far it is from now.
func moment(t, now time.Time) string {
	distance := "now"
	switch left := t.Sub(now); {
	case left >= time.Second:
		distance = "in " + about(left)
	case left <= -time.Second:
		distance = about(-left) + " ago"
	}
	return t.UTC().Format(time.RFC3339) + " (" + distance + ")"
}
