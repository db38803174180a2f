package flow_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

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
	for what, definition := range map[string]string{
		"choices": chain(300, func(name, next string) string {
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
		begin := time.Now()
		flow.Check([]byte(definition), what, flow.Options{Services: services})
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("%s took %v", what, took)
		} else {
			t.Logf("%s: %d bytes took %v", what, len(definition), took)
		}
	}
}

func name(i int) string {
	return "S" + strings.Repeat("x", i%5) + string(rune('a'+i%26)) + strings.Repeat("y", i/26%8) + string(rune('a'+i/208))
}
