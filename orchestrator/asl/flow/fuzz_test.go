package flow_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"

	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
)

// FuzzCheck holds checking to an end, whatever the definition.
func FuzzCheck(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, d := range ar.Files {
			if strings.HasSuffix(d.Name, ".json") {
				f.Add(d.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, definition []byte) {
		flow.Check(definition, "f.json", flow.Options{Services: services, Seen: map[string]*flow.Seen{}})
	})
}

// TestLargeDefinitions checks definitions whose ways are without number.
func TestLargeDefinitions(t *testing.T) {
	chain := func(n int, state func(name, next string) string) string {
		var states []string
		for i := range n {
			next := `"Next": "` + name(i+1) + `"`
			if i == n-1 {
				next = `"End": true`
			}
			states = append(states, state(name(i), next))
		}
		return `{"StartAt": "` + name(0) + `", "States": {` + strings.Join(states, ",\n") + `}}`
	}
	choices := 300
	if testing.Short() {
		choices = 150
	}
	for what, definition := range map[string]string{
		"choices": chain(choices, func(name, next string) string {
			return `"` + name + `": {"Type": "Choice", "Choices": [{"Variable": "$.v` + name + `", "BooleanEquals": true, ` + strings.Replace(next, `"End": true`, `"Next": "`+name+`"`, 1) + `}], "Default": "T` + name + `"},
				"T` + name + `": {"Type": "Pass", "Result": 1, "ResultPath": "$.r` + name + `", ` + next + `}`
		}),
		"growth": chain(300, func(name, next string) string {
			return `"` + name + `": {"Type": "Pass", "Parameters": {"a.$": "$", "b.$": "$", "c.$": "$"}, ` + next + `}`
		}),
		"loop": `{"StartAt": "A", "States": {"A": {"Type": "Pass", "Parameters": {"a.$": "$", "n.$": "States.Format('{}x', $.n)"}, "ResultPath": "$.again", "Next": "B"},
			"B": {"Type": "Choice", "Choices": [{"Variable": "$.again.n", "StringEquals": "x", "Next": "C"}], "Default": "A"}, "C": {"Type": "Succeed"}}}`,
		"nesting": strings.Repeat(`{"StartAt": "S", "States": {"S": {"Type": "Parallel", "End": true, "Branches": [`, 20) +
			`{"StartAt": "S", "States": {"S": {"Type": "Pass", "End": true}}}` + strings.Repeat(`]}}}`, 20),
	} {
		before := used(t)
		flow.Check([]byte(definition), what, flow.Options{Services: services})
		if took := used(t) - before; took > time.Minute {
			t.Errorf("%s took %v of the processor", what, took)
		} else {
			t.Logf("%s: %d bytes took %v", what, len(definition), took)
		}
	}
}

// used is how long this process has had a processor, which does not grow with what
// else the machine has to do.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func name(i int) string {
	return "S" + strings.Repeat("x", i%5) + string(rune('a'+i%26)) + strings.Repeat("y", i/26%8) + string(rune('a'+i/208))
}
