package jsonata

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// shared is a folder of the test data that is kept beside the repository.
func shared(t testing.TB, elements ...string) string {
	t.Helper()
	root := os.Getenv("ANNEAL_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared")
	}
	path := filepath.Join(append([]string{root}, elements...)...)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("ANNEAL_STRICT") == "1" {
			t.Fatalf("no shared test data: %v", err)
		}
		t.Skipf("no shared test data: %v", err)
	}
	return path
}

// A suiteCase is one case of the suite of the reference implementation. The
// README beside the data describes the format.
type suiteCase struct {
	Name      string                     `json:"name"`
	Expr      json.RawMessage            `json:"expr"`
	Data      json.RawMessage            `json:"data"`
	Dataset   string                     `json:"dataset"`
	Bindings  map[string]json.RawMessage `json:"bindings"`
	Result    json.RawMessage            `json:"result"`
	Undefined bool                       `json:"undefinedResult"`
	Code      string                     `json:"code"`
	Token     string                     `json:"token"`
	Error     *struct {
		Code     string          `json:"code"`
		Message  string          `json:"message"`
		Token    string          `json:"token"`
		Function string          `json:"functionName"`
		Value    json.RawMessage `json:"value"`
	} `json:"error"`
	Unordered bool  `json:"unordered"`
	Depth     int   `json:"depth"`
	InVersion *bool `json:"in_2_0_6"`

	file string
}

func suite(t testing.TB) []suiteCase {
	var all []suiteCase
	files, _ := filepath.Glob(filepath.Join(shared(t, "conformance", "jsonata", "cases"), "*.jsonl"))
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			c := suiteCase{file: file}
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, c)
		}
		f.Close()
	}
	return all
}

// TestSuite runs the suite of the reference implementation. What does not hold
// for version 2.0.6 is not run.
func TestSuite(t *testing.T) {
	ran, passed, other := 0, 0, 0
	datasets := map[string]*value.Value{}
	for _, c := range suite(t) {
		if c.InVersion != nil && !*c.InVersion {
			other++
			continue
		}
		ran++
		if t.Run(c.Name, func(t *testing.T) { c.run(t, datasets) }) {
			passed++
		}
	}
	t.Logf("%d of %d cases of version 2.0.6 agree; %d are of other versions", passed, ran, other)
	if ran < 1200 {
		t.Errorf("only %d cases ran", ran)
	}
}

func (c *suiteCase) run(t *testing.T, datasets map[string]*value.Value) {
	expr, err := Unquote(c.Expr)
	if err != nil {
		t.Fatal(err)
	}
	var input *value.Value
	if c.Dataset != "" {
		if input = datasets[c.Dataset]; input == nil {
			data, err := os.ReadFile(filepath.Join(shared(t, "conformance", "jsonata", "datasets"), c.Dataset+".json"))
			if err != nil {
				t.Fatal(err)
			}
			input = parsed(t, data)
			datasets[c.Dataset] = input
		}
	} else if len(c.Data) > 0 {
		input = parsed(t, c.Data)
	}
	var got value.Value
	ok := false
	x, err := Parse(expr)
	if err == nil {
		got, ok, err = x.Eval(Args{
			Input: input, Depth: c.Depth, Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
			Variable: func(name string) (value.Value, bool) {
				if raw, ok := c.Bindings[name]; ok {
					return *parsed(t, raw), true
				}
				return value.Value{}, false
			},
		})
	}
	switch {
	case c.Code != "" || c.Error != nil:
		e, is := err.(*Error)
		if !is {
			t.Fatalf("%s\n got %v (%v, %v), want error %s%v", expr, got, ok, err, c.Code, c.Error)
		}
		want := c.Code
		if c.Error != nil {
			want = c.Error.Code
			if c.Error.Message != "" && e.Message != c.Error.Message {
				t.Errorf("%s\n got message %q, want %q", expr, e.Message, c.Error.Message)
			}
			if c.Error.Token != "" && e.Token != c.Error.Token {
				t.Errorf("%s\n got token %q, want %q", expr, e.Token, c.Error.Token)
			}
			if c.Error.Function != "" && e.want != c.Error.Function {
				t.Errorf("%s\n got function %q, want %q", expr, e.want, c.Error.Function)
			}
			if len(c.Error.Value) > 0 && e.Value != string(c.Error.Value) {
				t.Errorf("%s\n got value %s, want %s", expr, e.Value, c.Error.Value)
			}
		}
		if e.Code != want {
			t.Errorf("%s\n got error %v, want %s", expr, e, want)
		}
		if c.Token != "" && e.Token != c.Token {
			t.Errorf("%s\n got token %q, want %q", expr, e.Token, c.Token)
		}
	case err != nil:
		t.Errorf("%s\n got error %v, want %s", expr, err, c.Result)
	case c.Undefined:
		if ok {
			t.Errorf("%s\n got %s, want undefined", expr, got)
		}
	default:
		want := parsed(t, c.Result)
		if !ok || !alike(got, *want, c.Unordered) {
			t.Errorf("%s\n got %s (%v)\nwant %s", expr, got, ok, want)
		}
	}
}

func parsed(t testing.TB, data []byte) *value.Value {
	t.Helper()
	v, err := value.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return &v
}

func alike(got, want value.Value, unordered bool) bool {
	if !unordered || got.Kind() != value.Array || want.Kind() != value.Array || got.Len() != want.Len() {
		return value.Equal(got, want)
	}
	count := map[string]int{}
	for i := range got.Len() {
		count[got.At(i).String()]++
		count[want.At(i).String()]--
	}
	for k, n := range count {
		if n != 0 && !strings.HasPrefix(k, "{") {
			return false
		}
	}
	return true
}
