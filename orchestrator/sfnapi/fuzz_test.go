package sfnapi_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/anneal-ml/anneal/journal"
	"github.com/anneal-ml/anneal/orchestrator/engine"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
)

// FuzzCall makes calls with any body: they are answered, and never as our own
// fault.
func FuzzCall(f *testing.F) {
	for _, action := range []string{"CreateStateMachine", "ValidateStateMachineDefinition", "TestState", "StartExecution", "SendTaskSuccess", "TagResource", "ListExecutions", "CreateStateMachineAlias"} {
		f.Add(action, []byte(`{"stateMachineArn":"arn:aws:states:us-east-1:111111111111:stateMachine:m:1","name":"n","input":"{'a","tags":[{"key":"k"}],"routingConfiguration":[{}],"taskToken":"eA","output":"1","roleArn":"arn:aws:iam::1:role/r"}`))
		f.Add(action, []byte(`{"definition":"{\"Type\":\"Task\",\"Resource\":\"arn:aws:states:::sns:publish\",\"Parameters\":{\"a.$\":\"$$.Task.Token\"},\"End\":true}","roleArn":"arn:aws:iam::1:role/r","mock":{"result":"{\"MessageId\":[1]}"},"inspectionLevel":"TRACE","context":"{\"Execution\":{\"Input\":1}}"}`))
		f.Add(action, []byte(`{"definition":"{\"StartAt\":\"A\",\"States\":{\"A\":{\"Type\":\"Map\",\"ItemsPath\":\"$.x\",\"Iterator\":{\"StartAt\":\"B\",\"States\":{\"B\":{\"Type\":\"Pass\",\"End\":true}}},\"End\":true}}}","stateName":"A","name":"n","roleArn":"arn:aws:iam::1:role/r","type":"EXPRESS","mock":{"result":"[1]"},"stateConfiguration":{"mapIterationFailureCount":1},"inspectionLevel":"DEBUG"}`))
	}
	f.Fuzz(func(t *testing.T, action string, body []byte) {
		if action == "GetActivityTask" || action == "StartSyncExecution" {
			return // they wait
		}
		j, err := journal.Open(t.Context(), &journal.Memory{}, journal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer j.Close()
		activities := sfnapi.NewActivities(echo{})
		e, err := engine.New(t.Context(), engine.Config{Journal: j, Tasks: activities}, nil)
		if err != nil {
			t.Fatal(err)
		}
		api := sfnapi.New(sfnapi.Config{Journal: j, Engine: e, Activities: activities}, sfnapi.Fold{})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("X-Amz-Target", "AWSStepFunctions."+action)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s is answered %d %s", action, body, w.Code, w.Body)
		}
	})
}
