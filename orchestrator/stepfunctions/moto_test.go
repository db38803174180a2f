package stepfunctions_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/cloud/cloudtest"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// TestMoto has a server that is another's work for Step Functions. It executes
// one execution between two resets.
func TestMoto(t *testing.T) {
	s := &service{url: cloudtest.Moto(t), counts: map[string]int{}, wrong: map[string]string{}}
	s.client = sfn.NewFromConfig(s.aws())
	post := func(path, body string) bool {
		resp, err := http.Post(s.url+"/moto-api/"+path, "application/json", strings.NewReader(body))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode < 300
	}
	if !post("config", `{"stepfunctions": {"execute_state_machine": true}}`) {
		t.Fatal("moto is not to execute")
	}
	for _, c := range []struct {
		definition string
		status     anneal.Status
		error      string
		last       asl.EventType
	}{
		{pass, anneal.StatusSucceeded, "", asl.ExecutionSucceeded},
		{fail, anneal.StatusFailed, "TooHard", asl.ExecutionFailed},
	} {
		if !post("reset", "") {
			t.Fatal("moto is not reset")
		}
		machine := s.create(t, "m", c.definition, "")
		e := s.executor(t, io.Discard, machine)
		for _, input := range []string{`{"a": 1}`, `{"a":1}`} { // the second adopts the first
			if x, err := e.Start(t.Context(), begin(machine, "one", input)); err != nil || x.Name != "one" || x.Started == nil {
				t.Fatalf("start: %+v, %v", x, err)
			}
			if x, err := e.Wait(t.Context(), "one"); err != nil || x.Status != c.status || x.Error != c.error || x.Ended == nil {
				t.Errorf("it came to %+v, %v", x, err)
			}
		}
		if _, err := e.Start(t.Context(), begin(machine, "one", `{"a": 2}`)); err == nil || !strings.Contains(err.Error(), "another input") {
			t.Errorf("with another input: %v", err)
		}
		history, err := e.History(t.Context(), "one")
		if err != nil || len(history) == 0 || history[0].Type != asl.ExecutionStarted || history[len(history)-1].Type != c.last {
			t.Errorf("history: %+v, %v", history, err)
		}
		if _, err := e.Describe(t.Context(), "none"); err == nil {
			t.Error("an execution that is not there was described")
		}
	}
}
