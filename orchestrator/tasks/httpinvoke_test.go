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
	"github.com/anneal-ml/anneal/orchestrator/httptask"
)

const (
	httpInvoke    = "arn:aws:states:::http:invoke"
	connectionARN = "arn:aws:events:eu-west-1:123456789012:connection/"
)

// echoes answers with what the connection adds.
func echoes(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/token" {
			name, secret, _ := r.BasicAuth()
			fmt.Fprintf(w, `{"access_token": "%s-%s-%s"}`, name, secret, body)
			return
		}
		w.Header()["Date"] = nil
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("X-Key") == "refused" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprintf(w, `"%s %s %s %s%s"`, r.Method, r.URL, r.Header.Get("Authorization"), r.Header.Get("X-Key"), body)
	}))
	t.Cleanup(s.Close)
	return s
}

// answer is what an outcome has as its ResponseBody, or how it failed.
func answer(o asl.Outcome) string {
	if o.Error != "" {
		return o.Error + ": " + o.Cause
	}
	_, rest, _ := strings.Cut(string(o.Output), `"ResponseBody":"`)
	body, _, _ := strings.Cut(rest, `","StatusCode":200`)
	return body
}

// Connections of the settings are found by their name or ARN.
func TestHTTPTask(t *testing.T) {
	api := echoes(t)
	b := newBench(t, func(c *Config) {
		c.Connections = map[string]httptask.Settings{
			"named":                            {Basic: &httptask.Basic{Username: "u", Password: "p"}},
			connectionARN + "full/1":           {APIKey: &httptask.APIKey{Name: "X-Key", Value: "k"}},
			"team-*":                           {Query: []httptask.Parameter{{Name: "team", Value: "ml"}}},
			"elsewhere":                        {Egress: httptask.Egress{Hosts: []string{"api.example.com"}}},
			connectionARN + "named/not-looked": {},
		}
	})
	for _, c := range []struct{ connection, endpoint, want string }{
		{connectionARN + "named/1-2-3", api.URL + "/a", "GET /a Basic dTpw "},
		{"named", api.URL, "GET / Basic dTpw "},
		{connectionARN + "full/1", api.URL, "GET /  k"},
		{connectionARN + "team-a/9", api.URL, "GET /?team=ml  "},
		{connectionARN + "other/1", api.URL, `Events.ConnectionResource.ResourceNotFound: connection "` + connectionARN + `other/1" is not mapped here: add "other" under embedded.connections`},
		{"elsewhere", "https://other.example.com", "States.Http.AccessDenied: other.example.com may not be called here: the connection's hosts are api.example.com"},
		{"named", "https://169.254.169.254/latest/meta-data", "States.Http.AccessDenied: 169.254.169.254 may not be called here: its address is not one of an API (link-local, metadata, multicast), unless hosts name 169.254.169.254 literally"},
	} {
		o := b.do("e", httpInvoke, `{"Method":"GET","ApiEndpoint":"`+c.endpoint+`","Authentication":{"ConnectionArn":"`+c.connection+`"}}`)
		if got := answer(o); got != c.want {
			t.Errorf("%s at %s\n got %s\nwant %s", c.connection, c.endpoint, got, c.want)
		}
	}
	if o := b.do("e", httpInvoke, `{"Method":"GET","ApiEndpoint":"https://x","Header":{}}`); o.Error != asl.ErrRuntime || !strings.Contains(o.Cause, "The field 'Header' is not supported by Step Functions") {
		t.Errorf("got %s: %s", o.Error, o.Cause)
	}
	if o := b.do("e", httpInvoke+".waitForTaskToken", `{}`); o.Error != asl.ErrRuntime || !strings.Contains(o.Cause, "not built yet") {
		t.Errorf("with a token: %s: %s", o.Error, o.Cause)
	}
	effect := asl.Effect{ID: "e", State: "S", Resource: httpInvoke, Input: []byte(`{"Method":"GET","ApiEndpoint":"https://x","InvocationConfig":{"ConnectionArn":"c"},"Headers":{"Date":"x"}}`)}
	if got := b.Refuses(effect); !strings.HasSuffix(got, "could not be used to start the Task: [The 'Headers' field contains unsupported values: [date]]") {
		t.Errorf("refuses: %s", got)
	}
	o, seen, err := b.Trace(t.Context(), asl.Effect{ID: "e", State: "S", Resource: httpInvoke, Input: []byte(`{"Method":"GET","ApiEndpoint":"` + api.URL + `","InvocationConfig":{"ConnectionArn":"full","Other":1}}`)}, true)
	if err != nil || o.Error != "Events.ConnectionResource.ResourceNotFound" || seen.Request != nil {
		t.Errorf("trace: %s, %+v (%v)", o.Error, seen, err)
	}
}

// TestHTTPCheck reads as what is known of a task before it runs.
func TestHTTPCheck(t *testing.T) {
	b := newBench(t, func(c *Config) {
		c.Connections = map[string]httptask.Settings{"c": {Egress: httptask.Egress{Hosts: []string{"api.example.com"}}}}
	})
	for _, c := range []struct{ resource, parameters, want string }{
		{httpInvoke, `{"Method":"GET","ApiEndpoint":"https://api.example.com","Authentication":{"ConnectionArn":"c"}}`, ""},
		{httpInvoke, `{"Method":"GET","ApiEndpoint.$":"$.url","InvocationConfig":{"ConnectionArn.$":"$.c"}}`, ""},
		{httpInvoke, `{"Method":"GET","ApiEndpoint":"https://api.example.com","InvocationConfig":{"ConnectionArn":"other"}}`, `connection "other" is not mapped here: add "other" under embedded.connections`},
		{httpInvoke, `{"Method":"GET","ApiEndpoint":"https://api.example.com"}`, "parameter InvocationConfig.ConnectionArn is required by " + httpInvoke},
		{httpInvoke, `{"Method":"GET","InvocationConfig":{"ConnectionArn":"c"}}`, "parameter ApiEndpoint is required by " + httpInvoke},
		{httpInvoke, `{"Method":"GET","ApiEndpoint":"http://api.example.com","InvocationConfig":{"ConnectionArn":"c"}}`, "parameter ApiEndpoint: http://api.example.com: only https:// may be called here"},
		{httpInvoke, `{"Method":"GET","ApiEndpoint":"https://b.example.com","InvocationConfig":{"ConnectionArn":"c"}}`, "the connection's hosts are api.example.com"},
		{httpInvoke + ".waitForTaskToken", `{}`, "http:invoke has no .waitForTaskToken"},
		{httpInvoke + ".sync", `{}`, "is not built yet"},
	} {
		m, err := asl.Parse([]byte(`{"StartAt":"S","States":{"S":{"Type":"Task","Resource":"`+c.resource+`","Parameters":`+c.parameters+`,"End":true}}}`), "m")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := b.Check(m.Resources()[0]); err != nil {
			got = err.Error()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s %s\n got %s\nwant %s", c.resource, c.parameters, got, c.want)
		}
	}
	_, err := New(Config{Dir: t.TempDir(), Connections: map[string]httptask.Settings{"c": {Basic: &httptask.Basic{}, APIKey: &httptask.APIKey{}}}})
	if err == nil || !strings.Contains(err.Error(), `connection "c": set one of basic, apiKey and oauth`) {
		t.Errorf("got %v", err)
	}
}

// TestConnectionsOfAWS asks AWS for connections that are not mapped.
func TestConnectionsOfAWS(t *testing.T) {
	api := echoes(t)
	calls, lost := map[string]int{}, false
	secrets := map[string]string{
		"basic":  `{"username":"u","password":"p","invocation_http_parameters":{"query_string_parameters":[{"key":"q","value":"secret"}]}}`,
		"key":    `{"api_key_name":"X-Key","api_key_value":"k"}`,
		"oauth":  `{"client_id":"i","client_secret":"s","authorization_endpoint":"` + api.URL + `/token","oauth_http_parameters":{"body_parameters":[{"key":"scope","value":"x"}]}}`,
		"broken": `[]`,
	}
	kinds := map[string]string{"basic": "BASIC", "key": "API_KEY", "oauth": "OAUTH_CLIENT_CREDENTIALS", "broken": "BASIC", "dark": "BASIC"}
	b := newHouse(t, nil, cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/") {
			t.Errorf("signed %q", r.Header.Get("Authorization"))
		}
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		body, _ := io.ReadAll(r.Body)
		_, rest, _ := strings.Cut(string(body), `":"`)
		name := strings.TrimSuffix(rest, `"}`)
		calls[action+" "+name]++
		refuse := func(code string) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"__type":"%s","message":"no"}`, code)
		}
		switch {
		case lost:
			w.WriteHeader(http.StatusServiceUnavailable)
		case action == "GetSecretValue" && secrets[name] == "":
			refuse("AccessDeniedException")
		case action == "GetSecretValue":
			fmt.Fprintf(w, `{"SecretString":%q}`, secrets[name])
		case name == "private":
			io.WriteString(w, `{"ConnectionState":"AUTHORIZED","InvocationConnectivityParameters":{"ResourceParameters":{"ResourceConfigurationArn":"r"}}}`)
		case name == "new":
			io.WriteString(w, `{"ConnectionState":"AUTHORIZING"}`)
		case name == "off":
			io.WriteString(w, `{"ConnectionState":"DEAUTHORIZED","StateReason":"401 Unauthorized"}`)
		case kinds[name] == "":
			refuse("ResourceNotFoundException")
		default:
			fmt.Fprintf(w, `{"ConnectionState":"AUTHORIZED","AuthorizationType":%q,"SecretArn":%q,"AuthParameters":{"InvocationHttpParameters":{"QueryStringParameters":[{"Key":"q","IsValueSecret":true},{"Key":"open","Value":"1"}]}}}`, kinds[name], name)
		}
	}))
	for _, c := range []struct{ name, want string }{
		{"basic", "GET /?q=secret&open=1 Basic dTpw "},
		{"basic", "GET /?q=secret&open=1 Basic dTpw "},
		{"key", "GET /?open=1  k"},
		{"oauth", "GET /?open=1 Bearer i-s-grant_type=client_credentials&scope=x "},
		{"absent", "Events.ConnectionResource.ResourceNotFound: describeConnection of absent: ResourceNotFoundException: no; or map the connection under embedded.connections"},
		{"dark", "Events.ConnectionResource.AccessDenied: getSecretValue of dark: AccessDeniedException: no; or map the connection under embedded.connections"},
		{"broken", "Events.ConnectionResource.InternalError: the secret of the connection " + connectionARN + "broken/1: it is not the JSON that EventBridge writes"},
		{"private", "Events.ConnectionResource.InvalidPrivateConnectionState: the connection " + connectionARN + "private/1 leads to a private API through VPC Lattice, which cannot be called from here: map it under embedded.connections"},
		{"new", "Events.ConnectionResource.AuthInProgress: the connection " + connectionARN + "new/1 is AUTHORIZING"},
		{"off", "Events.ConnectionResource.InvalidConnectionState: the connection " + connectionARN + "off/1 is DEAUTHORIZED: 401 Unauthorized"},
	} {
		o := b.do("e", httpInvoke, `{"Method":"GET","ApiEndpoint":"`+api.URL+`","InvocationConfig":{"ConnectionArn":"`+connectionARN+c.name+`/1"}}`)
		if got := answer(o); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.name, got, c.want)
		}
	}
	// A key that is refused is read again; a connection that is over is asked for again,
	// and kept where AWS is lost.
	secrets["key"] = `{"api_key_name":"X-Key","api_key_value":"refused"}`
	call := func(name, want string) {
		t.Helper()
		if got := answer(b.do("e", httpInvoke, `{"Method":"GET","ApiEndpoint":"`+api.URL+`","InvocationConfig":{"ConnectionArn":"`+connectionARN+name+`/1"}}`)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	over := func(name string) {
		b.Tasks.mu.Lock()
		k := b.Tasks.remembered[" "+connectionARN+name+"/1"]
		k.until = time.Time{}
		b.Tasks.remembered[" "+connectionARN+name+"/1"] = k
		b.Tasks.mu.Unlock()
	}
	call("key", "GET /?open=1  k")
	over("key")
	call("key", "States.Http.StatusCode.401: Unauthorized")
	secrets["key"] = `{"api_key_name":"X-Key","api_key_value":"new"}`
	call("key", "GET /?open=1  new")
	over("key")
	lost = true
	call("key", "GET /?open=1  new")
	if calls["DescribeConnection basic"] != 1 || calls["GetSecretValue basic"] != 1 {
		t.Errorf("%v, want a connection that is asked for once", calls)
	}
	m, err := asl.Parse([]byte(`{"StartAt":"S","States":{"S":{"Type":"Task","Resource":"`+httpInvoke+`","Parameters":{"Method":"GET","ApiEndpoint":"https://x","Authentication":{"ConnectionArn":"any"}},"End":true}}}`), "m")
	if err == nil {
		err = b.Tasks.Check(m.Resources()[0])
	}
	if err != nil {
		t.Error(err)
	}
	b.Tasks.cfg.Hosts = []string{"api.example.com"}
	if err := b.Tasks.Check(m.Resources()[0]); err == nil || !strings.Contains(err.Error(), "x may not be called here: embedded.hosts are api.example.com") {
		t.Errorf("a host that no connection may lead to: %v", err)
	}
}
