package httptask

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

const arn = `"InvocationConfig":{"ConnectionArn":"arn:aws:events:eu-west-1:123456789012:connection/c/1"}`

// An api is an API over HTTPS, which notes what it is asked.
type api struct {
	*httptest.Server
	ca []byte

	mu    sync.Mutex
	asked []string // guarded by mu
}

func newAPI(t *testing.T, answer http.HandlerFunc) *api {
	a := &api{}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		a.asked = append(a.asked, fmt.Sprintf("%s %s %s", r.Method, r.URL, body))
		a.mu.Unlock()
		answer(w, r)
	}))
	a.Config.ErrorLog = log.New(io.Discard, "", 0)
	a.StartTLS()
	t.Cleanup(a.Close)
	a.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
	return a
}

func (a *api) last() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[len(a.asked)-1]
}

func connect(t *testing.T, s Settings, hosts ...string) *Connection {
	t.Helper()
	c, err := NewConnection(s, hosts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.client.CloseIdleConnections)
	return c
}

// parse reads parameters, to which the connection is added.
func parse(t *testing.T, text string) (Call, string) {
	t.Helper()
	if !strings.Contains(text, "Authentication") && !strings.Contains(text, "InvocationConfig") {
		text = strings.Replace(text, "{", "{"+arn+",", 1)
	}
	v, err := value.ParseString(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return Parse(v)
}

// TestRequests reads as what is sent for the parameters of a task by a connection.
func TestRequests(t *testing.T) {
	var headers http.Header
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) { headers = r.Header })
	plain := connect(t, Settings{Egress: Egress{CA: a.ca}})
	full := connect(t, Settings{
		APIKey:  &APIKey{"X-Api-Key", "k3y"},
		Headers: []Parameter{{"header-param", "theirs"}, {"User-Agent", "no"}}, Query: []Parameter{{"q", "theirs"}}, Body: []Parameter{{"BodyParam", "theirs"}},
		Idempotency: "Idempotency-Key", Egress: Egress{CA: a.ca},
	})
	for _, c := range []struct {
		by         *Connection
		parameters string
		asked      string // method, URL and body
		headers    string
	}{
		{plain, `{"Method":"GET"}`, "GET / ", "Range: bytes=0-262144; User-Agent: Amazon|StepFunctions|HttpInvoke|eu-west-1"},
		{plain, `{"Method":"POST","RequestBody":{"b":1.50,"a":["é<"]}}`, `POST / {"b":1.50,"a":["é<"]}`, "Content-Type: application/json; charset=UTF-8; Content-Length: 22"},
		{plain, `{"Method":"PUT","RequestBody":"<x/>","Headers":{"content-type":"text/xml","X-Two":["1","2"]}}`, "PUT / <x/>", "Content-Type: text/xml; X-Two: 1,2"},
		{plain, `{"Method":"DELETE","QueryParameters":{"b":"x y&","a":[1,true],"n":null,"o":{"p":"q"}}}`, "DELETE /?b=x%20y%26&a=1&a=true&n=&o%5Bp%5D=q ", ""},
		{plain, `{"Method":"GET","QueryParameters":"a=1&b=x+y"}`, "GET /?a=1&b=x%20y ", ""},
		{plain, `{"Method":"PATCH","RequestBody":null}`, "PATCH / ", "Content-Type: "},
		{plain, `{"Method":"POST","RequestBody":{"customer":"1","metadata":{"order":"a b"},"l":["x",{"y":2}]},"Transform":{"RequestBodyEncoding":"URL_ENCODED"},"Headers":{"Content-Type":"application/x-www-form-urlencoded"}}`,
			"POST / customer=1&metadata%5Border%5D=a%20b&l%5B0%5D=x&l%5B1%5D%5By%5D=2", "Content-Type: application/x-www-form-urlencoded"},
		{plain, `{"Method":"POST","RequestBody":{"l":["x",2]},"Transform":{"RequestBodyEncoding":"URL_ENCODED","RequestEncodingOptions":{"ArrayFormat":"REPEAT"}}}`, "POST / l=x&l=2", ""},
		{plain, `{"Method":"POST","RequestBody":{"l":["x",2]},"Transform":{"RequestBodyEncoding":"URL_ENCODED","RequestEncodingOptions":{"ArrayFormat":"BRACKETS"}}}`, "POST / l%5B%5D=x&l%5B%5D=2", ""},
		{plain, `{"Method":"POST","RequestBody":{"l":["x",2]},"Transform":{"RequestBodyEncoding":"URL_ENCODED","RequestEncodingOptions":{"ArrayFormat":"COMMAS"}}}`, "POST / l=x%2C2", ""},
		{plain, `{"Method":"POST","RequestBody":{"l":["x"]},"Transform":{"RequestBodyEncoding":"NONE","RequestEncodingOptions":{"ArrayFormat":"NONE"}}}`, `POST / {"l":["x"]}`, ""},
		{full, `{"Method":"POST","Headers":{"Request-Id":"mine","Header-Param":"mine","x-api-key":"mine"},"RequestBody":{"Job":"j","BodyParam":"mine"},"QueryParameters":{"q":"mine","r":1}}`,
			`POST /?r=1&q=theirs {"Job":"j","BodyParam":"theirs"}`, "Request-Id: mine; Header-Param: theirs; X-Api-Key: k3y; Idempotency-Key: e1; User-Agent: Amazon|StepFunctions|HttpInvoke|eu-west-1"},
		{full, `{"Method":"POST"}`, `POST /?q=theirs {"BodyParam":"theirs"}`, ""},
		{connect(t, Settings{Basic: &Basic{"u", "p"}, Egress: Egress{CA: a.ca}}), `{"Method":"HEAD"}`, "HEAD / ", "Authorization: Basic dTpw"},
	} {
		call, problem := parse(t, strings.Replace(c.parameters, "{", `{"ApiEndpoint":"`+a.URL+`/",`, 1))
		if problem != "" {
			t.Errorf("%s: %s", c.parameters, problem)
			continue
		}
		call.ID = "e1"
		o, err := (&Client{Region: "eu-west-1"}).Do(t.Context(), call, c.by, nil)
		if err != nil || o.Error != "" {
			t.Errorf("%s: %s %s (%v)", c.parameters, o.Error, o.Cause, err)
			continue
		}
		if got := a.last(); got != c.asked {
			t.Errorf("%s\n got %s\nwant %s", c.parameters, got, c.asked)
		}
		for want := range strings.SplitSeq(c.headers, "; ") {
			if name, want, _ := strings.Cut(want, ": "); name != "charset=UTF-8" && !strings.HasPrefix(strings.Join(headers[name], ","), want) {
				t.Errorf("%s: header %s is %q, want %q", c.parameters, name, headers[name], want)
			}
		}
	}
}

// TestRefused reads as what is wrong with the parameters of a task.
func TestRefused(t *testing.T) {
	for _, c := range []struct{ parameters, want string }{
		{`{"ApiEndpoint":"ftp://x","Method":"GET"}`, "The value for the 'ApiEndpoint' field is not valid: it must be a URL, https://…"},
		{`{"ApiEndpoint":"https://","Method":"GET"}`, "The value for the 'ApiEndpoint' field is not valid: it must be a URL, https://…"},
		{`{"ApiEndpoint":"https://2852039166","Method":"GET"}`, "The value for the 'ApiEndpoint' field is not valid: an address is written as 192.0.2.1 or [2001:db8::1]"},
		{`{"ApiEndpoint":"https://0x7f.1","Method":"GET"}`, "The value for the 'ApiEndpoint' field is not valid: an address is written as 192.0.2.1 or [2001:db8::1]"},
		{`{"ApiEndpoint":"https://127.0.0.1.:8","Method":"GET"}`, "The value for the 'ApiEndpoint' field is not valid: an address is written as 192.0.2.1 or [2001:db8::1]"},
		{`{"ApiEndpoint":"https://u:p@x","Method":"GET"}`, "The value for the 'ApiEndpoint' field is not valid: credentials are the connection's"},
		{`{"ApiEndpoint":"https://x#y","Method":"GET"}`, "The value for the 'ApiEndpoint' field is not valid: it has a fragment"},
		{`{"ApiEndpoint":"https://x","Method":"get"}`, "The value for the 'Method' field is not valid: it must be one of GET, POST, PUT, DELETE, PATCH, OPTIONS, HEAD"},
		{`{"ApiEndpoint":"https://x","Method":"GET","Authentication":{}}`, "The field 'ConnectionArn' is required but was missing"},
		{`{"ApiEndpoint":"https://x","Method":"GET","Authentication":{"ConnectionArn":"c"},"InvocationConfig":{"ConnectionArn":"c"}}`, "Only one of the fields 'Authentication' and 'InvocationConfig' can be specified"},
		{`{"ApiEndpoint":"https://x","Method":"GET","Headers":{"X-Amz-Date":"1","Authorization":"2","fine":"3"}}`, "The 'Headers' field contains unsupported values: [authorization, x-amz-date]"},
		{`{"ApiEndpoint":"https://x","Method":"GET","Headers":{"a b":"1"}}`, "The value of the field 'Headers' has an invalid format"},
		{`{"ApiEndpoint":"https://x","Method":"GET","Headers":{"a":"1\r\nHost: y"}}`, "The value of the field 'Headers' has an invalid format"},
		{`{"ApiEndpoint":"https://x","Method":"GET","Headers":{"a":{}}}`, "The value of the field 'Headers' has an invalid format"},
		{`{"ApiEndpoint":"https://x","Method":"GET","QueryParameters":[1]}`, "The value of the field 'QueryParameters' has an invalid format"},
		{`{"ApiEndpoint":"https://x","Method":"GET","Transform":{"RequestBodyEncoding":"XML"}}`, "The value for the 'RequestBodyEncoding' field is not valid: it must be one of NONE, URL_ENCODED"},
		{`{"ApiEndpoint":"https://x","Method":"GET","Transform":{"RequestBodyEncoding":"URL_ENCODED","RequestEncodingOptions":{"ArrayFormat":"NONE"}}}`, "The value for the 'ArrayFormat' field is not valid: it must be one of INDICES, REPEAT, COMMAS, BRACKETS"},
	} {
		if _, got := parse(t, c.parameters); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.parameters, got, c.want)
		}
	}
}

// TestAnswers reads as what a task gets for what an API answers.
func TestAnswers(t *testing.T) {
	elsewhere := newAPI(t, func(http.ResponseWriter, *http.Request) {})
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		kind, status, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ":")
		body := r.URL.Query().Get("b")
		w.Header().Set("Content-Type", kind)
		switch status {
		case "":
			io.WriteString(w, body)
		case "moved":
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusFound)
		case "large":
			w.Write(make([]byte, asl.MaxData+2))
		case "endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "slow":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		case "silent":
			<-r.Context().Done()
		case "cut":
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "{")
		default:
			var code int
			fmt.Sscan(status, &code)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(code)
			io.WriteString(w, body)
		}
	})
	by := connect(t, Settings{Query: []Parameter{{"secret", "s3cret"}}, Egress: Egress{CA: a.ca}})
	const head = `{"Headers":{"Content-Length":["%d"],"Content-Type":["%s"]},`
	for _, c := range []struct{ path, want string }{
		{`application/json?b={"a":1.0,"b":"\u00e9"}`, fmt.Sprintf(head, 22, "application/json") + `"ResponseBody":{"a":1.0,"b":"é"},"StatusCode":200,"StatusText":"OK"}`},
		{`application/problem+json;%20charset=utf-8?b=[]`, fmt.Sprintf(head, 2, "application/problem+json; charset=utf-8") + `"ResponseBody":[],"StatusCode":200,"StatusText":"OK"}`},
		{`application/json?b={`, fmt.Sprintf(head, 1, "application/json") + `"ResponseBody":"{","StatusCode":200,"StatusText":"OK"}`},
		{`text/plain?b={}`, fmt.Sprintf(head, 2, "text/plain") + `"ResponseBody":"{}","StatusCode":200,"StatusText":"OK"}`},
		{`text/plain:204`, `{"Headers":{"Content-Type":["text/plain"],"Retry-After":["7"]},"StatusCode":204,"StatusText":"No Content"}`},
		{`text/plain:429?b=slow`, "States.Http.StatusCode.429: Too Many Requests"},
		{`application/json:503?b={}`, "States.Http.StatusCode.503: Service Unavailable"},
		{`text/plain:418`, "States.Http.StatusCode.418: "},
		{`image/png:404`, "States.Http.StatusCode.404: Not Found"},
		{`text/html:moved`, "States.Http.StatusCode.302: Found"},
		{`image/png?b=x`, "States.Runtime: Unsupported response content-type 'image/png'. Please see documentation for list of unsupported content-types."},
		{`application/octet-stream?b=x`, "States.Runtime: Unsupported response content-type 'application/octet-stream'. Please see documentation for list of unsupported content-types."},
		{`text/plain?b=%ff`, "States.Runtime: The response is not a valid string"},
		{`text/plain:large`, "the answer has more than 262144 bytes"},
		{`text/plain:endless`, "the answer has more than 262144 bytes"},
		{`text/plain:slow`, "States.Http.Socket: The HTTP request timed out after 0.5 seconds"},
		{`text/plain:silent`, "States.Http.Socket: The HTTP request timed out after 0.5 seconds"},
		{`text/plain:cut`, "States.Http.Socket: The HTTP request failed: unexpected EOF"},
	} {
		path := strings.NewReplacer(`"`, "%22", "{", "%7b", "}", "%7d", `\`, "%5c").Replace(c.path)
		call, problem := parse(t, `{"Method":"GET","ApiEndpoint":"`+a.URL+"/"+path+`"}`)
		if problem != "" {
			t.Fatalf("%s: %s", c.path, problem)
		}
		client := &Client{}
		if strings.Contains(c.want, "timed out") {
			client.Timeout = 500 * time.Millisecond
		}
		o, err := client.Do(t.Context(), call, by, nil)
		got := string(o.Output)
		if o.Error != "" {
			got = o.Error + ": " + o.Cause
		}
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s\n got %.300s\nwant %s", c.path, got, c.want)
		}
	}
	if len(elsewhere.asked) > 0 {
		t.Errorf("a redirect was followed: %s", elsewhere.asked)
	}
}

// Over HTTP/2 names of headers are small, as they are sent.
func TestHTTP2(t *testing.T) {
	a := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		w.Header().Set("X-Proto", r.Proto)
	}))
	a.EnableHTTP2 = true
	a.StartTLS()
	t.Cleanup(a.Close)
	by := connect(t, Settings{Egress: Egress{CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})}})
	call, _ := parse(t, `{"Method":"GET","ApiEndpoint":"`+a.URL+`"}`)
	o, err := (&Client{}).Do(t.Context(), call, by, nil)
	if want := `{"Headers":{"content-length":["0"],"x-proto":["HTTP/2.0"]},"StatusCode":200,"StatusText":"OK"}`; err != nil || string(o.Output) != want {
		t.Errorf("got %s %s %s (%v), want %s", o.Output, o.Error, o.Cause, err, want)
	}
}

// What there is no answer of, and why.
func TestUnanswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	a := newAPI(t, func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct{ endpoint, want string }{
		{"https://" + l.Addr().String(), "States.Http.Socket: The HTTP request failed: dial tcp " + l.Addr().String() + ": connect: connection refused"},
		{a.URL, "States.Http.Socket: The HTTP request failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"},
		{strings.Replace(a.URL, "https", "http", 1), "States.Http.StatusCode.400: Bad Request"},
	} {
		call, _ := parse(t, `{"Method":"GET","ApiEndpoint":"`+c.endpoint+`"}`)
		o, err := (&Client{}).Do(t.Context(), call, connect(t, Settings{Query: []Parameter{{"secret", "s3cret"}}}), nil)
		if got := o.Error + ": " + o.Cause; err != nil || got != c.want {
			t.Errorf("%s\n got %s (%v)\nwant %s", c.endpoint, got, err, c.want)
		}
	}
	a = newAPI(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	call, _ := parse(t, `{"Method":"GET","ApiEndpoint":"`+a.URL+`"}`)
	if _, err := (&Client{}).Do(ctx, call, connect(t, Settings{Egress: Egress{CA: a.ca}}), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A body of text has no room for a connection's parameters.
func TestMergeText(t *testing.T) {
	call, _ := parse(t, `{"Method":"POST","ApiEndpoint":"https://127.0.0.1:1","RequestBody":"text"}`)
	o, err := (&Client{}).Do(t.Context(), call, connect(t, Settings{Body: []Parameter{{"a", "b"}}}), nil)
	if err != nil || o.Error != asl.ErrRuntime || !strings.Contains(o.Cause, "cannot be merged") {
		t.Errorf("got %s: %s (%v)", o.Error, o.Cause, err)
	}
}

// TestTokens follows the access tokens of a connection.
func TestTokens(t *testing.T) {
	given, refuse, status, lasts := 0, "", http.StatusOK, `"3600"`
	a := newAPI(t, nil)
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token":
			body, _ := io.ReadAll(r.Body)
			name, secret, _ := r.BasicAuth()
			if got := fmt.Sprint(r.Method, " ", name, " ", secret, " ", r.Header.Get("X"), " ", r.URL.RawQuery, " ", string(body)); got != "POST id s%2Fcret h a=b grant_type=client_credentials&scope=x%20y" {
				t.Errorf("asked for a token by %s", got)
			}
			given++
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"access_token":"t%d","token_type":"Bearer","expires_in":%s,"error":"invalid_client"}`, given, lasts)
		default:
			if r.Header.Get("Authorization") == "Bearer "+refuse || refuse == "all" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			io.WriteString(w, r.Header.Get("Authorization"))
		}
	})
	settings := Settings{
		OAuth:  &OAuth{URL: a.URL + "/token", ClientID: "id", Secret: "s/cret", Headers: []Parameter{{"X", "h"}}, Query: []Parameter{{"a", "b"}}, Body: []Parameter{{"scope", "x y"}}},
		Egress: Egress{CA: a.ca},
	}
	by := connect(t, settings)
	call, _ := parse(t, `{"Method":"GET","ApiEndpoint":"`+a.URL+`"}`)
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"the first", nil, "Bearer t1"},
		{"it is kept", nil, "Bearer t1"},
		{"it is refused", func() { refuse = "t1" }, "Bearer t2"},
		{"the new one is kept", nil, "Bearer t2"},
		{"none will do", func() { refuse = "all" }, "States.Http.StatusCode.401: Unauthorized"},
		{"it is over at once", func() { refuse, lasts = "", "20" }, "Bearer t4"},
		{"so it is asked for again", nil, "Bearer t5"},
		{"the client is refused", func() { status = http.StatusUnauthorized }, "Events.ConnectionResource.InvalidConnectionState: the authorization endpoint " + a.Listener.Addr().String() + " answered 401 Unauthorized: invalid_client"},
		{"it is broken", func() { status = http.StatusBadGateway }, "Events.ConnectionResource.InternalError: the authorization endpoint " + a.Listener.Addr().String() + " answered 502 Bad Gateway"},
		{"it works again", func() { status = http.StatusOK }, "Bearer t8"},
	} {
		if step.do != nil {
			step.do()
		}
		o, err := (&Client{}).Do(t.Context(), call, by, nil)
		got := o.Error + ": " + o.Cause
		if v, parsed := value.Parse(o.Output); parsed == nil && o.Error == "" {
			body, _ := v.Find("ResponseBody")
			got = body.Text()
		}
		if err != nil || got != step.want {
			t.Errorf("%s: got %s (%v), want %s", step.what, got, err, step.want)
		}
	}
	// Many that begin together ask once.
	lasts, given = "3600", 0
	by = connect(t, settings)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if o, err := (&Client{}).Do(t.Context(), call, by, nil); err != nil || o.Error != "" {
				t.Errorf("%s: %s (%v)", o.Error, o.Cause, err)
			}
		})
	}
	wg.Wait()
	if given != 1 {
		t.Errorf("%d tokens were asked for, want 1", given)
	}
	settings.OAuth.URL = a.URL + "/token#x"
	if _, err := NewConnection(settings, nil); err == nil {
		t.Error("an authorization endpoint with a fragment is taken")
	}
}

// TestExchange tells what was sent, with what the connection adds and without.
func TestExchange(t *testing.T) {
	a := newAPI(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = nil
		io.WriteString(w, "seen "+r.URL.Query().Get("k"))
	})
	by := connect(t, Settings{
		Basic:   &Basic{"u", "p"},
		Headers: []Parameter{{"CustomHeader1", "s3cret"}}, Query: []Parameter{{"k", "s3cret"}}, Body: []Parameter{{"BodyKey1", "s3cret"}}, Egress: Egress{CA: a.ca},
	})
	call, _ := parse(t, `{"Method":"POST","ApiEndpoint":"`+a.URL+`/p","Headers":{"definitionHeader":"h1","CUSTOMHEADER1":"x"},"QueryParameters":{"q":"1"},"RequestBody":{"BodyKey1":"x","m":1}}`)
	for _, reveal := range []bool{true, false} {
		x := Exchange{Reveal: reveal}
		if o, err := (&Client{}).Do(t.Context(), call, by, &x); err != nil || o.Error != "" {
			t.Fatalf("%s: %s (%v)", o.Error, o.Cause, err)
		}
		got := fmt.Sprintf("%+v", *x.Request)
		want := fmt.Sprintf(`{Protocol:https Method:POST URL:%s/p?q=1&k=s3cret Headers:[definitionHeader: h1, Authorization: Basic dTpw, CustomHeader1: s3cret, User-Agent: Amazon|StepFunctions|HttpInvoke|us-east-1, Range: bytes=0-262144] Body:{"BodyKey1":"s3cret","m":1}}`, a.URL)
		if !reveal {
			want = fmt.Sprintf(`{Protocol:https Method:POST URL:%s/p?q=1 Headers:[definitionHeader: h1, User-Agent: Amazon|StepFunctions|HttpInvoke|us-east-1, Range: bytes=0-262144] Body:{"m":1}}`, a.URL)
		}
		if got != want {
			t.Errorf("reveal %t\n got %s\nwant %s", reveal, got, want)
		}
		if got, want := fmt.Sprintf("%+v", *x.Response), "{Protocol:https StatusCode:200 StatusMessage:OK Headers:[Content-Length: 11, Content-Type: text/plain; charset=utf-8] Body:seen s3cret}"; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}
