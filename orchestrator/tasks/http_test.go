package tasks

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

func TestHTTPFunctions(t *testing.T) {
	var asked []string
	gone := httptest.NewServer(nil)
	gone.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, fmt.Sprintf("%s %s %s %s %s", r.Method, r.URL.Path, r.Header.Get("X-Key"), r.Header.Get("Anneal-Effect-Id"), body))
		switch strings.Trim(string(body), `"`) {
		case "failed":
			io.WriteString(w, `{"errorMessage": "12 rows", "errorType": "TooFewRows", "requestId": "r", "stackTrace": []}`)
		case "failed by header":
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			io.WriteString(w, `{"errorMessage": "no type"}`)
		case "tells of an error":
			io.WriteString(w, `{"errorMessage": "m", "errorType": "T", "rows": 3}`)
		case "nothing":
		case "throttled":
			http.Error(w, "Rate Exceeded.", http.StatusTooManyRequests)
		case "broken":
			http.Error(w, "", http.StatusBadGateway)
		case "teapot":
			http.Error(w, "short and stout", http.StatusTeapot)
		case "moved":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "garbage":
			io.WriteString(w, "{")
		case "slow":
			w.(http.Flusher).Flush() // the answer begins, and does not end
			<-r.Context().Done()
		case "cut":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		default:
			w.Write(body)
		}
	}))
	defer s.Close()
	b := newBench(t, func(c *Config) {
		c.Functions = map[string]Function{
			"Score": {HTTP: &HTTP{URL: s.URL, Headers: map[string]string{"X-Key": "secret"}}},
			"Hasty": {HTTP: &HTTP{URL: s.URL}, Timeout: 300 * time.Millisecond},
			"Own":   {HTTP: &HTTP{URL: s.URL + "/own/path"}},
			"Gone":  {HTTP: &HTTP{URL: gone.URL}},
		}
	})
	tests := []struct{ function, payload, output, err, cause string }{
		{"Score", `{"a": 1}`, `{"a": 1}`, "", ""},
		{"Own", `[2]`, `[2]`, "", ""},
		{"Score", `"nothing"`, `null`, "", ""},
		{"Score", `"failed"`, "", "TooFewRows", `"12 rows"`},
		{"Score", `"failed by header"`, "", "Lambda.Unknown", "did not return an error type. Returned payload: {\"errorMessage\": \"no type\"}"},
		{"Score", `"tells of an error"`, `{"errorMessage": "m", "errorType": "T", "rows": 3}`, "", ""},
		{"Score", `"throttled"`, "", "Lambda.TooManyRequestsException", "Rate Exceeded. (Service: AWSLambda; Status Code: 429; "},
		{"Score", `"broken"`, "", "Lambda.ServiceException", "Bad Gateway (Service: AWSLambda; Status Code: 502; "},
		{"Score", `"teapot"`, "", "Lambda.AWSLambdaException", "short and stout"},
		{"Score", `"moved"`, "", "Lambda.AWSLambdaException", "Status Code: 302"},
		{"Score", `"endless"`, "", "Function.ResponseSizeTooLarge", "(6291556 bytes)"},
		{"Score", `"garbage"`, "", "Runtime.MarshalError", "not one JSON value"},
		{"Hasty", `"slow"`, "", "Sandbox.Timedout", "Task timed out after 0.30 seconds"},
		{"Score", `"cut"`, "", "Lambda.SdkClientException", "Unable to execute HTTP request: unexpected EOF"},
		{"Gone", `1`, "", "Lambda.SdkClientException", "connection refused"},
	}
	for i, tt := range tests {
		o := b.do(fmt.Sprintf("e%d", i), lambdaARN+tt.function, tt.payload)
		if string(o.Output) != tt.output || o.Error != tt.err || !strings.Contains(o.Cause, tt.cause) {
			t.Errorf("%s %s: output %.100s, error %s: %.200s, want output %s, error %s: %s", tt.function, tt.payload, o.Output, o.Error, o.Cause, tt.output, tt.err, tt.cause)
		}
	}
	if want := []string{"POST " + invocation + ` secret e0 {"a": 1}`, "POST /own/path  e1 [2]"}; asked[0] != want[0] || asked[1] != want[1] {
		t.Errorf("asked %q, want %q", asked[:2], want)
	}
	if strings.Contains(strings.Join(asked, "\n"), "/elsewhere") {
		t.Error("a redirect was followed")
	}
	var o asl.Outcome
	if o = b.do("invoked", lambdaInvoke, `{"FunctionName": "Score", "Payload": {"b": 2}}`); o.Error != "" || !strings.Contains(string(o.Output), `"Payload":{"b":2}`) && !strings.Contains(string(o.Output), `"Payload":{"b": 2}`) {
		t.Errorf("invoke: %s, error %s", o.Output, o.Error)
	}
}
