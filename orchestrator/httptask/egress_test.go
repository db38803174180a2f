package httptask

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// TestEgress reads as what may be called: hosts of the connection, a URL, what its
// host resolves to, and why not.
func TestEgress(t *testing.T) {
	for _, c := range []struct{ hosts, all, url, address, want string }{
		{"", "", "https://api.example.com/x", "93.184.216.34", ""},
		{"", "", "https://api.example.com", "2606:2800:220:1::1", ""},
		{"", "", "http://api.example.com", "93.184.216.34", "only https:// may be called here"},
		{"", "", "http://localhost:8080", "127.0.0.1", ""},
		{"", "", "http://[::1]:8080", "::1", ""},
		{"", "", "http://127.9.9.9", "127.9.9.9", ""},
		// Whatever a name resolves to.
		{"", "", "https://rebound.example.com", "127.0.0.1", "its address is private"},
		{"", "", "https://rebound.example.com", "10.1.2.3", "rebound.example.com, which is 10.1.2.3, may not be called here: its address is private"},
		{"", "", "https://rebound.example.com", "169.254.169.254", "is not one of an API"},
		{"", "", "https://rebound.example.com", "::ffff:169.254.169.254", "is not one of an API"},
		{"", "", "https://rebound.example.com", "64:ff9b::a9fe:a9fe", "is not one of an API"},
		{"", "", "https://rebound.example.com", "fd00:ec2::254", "is not one of an API"},
		{"", "", "https://rebound.example.com", "fe80::1%eth0", "is not one of an API"},
		{"", "", "https://rebound.example.com", "100.100.100.200", "is not one of an API"},
		{"", "", "https://rebound.example.com", "100.64.1.1", "its address is private"},
		{"", "", "https://rebound.example.com", "fd12::1", "its address is private"},
		{"", "", "https://rebound.example.com", "0.0.0.0", "is not one of an API"},
		{"", "", "https://rebound.example.com", "224.0.0.1", "is not one of an API"},
		{"", "", "https://10.0.0.7", "", "its address is private"},
		{"", "", "https://169.254.170.2", "", "is not one of an API"},
		{"", "", "https://localhost.", "", "its address is private"},
		{"", "", "https://a.localhost", "", "its address is private"},
		{"", "", "https://alocalhost", "", ""},
		{"a.localhost", "", "https://a.localhost", "127.0.0.1", ""},
		// Hosts that are named.
		{"api.example.com", "", "https://api.example.com", "10.1.2.3", ""},
		{"api.example.com", "", "https://API.example.com", "10.1.2.3", ""},
		{"api.example.com", "", "https://other.example.com", "93.184.216.34", "other.example.com may not be called here: the connection's hosts are api.example.com"},
		{"*.example.com", "", "https://a.b.example.com", "192.168.0.1", ""},
		{"*.example.com", "", "https://a.example.com", "169.254.169.254", "is not one of an API"},
		{"*.example.com", "", "https://example.com.evil.net", "93.184.216.34", "the connection's hosts are"},
		{"*", "", "https://a.example.com", "10.0.0.1", "its address is private"},
		{"169.254.169.254", "", "https://169.254.169.254", "169.254.169.254", ""},
		{"a.example.com:8443", "", "https://a.example.com:8443", "10.0.0.1", ""},
		{"a.example.com:8443", "", "https://a.example.com", "93.184.216.34", "the connection's hosts are"},
		{"a.example.com:443", "", "https://a.example.com", "93.184.216.34", ""},
		{"[fd12::1]:443", "", "https://[fd12::1]", "fd12::1", ""},
		{"", "a.example.com", "https://b.example.com", "93.184.216.34", "b.example.com may not be called here: embedded.hosts are a.example.com"},
		{"b.example.com", "a.example.com", "https://b.example.com", "93.184.216.34", "embedded.hosts are a.example.com"},
		{"", "*.internal", "https://ml.internal", "10.0.0.1", ""},
	} {
		e := &egress{Egress: Egress{Hosts: strings.Fields(c.hosts)}, all: strings.Fields(c.all)}
		if c.hosts == "" {
			e.Hosts = nil
		}
		if c.all == "" {
			e.all = nil
		}
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if err = e.allows(u); err == nil && c.address != "" {
			address := c.address + ":" + portOf(u)
			if strings.Contains(c.address, ":") {
				address = "[" + c.address + "]:" + portOf(u)
			}
			called := u.Hostname() + ":" + portOf(u)
			if strings.Contains(u.Hostname(), ":") {
				called = "[" + u.Hostname() + "]:" + portOf(u)
			}
			err = e.control(called)("tcp", address, nil)
		}
		got := ""
		if err != nil {
			got = err.Error()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s at %s, hosts %q, all %q: %q, want %q", c.url, c.address, c.hosts, c.all, got, c.want)
		}
	}
}

// What may not be called is not connected to.
func TestEgressDials(t *testing.T) {
	a := newAPI(t, nil)
	e := &egress{}
	_, port, _ := strings.Cut(a.Listener.Addr().String(), ":")
	if c, err := e.dial(t.Context(), "tcp", "localhost:"+port); err != nil {
		t.Errorf("localhost: %v", err)
	} else {
		c.Close()
	}
	var denied *deniedError
	if _, err := e.dial(t.Context(), "tcp", "0.0.0.0:"+port); !errors.As(err, &denied) { // which leads to the loopback
		t.Errorf("0.0.0.0 is connected to: %v", err)
	}
}

// A proxy may be anywhere, and resolves names itself; where it may not lead to is not
// asked of it.
func TestProxy(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.RequestURI)
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	at, err := url.Parse(strings.Replace(proxy.URL, "127.0.0.1", "localhost", 1))
	if err != nil {
		t.Fatal(err)
	}
	by := connect(t, Settings{})
	by.egress.proxies.find = http.ProxyURL(at)
	for endpoint, want := range map[string]string{
		"https://api.example.com/x": "States.Http.Socket: The HTTP request failed: Bad Gateway",
		"https://10.1.2.3/x":        "States.Http.AccessDenied: 10.1.2.3 may not be called here: its address is private, so name it under hosts of the connection's settings, or under embedded.hosts",
	} {
		call, _ := parse(t, `{"Method":"GET","ApiEndpoint":"`+endpoint+`"}`)
		o, err := (&Client{}).Do(t.Context(), call, by, nil)
		if got := o.Error + ": " + o.Cause; err != nil || got != want {
			t.Errorf("%s\n got %s (%v)\nwant %s", endpoint, got, err, want)
		}
	}
	if got := strings.Join(asked, ", "); got != "CONNECT api.example.com:443" {
		t.Errorf("the proxy was asked %s", got)
	}
}

func TestCheckHost(t *testing.T) {
	for pattern, ok := range map[string]bool{"a.example.com": true, "*.x:443": true, "10.0.0.7:8443": true, "::1": true, "*": true, "": false, "https://x": false, "a b": false, "[": false} {
		if err := CheckHost(pattern); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

// FuzzParse finds no parameters that break what is made of them.
func FuzzParse(f *testing.F) {
	f.Add(`{"ApiEndpoint":"https://x/y?z","Method":"GET","InvocationConfig":{"ConnectionArn":"c"},"Headers":{"a":["b"]},"QueryParameters":{"q":[1,{"r":null}]},"RequestBody":{"a":[1,[2]]},"Transform":{"RequestBodyEncoding":"URL_ENCODED"}}`)
	f.Add(`{"ApiEndpoint":"https://[::1]:1","Method":"PUT","Authentication":{"ConnectionArn":"c"},"QueryParameters":"a=%20&b","RequestBody":"x"}`)
	by, err := NewConnection(Settings{Body: []Parameter{{"a", "b"}}, Query: []Parameter{{"q", "s"}}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := value.ParseString(text)
		if err != nil {
			return
		}
		call, problem := Parse(v)
		if problem != "" {
			return
		}
		m, problem := call.merge(by)
		if problem != "" {
			return
		}
		if _, err := (&Client{}).request(t.Context(), m, by, ""); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if _, err := url.Parse(m.url.String()); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	})
}
