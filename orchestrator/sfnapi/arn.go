package sfnapi

import (
	"strings"
	"unicode"
)

// An arn is the part of an ARN that is read: the region and the account may be
// any.
type arn struct {
	text string
	kind string   // stateMachine, execution, express, activity, mapRun
	rest []string // what follows it
}

// name is that of the state machine or activity; that of a state machine may have the
// label of a distributed Map behind a slash.
func (a arn) name() string { return a.rest[0] }

// qualifier is the version or alias of a state machine, or the name of an
// execution; empty where there is none.
func (a arn) qualifier() string {
	if len(a.rest) < 2 {
		return ""
	}
	return a.rest[1]
}

// labelled takes the label out of the ARN of a state machine.
func labelled(text string) (machine, label string) {
	before, after, ok := strings.Cut(text, ":stateMachine:")
	name, label, found := strings.Cut(after, "/")
	if !ok || !found || strings.Contains(label, ":") {
		return text, ""
	}
	return before + ":stateMachine:" + name, label
}

// parseARN takes an ARN apart that must be of one of the kinds.
func parseARN(text string, kinds ...string) (arn, error) {
	if err := checkPrefix(text); err != nil {
		return arn{}, err
	}
	parts := strings.Split(text, ":")
	if len(parts) < 7 || parts[2] != "states" || parts[5] == "" || parts[6] == "" {
		return arn{}, refuse("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", strings.Join(parts[min(5, len(parts)):], ":"))
	}
	a := arn{text: text, kind: parts[5], rest: parts[6:]}
	most := 2
	switch a.kind {
	case "activity":
		most = 1
	case "mapRun":
		most = 3
	}
	for _, k := range kinds {
		if k == "stateMachine" && a.kind == k && strings.Contains(a.name(), "/") {
			return arn{}, invalid("The state machine ARN must not have the label of a Map: '%s'", text).because(reasonLabel)
		}
		if a.kind == k && len(a.rest) <= most && (k != "execution" || len(a.rest) == 2) {
			return a, nil
		}
	}
	return arn{}, refuse("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", a.kind)
}

func checkPrefix(text string) error {
	if !strings.HasPrefix(text, "arn:") {
		return refuse("InvalidArn", "Invalid Arn: 'Invalid ARN prefix: %s'", text)
	}
	return nil
}

// arn is that of a resource here.
func (s *Server) arn(kind string, parts ...string) string {
	return "arn:aws:states:" + s.cfg.Region + ":" + s.cfg.Account + ":" + kind + ":" + strings.Join(parts, ":")
}

// checkName keeps the service's rules for names.
func checkName(name string) error {
	n := 0
	for _, r := range name {
		n++
		if r <= ' ' || r >= 0x7f && r <= 0x9f || r == 0xfffe || r == 0xffff || r == unicode.MaxRune || strings.ContainsRune("<>{}[]?*\"#%\\^|~`$&,;:/", r) {
			return refuse("InvalidName", "Invalid Name: '%s'", name)
		}
	}
	if n < 1 || n > 80 {
		return refuse("InvalidName", "Invalid Name: '%s'", name)
	}
	return nil
}
