package stepfunctions

import (
	"fmt"
	"regexp"
	"strings"
)

var machineForm = regexp.MustCompile(`^arn:aws[a-z-]*:states:([a-z0-9-]+):[0-9]{12}:stateMachine:([^\s:/]{1,80})(?::([^\s:/]{1,80}))?$`)

// A machine is the ARN of a state machine, taken apart.
type machine struct {
	text   string // as it was given: with a version or an alias
	base   string // without
	region string
	name   string
}

func parseMachine(text string) (machine, error) {
	parts := machineForm.FindStringSubmatch(text)
	if parts == nil {
		return machine{}, fmt.Errorf("%q is not the ARN of a state machine: arn:aws:states:eu-central-1:123456789012:stateMachine:NAME, or with :VERSION or :ALIAS at its end", text)
	}
	m := machine{text: text, base: text, region: parts[1], name: parts[2]}
	if parts[3] != "" {
		m.base = strings.TrimSuffix(text, ":"+parts[3])
	}
	return m, nil
}

// CheckARN says what is wrong with the ARN of a state machine, of a version of
// it, or of an alias.
func CheckARN(text string) error {
	_, err := parseMachine(text)
	return err
}

// execution is the ARN of the Standard execution of that name, whichever version
// or alias it was started by.
func (m machine) execution(name string) string {
	return strings.Replace(m.base, ":stateMachine:", ":execution:", 1) + ":" + name
}

// express reports whether an ARN is that of an Express execution.
func express(execution string) bool { return strings.Contains(execution, ":express:") }
