package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// An httpAPI is an API that HTTP Tasks call: /slow answers when it is told to, and
// what is asked is noted.
type httpAPI struct {
	*httptest.Server
	release chan struct{}

	mu    sync.Mutex
	asked []string // guarded by mu; path, key, authorization and idempotency key
	left  int      // guarded by mu; requests whose caller went away
}

func newHTTPAPI(t *testing.T) *httpAPI {
	a := &httpAPI{release: make(chan struct{})}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		a.mu.Lock()
		a.asked = append(a.asked, strings.Join([]string{r.URL.Path, r.Header.Get("X-Key"), r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key")}, " "))
		a.mu.Unlock()
		if r.URL.Path == "/slow" {
			select {
			case <-a.release:
			case <-r.Context().Done():
				a.mu.Lock()
				a.left++
				a.mu.Unlock()
				return
			}
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"path": %q}`, r.URL.Path)
	}))
	t.Cleanup(a.Close)
	return a
}

// seen is what was asked of a path.
func (a *httpAPI) seen(path string) (all []string, left int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, request := range a.asked {
		if strings.HasPrefix(request, path+" ") {
			all = append(all, request)
		}
	}
	return all, a.left
}

// httpMachine is a machine whose only state calls an endpoint.
func httpMachine(endpoint, connection, more string) string {
	return fmt.Sprintf(`{"StartAt":"Call","States":{"Call":{"Type":"Task","Resource":"arn:aws:states:::http:invoke","Parameters":{"ApiEndpoint":%q,"Method":"POST","InvocationConfig":{"ConnectionArn":"arn:aws:events:us-east-1:123456789012:connection/%s/1"},"RequestBody":{"rows":2}},%s"ResultSelector":{"path.$":"$.ResponseBody.path"},"End":true}}}`, endpoint, connection, more)
}

const httpSettings = `listen: 127.0.0.1:0
policies: []
embedded:
  connections:
    scores: {apiKey: {name: X-Key, value: {file: ./key}}, idempotency: Idempotency-Key}
`

const statesARN = "arn:aws:states:us-east-1:123456789012:"

// runHTTP makes a machine and starts its execution x.
func runHTTP(t *testing.T, dir, name, definition string) {
	t.Helper()
	quoted, _ := json.Marshal(definition) // text
	for _, ask := range [][2]string{
		{"CreateStateMachine", `{"name":"` + name + `","roleArn":"arn:aws:iam::123456789012:role/r","definition":` + string(quoted) + `}`},
		{"StartExecution", `{"stateMachineArn":"` + statesARN + "stateMachine:" + name + `","name":"x"}`},
	} {
		eventually(t, 30*time.Second, func() error {
			_, err := states(t, dir, ask[0], ask[1])
			return err
		})
	}
}

// ends waits until an execution has ended so.
func ends(t *testing.T, dir, name, want string) {
	t.Helper()
	eventually(t, 60*time.Second, func() error {
		data, err := states(t, dir, "DescribeExecution", `{"executionArn":"`+statesARN+"execution:"+name+`:x"}`)
		if err == nil && !strings.Contains(data, want) {
			err = fmt.Errorf("%s, want %s", data, want)
		}
		return err
	})
}

// TestHTTPTaskKilled kills the daemon while an HTTP Task waits for its answer. The
// next one calls again, with the same idempotency key, and the execution ends well.
func TestHTTPTaskKilled(t *testing.T) {
	t.Parallel()
	api, dir := newHTTPAPI(t), t.TempDir()
	write(t, dir, map[string]string{"anneal.yaml": httpSettings, "key": "k3y\n"})
	p := begin(t, dir)
	runHTTP(t, dir, "m", httpMachine(api.URL+"/slow", "scores", ""))
	called := func(times int) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			if all, _ := api.seen("/slow"); len(all) != times {
				return fmt.Errorf("%d calls, want %d: %v", len(all), times, all)
			}
			return nil
		})
	}
	called(1)
	p.kill()
	begin(t, dir)
	called(2)
	close(api.release)
	ends(t, dir, "m", `"status":"SUCCEEDED"`)
	if all, _ := api.seen("/slow"); all[0] != all[1] || !strings.HasPrefix(all[0], "/slow k3y  ") || strings.HasSuffix(all[0], " ") {
		t.Errorf("asked by %q, want the same twice, with a key and an idempotency key", all)
	}
	history, err := states(t, dir, "GetExecutionHistory", `{"executionArn":"`+statesARN+`execution:m:x"}`)
	if err != nil || strings.Count(history, `"TaskScheduled"`) != 1 || !strings.Contains(history, `"resource":"invoke","resourceType":"http"`) && !strings.Contains(history, `"resourceType":"http","resource":"invoke"`) {
		t.Errorf("%v: %s", err, history)
	}
	if strings.Contains(history, "k3y") {
		t.Errorf("the history tells of the key: %s", history)
	}
}

// TestHTTPTaskStopped stops executions while an HTTP Task waits for its answer: by
// hand, and by its time. Nobody waits any longer then.
func TestHTTPTaskStopped(t *testing.T) {
	t.Parallel()
	api, dir := newHTTPAPI(t), t.TempDir()
	write(t, dir, map[string]string{"anneal.yaml": httpSettings, "key": "k3y\n"})
	begin(t, dir)
	gone := func(times int) {
		t.Helper()
		eventually(t, 30*time.Second, func() error {
			if all, left := api.seen("/slow"); left != times {
				return fmt.Errorf("%d of %d callers are gone, want %d", left, len(all), times)
			}
			return nil
		})
	}
	late := 0 // calls; a busy machine may need more than a second to make one
	for seconds := 1; late == 0 && seconds < 100; seconds *= 4 {
		name := fmt.Sprint("late-", seconds)
		runHTTP(t, dir, name, httpMachine(api.URL+"/slow", "scores", fmt.Sprintf(`"TimeoutSeconds":%d,`, seconds)))
		ends(t, dir, name, `"error":"States.Timeout"`)
		all, _ := api.seen("/slow")
		late = len(all)
	}
	gone(1)
	runHTTP(t, dir, "stopped", httpMachine(api.URL+"/slow", "scores", ""))
	eventually(t, 30*time.Second, func() error {
		if all, _ := api.seen("/slow"); len(all) != 2 {
			return fmt.Errorf("%d calls, want 2", len(all))
		}
		return nil
	})
	if _, err := states(t, dir, "StopExecution", `{"executionArn":"`+statesARN+`execution:stopped:x"}`); err != nil {
		t.Fatal(err)
	}
	ends(t, dir, "stopped", `"status":"ABORTED"`)
	gone(2)

	// A state alone, traced, and a machine alone.
	definition, _ := json.Marshal(httpMachine(api.URL+"/", "scores", ""))
	for reveal, want := range map[string]string{"true": `[Idempotency-Key: `, "false": `"method":"POST"`} {
		data, err := states(t, dir, "TestState", `{"definition":`+string(definition)+`,"stateName":"Call","roleArn":"arn:aws:iam::123456789012:role/r","inspectionLevel":"TRACE","revealSecrets":`+reveal+`}`)
		if err != nil || !strings.Contains(data, want) || !strings.Contains(data, `"statusCode":"200"`) || strings.Contains(data, "k3y") != (reveal == "true") {
			t.Errorf("reveal %s: %s (%v)", reveal, data, err)
		}
	}
	write(t, dir, map[string]string{"m.asl.json": httpMachine(api.URL+"/", "scores", ""), "unmapped.asl.json": httpMachine(api.URL+"/", "other", "")})
	for file, want := range map[string]string{"m.asl.json": `SUCCEEDED {"path":"/"}`, "unmapped.asl.json": `connection "arn:aws:events:us-east-1:123456789012:connection/other/1" is not mapped here: add "other" under embedded.connections`} {
		if out, _ := runOnce("asl", "run", filepath.Join(dir, file), "--config", filepath.Join(dir, "anneal.yaml")); !strings.Contains(out, want) {
			t.Errorf("asl run %s: %s", file, out)
		}
	}
}

// TestHTTPTaskSettings calls an API over TLS by connections of each kind, as a machine
// that runs alone.
func TestHTTPTaskSettings(t *testing.T) {
	t.Parallel()
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/token" {
			name, secret, _ := r.BasicAuth()
			fmt.Fprintf(w, `{"access_token": "%s.%s.%s", "expires_in": 60}`, name, secret, body)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"path": strings.Join([]string{r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("X-Team"), string(body)}, " ")})
	}))
	t.Cleanup(api.Close)
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"ca.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})), "secret": "s3cret\n",
		"anneal.yaml": `listen: 127.0.0.1:0
policies: []
embedded:
  hosts: [127.0.0.1]
  connections:
    basic: {basic: {username: me, password: {file: ./secret}}, ca: ./ca.pem}
    token: {oauth: {url: "` + api.URL + `/token", clientId: me, clientSecret: {file: ./secret}, body: {scope: read}}, ca: ./ca.pem}
    more: {headers: {X-Team: ml}, query: {v: 2}, body: {by: {file: ./secret}}, ca: ./ca.pem}
    other: {hosts: [api.example.com], ca: ./ca.pem}
    unknown: {}
`,
	})
	for connection, want := range map[string]string{
		"basic":   `SUCCEEDED {"path":"/ Basic bWU6czNjcmV0  {\"rows\":2}"}`,
		"token":   `SUCCEEDED {"path":"/ Bearer me.s3cret.grant_type=client_credentials&scope=read  {\"rows\":2}"}`,
		"more":    `SUCCEEDED {"path":"/?v=2  ml {\"rows\":2,\"by\":\"s3cret\"}"}`,
		"other":   "may not be called here: the connection's hosts are api.example.com",
		"unknown": "FAILED States.Http.Socket: The HTTP request failed: tls: failed to verify certificate: x509: certificate signed by unknown authority",
	} {
		file := filepath.Join(dir, connection+".asl.json")
		write(t, dir, map[string]string{connection + ".asl.json": httpMachine(api.URL+"/", connection, "")})
		if out, _ := runOnce("asl", "run", file, "--config", filepath.Join(dir, "anneal.yaml")); !strings.Contains(out, want) {
			t.Errorf("by %s: %s\nwant %s", connection, out, want)
		}
	}
}

// TestHTTPTaskOfAWS calls by connections of EventBridge, whose secrets are in Secrets
// Manager; moto_server stands for both.
func TestHTTPTaskOfAWS(t *testing.T) {
	m, api, dir := newMoto(t), newHTTPAPI(t), t.TempDir()
	for name, parameters := range map[string]string{
		"basic": `"AuthorizationType":"BASIC","AuthParameters":{"BasicAuthParameters":{"Username":"u","Password":"p"},"InvocationHttpParameters":{"HeaderParameters":[{"Key":"X-Key","Value":"more","IsValueSecret":true}]}}`,
		"key":   `"AuthorizationType":"API_KEY","AuthParameters":{"ApiKeyAuthParameters":{"ApiKeyName":"X-Key","ApiKeyValue":"k"}}`,
	} {
		m.call("events", "POST", "/", "AWSEvents.CreateConnection", `{"Name":"`+name+`",`+parameters+`}`)
	}
	write(t, dir, map[string]string{"anneal.yaml": "listen: 127.0.0.1:0\npolicies: []\nembedded: {aws: allow}\n"})
	begin(t, dir)
	for name, want := range map[string]string{
		"basic": `"status":"SUCCEEDED"`, "key": `"status":"SUCCEEDED"`, "absent": `"error":"Events.ConnectionResource.ResourceNotFound"`,
	} {
		runHTTP(t, dir, name, httpMachine(api.URL+"/"+name, name, ""))
		ends(t, dir, name, want)
	}
	for path, want := range map[string]string{"/basic": "/basic more Basic dTpw ", "/key": "/key k  "} {
		if all, _ := api.seen(path); len(all) != 1 || all[0] != want {
			t.Errorf("asked by %q, want %q", all, want)
		}
	}
}
