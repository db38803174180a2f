package httptask

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Settings are what a connection is made of: as much as one of EventBridge, and where
// it may lead to.
type Settings struct {
	Basic  *Basic // one of these, or none
	APIKey *APIKey
	OAuth  *OAuth
	// Headers, Query and Body are added to what a task sends, in the place of what it
	// has of the same name.
	Headers, Query, Body []Parameter
	// Idempotency is the header that gets the ID of the call, which is the same when a
	// call is made again that was lost; empty: none does.
	Idempotency string

	Egress
}

// Basic is authorization by user name and password.
type Basic struct{ Username, Password string }

// APIKey is authorization by a header.
type APIKey Parameter

// OAuth is authorization by an access token that is given for client credentials
// (RFC 6749, section 4.4).
type OAuth struct {
	URL, Method          string // where tokens are given; POST if empty
	ClientID, Secret     string // sent as user name and password
	Headers, Query, Body []Parameter
}

// A Connection is how and where calls are made. It is safe for concurrent use.
type Connection struct {
	Settings
	egress egress
	client *http.Client
	tokens tokens
}

// NewConnection checks the settings. Hosts are those that any connection may lead to,
// nil for all.
func NewConnection(s Settings, hosts []string) (*Connection, error) {
	ways := 0
	for _, there := range []bool{s.Basic != nil, s.APIKey != nil, s.OAuth != nil} {
		if there {
			ways++
		}
	}
	if ways > 1 {
		return nil, errors.New("set one of basic, apiKey and oauth")
	}
	headers := slices.Clone(s.Headers)
	if s.APIKey != nil {
		headers = append(headers, Parameter(*s.APIKey))
	}
	if s.OAuth != nil {
		headers = append(headers, s.OAuth.Headers...)
	}
	if s.Idempotency != "" {
		headers = append(headers, Parameter{Name: s.Idempotency})
	}
	for _, h := range headers {
		if !headerName.MatchString(h.Name) || !headerValue.MatchString(h.Value) {
			return nil, fmt.Errorf("header %q: its name or its value can be in no request", h.Name)
		}
	}
	c := &Connection{Settings: s, egress: egress{Egress: s.Egress, all: hosts}, tokens: tokens{turn: make(chan struct{}, 1)}}
	if s.OAuth != nil {
		u, err := ParseEndpoint(s.OAuth.URL)
		if err == nil && s.Hosts != nil {
			c.egress.Hosts = append(slices.Clone(s.Hosts), u.Host)
		}
		if err == nil {
			err = c.egress.allows(u)
		}
		if err != nil {
			return nil, fmt.Errorf("oauth: %s: %w", s.OAuth.URL, err)
		}
	}
	transport := &http.Transport{
		Proxy:                  c.egress.proxy,
		DialContext:            c.egress.dial,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    20 * time.Second,
		MaxResponseHeaderBytes: asl.MaxData,
	}
	if len(s.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(s.CA) {
			return nil, errors.New("ca: there is no certificate in it")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	c.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Allows says why a URL may not be called, as far as its name tells.
func (c *Connection) Allows(u *url.URL) error { return c.egress.allows(u) }

// merged is what is sent: a call and what a connection adds.
type merged struct {
	method  string
	url     *url.URL
	headers []Parameter
	body    *string

	own *merged // what of it is not the connection's
}

// merge adds what a connection has to a call, in the place of what the call has of the
// same name.
func (c Call) merge(by *Connection) (m merged, problem string) {
	body, problem := c.mergeBody(by.Body)
	if problem != "" {
		return m, problem
	}
	own, _ := c.mergeBody(nil) // cannot fail: nothing is merged
	if len(by.Body) > 0 && c.body != nil {
		without := c
		kept := value.OfObject(slices.DeleteFunc(membersOf(*c.body), func(x value.Member) bool { return has(by.Body, x.Key, false) })...)
		without.body = &kept
		own, _ = without.mergeBody(nil)
	}
	at := func(query []Parameter) *url.URL {
		u := *c.URL
		if q := encode(query); q != "" {
			u.RawQuery = strings.TrimPrefix(u.RawQuery+"&"+q, "&")
		}
		return &u
	}
	set := by.sets()
	query, headers := without(c.Query, by.Query, false), without(without(c.Headers, by.Headers, true), set, true)
	if by.Idempotency != "" && c.ID != "" {
		headers = append(headers, Parameter{by.Idempotency, c.ID})
	}
	return merged{
		method: c.Method, url: at(slices.Concat(query, by.Query)), headers: slices.Concat(headers, without(by.Headers, set, true)), body: body,
		own: &merged{method: c.Method, url: at(query), headers: headers, body: own},
	}, ""
}

// sets are the headers that are set last, whatever others say.
func (c *Connection) sets() []Parameter {
	all := []Parameter{{Name: "User-Agent"}, {Name: "Range"}}
	switch {
	case c.APIKey != nil:
		all = append(all, Parameter{Name: c.APIKey.Name})
	case c.Basic != nil || c.OAuth != nil:
		all = append(all, Parameter{Name: "Authorization"})
	}
	if c.Idempotency != "" {
		all = append(all, Parameter{Name: c.Idempotency})
	}
	return all
}

// mergeBody is the body with parameters; nil: there is none.
func (c Call) mergeBody(add []Parameter) (*string, string) {
	if c.body == nil && len(add) == 0 {
		return nil, ""
	}
	body := value.OfObject()
	if c.body != nil {
		body = *c.body
	}
	if len(add) > 0 && body.Kind() != value.Object {
		return nil, "The request body is not an object, so the body parameters of the connection cannot be merged with it"
	}
	for _, p := range add {
		body = body.With(p.Name, value.OfString(p.Value))
	}
	switch {
	case body.Kind() == value.String:
		return new(body.Text()), ""
	case c.encoded:
		return new(encode(fields(body, c.arrays))), ""
	}
	return new(body.String()), ""
}

func membersOf(v value.Value) []value.Member {
	var all []value.Member
	for i := range v.Len() {
		all = append(all, value.Member{Key: v.Key(i), Value: v.At(i)})
	}
	return all
}

// has reports whether one of the parameters has a name; that of a header is the same
// in capitals.
func has(all []Parameter, name string, header bool) bool {
	return slices.ContainsFunc(all, func(p Parameter) bool {
		return p.Name == name || header && strings.EqualFold(p.Name, name)
	})
}

// without are those of the parameters that none of the others has the name of.
func without(all, others []Parameter, header bool) []Parameter {
	return slices.DeleteFunc(slices.Clone(all), func(p Parameter) bool { return has(others, p.Name, header) })
}

// proxies are the addresses of proxies, which the environment names.
type proxies struct {
	find func(*http.Request) (*url.URL, error) // nil: in the environment

	mu  sync.Mutex
	all map[string]bool // guarded by mu
}

// proxy is where a request goes first.
func (e *egress) proxy(req *http.Request) (*url.URL, error) {
	find := e.proxies.find
	if find == nil {
		find = http.ProxyFromEnvironment
	}
	u, err := find(req)
	if u == nil || err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	e.proxies.mu.Lock()
	defer e.proxies.mu.Unlock()
	if e.proxies.all == nil {
		e.proxies.all = map[string]bool{}
	}
	e.proxies.all[net.JoinHostPort(u.Hostname(), port)] = true
	return u, nil
}

// dial connects to an address that the egress allows, and to proxies.
func (e *egress) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second}
	e.proxies.mu.Lock()
	proxy := e.proxies.all[address]
	e.proxies.mu.Unlock()
	if !proxy {
		d.Control = e.control(address)
	}
	return d.DialContext(ctx, network, address)
}
