package sfnapi_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A recordedTest is one TestState call that AWS recorded.
type recordedTest struct {
	Name     string         `json:"name"`
	Kind     string         `json:"kind"`
	Recorded string         `json:"recorded"`
	Request  map[string]any `json:"request"`
	Expected struct {
		Response map[string]any `json:"response"`
		Error    *struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	} `json:"expected"`
	Volatile []struct {
		Placeholder string `json:"placeholder"`
	} `json:"volatile"`
}

// TestRecordedStates makes each recorded call of TestState.
func TestRecordedStates(t *testing.T) {
	s := serve(t, newJournal(t))
	files, _ := filepath.Glob(filepath.Join(shared(t, "conformance", "asl", "test-state"), "*.json"))
	ran, agreed := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var r recordedTest
		if err := d.Decode(&r); err != nil || r.Kind != "test_state" {
			continue
		}
		if strings.HasPrefix(r.Name, "test_state_scenarios_base_lambda_") && r.Expected.Error == nil {
			continue // it calls a function whose answer is not part of the recording
		}
		ran++
		if t.Run(r.Name, func(t *testing.T) { r.run(t, s) }) {
			agreed++
		}
	}
	t.Logf("%d of %d", agreed, ran)
}

func (r *recordedTest) run(t *testing.T, s *service) {
	var raw struct {
		Request struct {
			Definition json.RawMessage `json:"definition"`
		} `json:"request"`
	}
	data, _ := os.ReadFile(filepath.Join(shared(t, "conformance", "asl", "test-state"), r.Name+".json"))
	if json.Unmarshal(data, &raw) == nil && len(raw.Request.Definition) > 0 && raw.Request.Definition[0] == '{' {
		r.Request["definition"] = string(raw.Request.Definition)
	}
	status, out := s.call("TestState", r.Request)
	c := &comparer{bound: map[string]string{}, words: map[string]bool{}, recorded: r.Recorded}
	for _, v := range r.Volatile {
		c.words[v.Placeholder] = true
	}
	if e := r.Expected.Error; e != nil {
		if status != 400 || out["__type"] != e.Code || out["message"] != e.Message {
			t.Fatalf("got %d %v\nwant %s %s", status, out, e.Code, e.Message)
		}
		return
	}
	if status != 200 {
		t.Fatalf("%d %v\nfor %v", status, out, r.Request)
	}
	want := r.Expected.Response
	delete(want, "ResponseMetadata")
	got := c.normal("", out).(map[string]any)
	c.same("response", loose(got), loose(want))
	if len(c.differences) > 0 {
		t.Logf("request %.1500v", r.Request)
	}
	for _, d := range c.differences {
		t.Error(d)
	}
}

// loose has text that is JSON as what it says, as the recordings differ in
// whether it is.
func loose(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			v[k] = loose(x)
		}
	case []any:
		for i, x := range v {
			v[i] = loose(x)
		}
	case string:
		if len(v) > 0 && slices.Contains([]byte(`{["`), v[0]) {
			var x any
			d := json.NewDecoder(bytes.NewReader([]byte(v)))
			d.UseNumber()
			if d.Decode(&x) == nil {
				return x
			}
		}
	}
	return v
}
