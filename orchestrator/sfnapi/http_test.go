package sfnapi_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/orchestrator/httptask"
	"github.com/anneal-ml/anneal/orchestrator/sfnapi"
	"github.com/anneal-ml/anneal/orchestrator/tasks"
)

// TestStateHTTP tests HTTP Tasks that call an API, at each level.
func TestStateHTTP(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		if r.URL.Path == "/busy" {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		io.WriteString(w, "seen")
	}))
	t.Cleanup(api.Close)
	does, err := tasks.New(tasks.Config{Dir: t.TempDir(), Region: "eu-west-1", Connections: map[string]httptask.Settings{
		"c": {Basic: &httptask.Basic{Username: "u", Password: "p"}, Query: []httptask.Parameter{{Name: "k", Value: "secret"}}, Body: []httptask.Parameter{{Name: "b", Value: "secret"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, newJournal(t), func(c *sfnapi.Config) { c.Trace = does.Trace })
	const headers = "User-Agent: Amazon|StepFunctions|HttpInvoke|eu-west-1, Range: bytes=0-262144]"
	for _, c := range []struct {
		path, level, more string
		want              []string
	}{
		{"/", "INFO", "", []string{"SUCCEEDED <nil> <nil> <nil>"}}, // done by the server's own tasks, which echo
		{"/", "DEBUG", "", []string{"SUCCEEDED <nil> <nil> <nil>"}},
		{"/", "TRACE", "", []string{
			"SUCCEEDED <nil> map[", "body:{\"m\":1}", "headers:[X: 1, " + headers, "method:POST", "protocol:http", "url:" + api.URL + "/]",
			"map[body:seen headers:[Content-Length: 4, Content-Type: text/plain; charset=utf-8] protocol:http statusCode:200 statusMessage:OK]",
		}},
		{"/", "TRACE", "reveal", []string{"body:{\"m\":1,\"b\":\"secret\"}", "headers:[X: 1, Authorization: Basic dTpw, " + headers, "url:" + api.URL + "/?k=secret"}},
		{"/busy", "TRACE", "", []string{"FAILED States.Http.StatusCode.429 map[", "statusCode:429 statusMessage:Too Many Requests]"}},
		{"/", "TRACE", "mock", []string{"SUCCEEDED <nil> <nil> <nil>"}},
	} {
		params := object{
			"definition": fmt.Sprintf(`{"Type":"Task","Resource":"arn:aws:states:::http:invoke","Parameters":{"ApiEndpoint":"%s%s","Method":"POST","Headers":{"X":"1"},"InvocationConfig":{"ConnectionArn":"c"},"RequestBody":{"m":1}},"End":true}`, api.URL, c.path),
			"roleArn":    role, "inspectionLevel": c.level, "revealSecrets": c.more == "reveal",
		}
		if c.more == "mock" {
			params["mock"] = object{"result": `{"StatusCode":200}`}
		}
		status, out := s.call("TestState", params)
		data, _ := out["inspectionData"].(map[string]any)
		got := fmt.Sprintf("%v %v %v %v", out["status"], text(out["error"]), data["request"], data["response"])
		for _, want := range c.want {
			if status != 200 || !strings.Contains(got, want) {
				t.Errorf("%s at %s %s: %d %v\n got %s\nwant %s", c.path, c.level, c.more, status, out["message"], got, want)
			}
		}
		if c.more == "" && strings.Contains(got, "secret") {
			t.Errorf("%s at %s tells of secrets: %s", c.path, c.level, got)
		}
	}
}

// TestHTTPDefinitions reads as what AWS refuses of a definition.
func TestHTTPDefinitions(t *testing.T) {
	s := serve(t, newJournal(t))
	for _, c := range []struct{ language, parameters, want string }{
		{"JSONPath", `{"ApiEndpoint":"https://x","Method":"GET","InvocationConfig":{"ConnectionArn":"c"}}`, ""},
		{"JSONPath", `{"ApiEndpoint.$":"$.u","Method.$":"$.m","Authentication.$":"$.a","Headers.$":"$.h"}`, ""},
		{"JSONata", `{"ApiEndpoint":"{% $states.input.u %}","Method":"GET","InvocationConfig":"{% $states.input.c %}"}`, ""},
		{"JSONata", `"{% $states.input %}"`, ""},
		{"JSONPath", `{"ApiEndpoint":"api.example.com","Method":"GET","Authentication":{"ConnectionArn":"c"}}`, "The value for the 'ApiEndpoint' field is not valid at /States/A/Parameters"},
		{"JSONata", `{"ApiEndpoint":"https://x","Method":"GET","Authentication":{"ConnectionArn":"c"},"Headers":{"Authorization":"x"}}`, "The 'Headers' field contains unsupported values: [authorization] at /States/A/Arguments"},
		{"JSONPath", `{"ApiEndpoint":"https://x","Authentication":{"ConnectionArn":"c"},"Headers":{"Date.$":"$.d"}}`, "The field 'Method' is required but was missing at /States/A/Parameters; The 'Headers' field contains unsupported values: [date] at /States/A/Parameters"},
		{"JSONPath", `{"ApiEndpoint":"https://x","Method":"GET"}`, "The field 'InvocationConfig' is required but was missing at /States/A/Parameters"},
	} {
		field := map[string]string{"JSONPath": "Parameters", "JSONata": "Arguments"}[c.language]
		_, out := s.call("ValidateStateMachineDefinition", object{"definition": fmt.Sprintf(`{"QueryLanguage":%q,"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:::http:invoke",%q:%s,"End":true}}}`, c.language, field, c.parameters)})
		var all []string
		found, _ := out["diagnostics"].([]any)
		for _, d := range found {
			d := d.(map[string]any)
			all = append(all, fmt.Sprint(d["message"], " at ", d["location"]))
		}
		if got := strings.Join(all, "; "); got != c.want {
			data, _ := json.Marshal(out)
			t.Errorf("%s\n got %s\nwant %s (%s)", c.parameters, got, c.want, data)
		}
	}
}
