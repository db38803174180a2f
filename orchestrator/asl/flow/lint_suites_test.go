package flow_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
)

// TestLintSuites checks the definitions that two public linters accept or refuse:
// none that they accept may be refused, and of the others only two
// may be accepted.
func TestLintSuites(t *testing.T) {
	dir := shared(t, "conformance", "lint")
	index, err := os.ReadFile(filepath.Join(dir, "index.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	// AWS wants {% and %}: what spaces or lines are beside them is up to the author.
	spaces := map[string]bool{
		"invalid/asl-validator__jsonata-surround-syntax-no-spaces.json": true,
		"invalid/asl-validator__json-surround-syntax-extra-spaces.json": true,
	}
	valid, invalid, refused := 0, 0, 0
	for line := range bytes.Lines(index) {
		var entry struct{ File, Verdict, Title string }
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.File))
		if err != nil {
			t.Fatal(err)
		}
		errors := flow.Check(data, entry.File, flow.Options{Services: services}).Errors()
		switch {
		case entry.Verdict == "valid":
			if valid++; len(errors) > 0 {
				t.Errorf("%s (%s) is refused:\n%v", entry.File, entry.Title, errors)
			}
		case len(errors) > 0:
			invalid++
			refused++
		default:
			if invalid++; !spaces[entry.File] {
				t.Errorf("%s (%s) is accepted", entry.File, entry.Title)
			}
		}
	}
	t.Logf("%d sound definitions, and %d of %d others refused", valid, refused, invalid)
	if valid < 70 || invalid < 60 {
		t.Errorf("only %d and %d definitions", valid, invalid)
	}
}
