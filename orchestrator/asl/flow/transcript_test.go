package flow_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts checks the definitions in testdata/*.txt. Each NAME.json is one,
// with NAME.input as what executions get, if that is there; problems is what is
// found in all of them.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			inputs := map[string][]byte{}
			var want *txtar.File
			for i, f := range ar.Files {
				if name, ok := strings.CutSuffix(f.Name, ".input"); ok {
					inputs[name+".json"] = f.Data
				}
				if f.Name == "problems" {
					want = &ar.Files[i]
				}
			}
			if want == nil {
				t.Fatalf("%s has no problems", file)
			}
			var got bytes.Buffer
			for _, f := range ar.Files {
				if !strings.HasSuffix(f.Name, ".json") {
					continue
				}
				o := flow.Options{Services: services, Strict: true}
				if input, ok := inputs[f.Name]; ok {
					v, err := value.Parse(input)
					if err != nil {
						t.Fatal(err)
					}
					o.Input, o.Giver = flow.Exactly(v), "the input"
				}
				found := flow.Check(f.Data, f.Name, o)
				for _, p := range found {
					fmt.Fprintln(&got, p)
				}
				if strings.HasPrefix(filepath.Base(file), "faulty") && len(found) == 0 {
					t.Errorf("nothing is found in %s", f.Name)
				}
			}
			if diff := cmp.Diff(string(want.Data), got.String()); diff != "" {
				if *update {
					want.Data = got.Bytes()
					if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				t.Errorf("want - got +\n%s", diff)
			}
		})
	}
}
