package drift

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// shared gives a folder of the shared test data, or skips.
func shared(t testing.TB, folder string) string {
	t.Helper()
	root := os.Getenv("ANNEAL_SHARED")
	if root == "" {
		root = "../../shared"
	}
	dir := filepath.Join(root, filepath.FromSlash(folder))
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("no shared test data: %v", err)
		}
		t.Skipf("no shared test data: %v", err)
	}
	return dir
}

// TestGolden computes every case of the golden files that there is a suite for,
// as the command line does, and compares with what the references gave.
func TestGolden(t *testing.T) {
	dir := shared(t, "drift/golden")
	large := regexp.MustCompile(`"n":\s*\d{6,}`) // values to generate
	for suite := range suites() {
		t.Run(suite, func(t *testing.T) {
			var golden struct {
				Cases []struct {
					ID           string
					Args, Inputs json.RawMessage
					Expect       map[string]any
					Tol          map[string]any
				}
			}
			b, err := os.ReadFile(filepath.Join(dir, suite+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(b, &golden); err != nil {
				t.Fatal(err)
			}
			if len(golden.Cases) == 0 {
				t.Fatal("the file has no cases")
			}
			for _, c := range golden.Cases {
				if raceDetector && large.Match(c.Inputs) { // nothing here is concurrent, and it is ten times as slow
					continue
				}
				line := fmt.Sprintf(`{"suite":%q,"args":%s,"inputs":%s}`, suite, orEmpty(c.Args), orEmpty(c.Inputs))
				var out strings.Builder
				if err := EvalLines(strings.NewReader(strings.ReplaceAll(line, "\n", " ")), &out); err != nil {
					t.Fatal(err)
				}
				var got map[string]any
				if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
					t.Fatal(err)
				}
				for name, want := range c.Expect {
					tol := c.Tol
					if own, ok := tol[name].(map[string]any); ok {
						tol = own
					}
					if !near(got[name], want, tol) {
						t.Errorf("%s: %s = %v, want %v", c.ID, name, got[name], want)
					}
				}
			}
		})
	}
}

func orEmpty(b json.RawMessage) string {
	if len(b) == 0 {
		return "{}"
	}
	return string(b)
}

// near compares as the golden files' README says.
func near(got, want any, tol map[string]any) bool {
	switch want := want.(type) {
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return false
		}
		for i := range want {
			if !near(list[i], want[i], tol) {
				return false
			}
		}
		return true
	case map[string]any:
		m, ok := got.(map[string]any)
		for k := range want {
			if !ok || !near(m[k], want[k], tol) {
				return false
			}
		}
		return true
	case float64:
		v, ok := got.(float64)
		abs, _ := tol["abs"].(float64)
		rel, _ := tol["rel"].(float64)
		return ok && math.Abs(v-want) <= abs+rel*math.Abs(want)
	}
	return reflect.DeepEqual(got, want)
}

// TestEdges computes small cases at the edges of the definitions: ties, one or two
// values, all of them equal, far from 0, missing or infinite, empty categories.
// What is expected is of SciPy 1.10.1 and scikit-learn 1.2.1, or of the published
// formulas of Evidently 0.7 and NannyML 0.13 computed with NumPy; where these
// refuse, an error is.
func TestEdges(t *testing.T) {
	b, err := os.ReadFile("testdata/edges.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for line := range strings.Lines(string(b)) {
		var c struct {
			Suite        string
			Args, Inputs json.RawMessage
			Expect, Tol  map[string]any
		}
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		cases++
		got, err := Eval(c.Suite, c.Args, c.Inputs)
		if _, refused := c.Expect["error"]; refused || err != nil {
			if !refused || err == nil {
				t.Errorf("%s %s %s: %v, error %v; want %v", c.Suite, c.Args, c.Inputs, got, err, c.Expect)
			}
			continue
		}
		js, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var results map[string]any
		if err := json.Unmarshal(js, &results); err != nil {
			t.Fatal(err)
		}
		for name, want := range c.Expect {
			tol := c.Tol
			if own, ok := tol[name].(map[string]any); ok {
				tol = own
			}
			if !near(results[name], want, tol) {
				t.Errorf("%s %s %s: %s = %v, want %v", c.Suite, c.Args, c.Inputs, name, results[name], want)
			}
		}
	}
	if cases < 150 {
		t.Errorf("%d cases, want at least 150", cases)
	}
}
