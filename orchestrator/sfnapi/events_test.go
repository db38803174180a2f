package sfnapi

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStatusDetailText: a detail is written as package encoding/json writes it.
func TestStatusDetailText(t *testing.T) {
	text, number := new("a \"text\" with <letters> & é"), new(int64(1_795_666_507_074))
	for _, d := range []statusDetail{
		{},
		{ARN: "arn", Machine: "machine", Name: "n", Status: "RUNNING", Started: number, Input: new(`{"a":1}`), InputDetails: &hasData{true}, RedriveStatus: "NOT_REDRIVABLE", RedriveReason: text},
		{Status: "FAILED", Started: number, Stopped: number, Output: text, Version: text, Alias: text, Redrives: 3, Redriven: number,
			InputDetails: &hasData{false}, OutputDetails: &hasData{true}, Error: text, Cause: new("")},
	} {
		want, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if err := json.Unmarshal(d.text(), &a); err != nil {
			t.Fatalf("%v\n%s", err, d.text())
		}
		if err := json.Unmarshal(want, &b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b, a); diff != "" {
			t.Errorf("(-encoding/json +ours)\n%s", diff)
		}
	}
}
