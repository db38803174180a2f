package configs

import (
	"fmt"
	"os"

	"github.com/anneal-ml/anneal/orchestrator/httptask"
	"github.com/anneal-ml/anneal/policy"
)

// A Connection is how an HTTPS API is called (http:invoke), in place of a connection
// of EventBridge: with Basic, APIKey, OAuth or no authorization.
type Connection struct {
	Basic  *Basic  `json:"basic"`
	APIKey *APIKey `json:"apiKey"`
	OAuth  *OAuth  `json:"oauth"`
	// Headers, Query and Body are added to what a task sends, in the place of what it
	// has of the same name.
	Headers map[string]Secret `json:"headers"`
	Query   map[string]Secret `json:"query"`
	Body    map[string]Secret `json:"body"`
	// Idempotency is a header that gets an ID, the same when a call is made again whose
	// answer a crash has lost; such as Idempotency-Key. None if empty.
	Idempotency string `json:"idempotency"`
	// Hosts are those that may be called, as in a URL, with a port or for all of them,
	// or globs: api.example.com, *.example.com, 10.0.0.7:8443. All public ones and the
	// loopback if none. A private address must be that of a host which is named, a
	// link-local one that of a host which is named literally.
	Hosts []string `json:"hosts"`
	// Insecure lets http:// be called beyond the loopback.
	Insecure bool `json:"insecure"`
	// CA is a file of certificates, as PEM, that servers are trusted by. The system's
	// if empty.
	CA File `json:"ca"`
}

// Basic is a user and a password.
type Basic struct {
	Username Secret `json:"username"`
	Password Secret `json:"password"` // {env: NAME} or {file: PATH}
}

// APIKey is a header with a key.
type APIKey struct {
	Name  string `json:"name"`  // such as X-Api-Key
	Value Secret `json:"value"` // {env: NAME} or {file: PATH}
}

// OAuth is an access token that is given for client credentials (RFC 6749), and asked
// for again when it ends or is refused.
type OAuth struct {
	URL          string `json:"url"`                        // where it is given
	Method       string `json:"method" enum:"GET,POST,PUT"` // POST if empty
	ClientID     Secret `json:"clientId"`                   // the user of the request
	ClientSecret Secret `json:"clientSecret"`               // its password: {env: NAME} or {file: PATH}
	// Headers, Query and Body are sent with the request, such as body: {scope: …}.
	// grant_type is client_credentials unless they have one.
	Headers map[string]Secret `json:"headers"`
	Query   map[string]Secret `json:"query"`
	Body    map[string]Secret `json:"body"`
}

// Settings are what the connection is made of; read gives the value of a secret.
func (c *Connection) Settings(read func(Secret) (string, error)) (s httptask.Settings, err error) {
	value := func(key string, secret Secret) (v string) {
		if err == nil {
			if v, err = read(secret); err != nil {
				err = fmt.Errorf("%s: %w", key, err)
			}
		}
		return v
	}
	all := func(key string, of map[string]Secret) (all []httptask.Parameter) {
		for _, name := range sortedKeys(of) {
			all = append(all, httptask.Parameter{Name: name, Value: value(key+" "+name, of[name])})
		}
		return all
	}
	s = httptask.Settings{
		Headers: all("headers", c.Headers), Query: all("query", c.Query), Body: all("body", c.Body),
		Idempotency: c.Idempotency, Egress: httptask.Egress{Hosts: c.Hosts, Insecure: c.Insecure},
	}
	if c.Basic != nil {
		s.Basic = &httptask.Basic{Username: value("basic.username", c.Basic.Username), Password: value("basic.password", c.Basic.Password)}
	}
	if c.APIKey != nil {
		s.APIKey = &httptask.APIKey{Name: c.APIKey.Name, Value: value("apiKey.value", c.APIKey.Value)}
	}
	if o := c.OAuth; o != nil {
		s.OAuth = &httptask.OAuth{
			URL: o.URL, Method: o.Method, ClientID: value("oauth.clientId", o.ClientID), Secret: value("oauth.clientSecret", o.ClientSecret),
			Headers: all("oauth.headers", o.Headers), Query: all("oauth.query", o.Query), Body: all("oauth.body", o.Body),
		}
	}
	if c.CA != "" && err == nil {
		if s.CA, err = os.ReadFile(string(c.CA)); err != nil {
			err = fmt.Errorf("ca: %w", err)
		}
	}
	return s, err
}

// checkConnections reports what makes no sense in the connections and the hosts that
// all of them may lead to.
func (e *Embedded) checkConnections(d *decoder) {
	hosts := func(path string, all []string) {
		for i, host := range all {
			if err := httptask.CheckHost(host); err != nil {
				d.add(index(path, i), -1, "%v", err)
			}
		}
	}
	hosts("embedded.hosts", e.Hosts)
	for _, name := range sortedKeys(e.Connections) {
		path, c := policy.At("embedded.connections", name), e.Connections[name]
		checkGlob(d, path, name)
		hosts(path+".hosts", c.Hosts)
		ways := 0
		if b := c.Basic; b != nil {
			ways++
			if b.Username == (Secret{}) || b.Password == (Secret{}) {
				d.add(path+".basic", -1, "a user and a password are needed: basic: {username: me, password: {env: NAME}}")
			}
			b.Password.checkNamed(d, path+".basic.password")
		}
		if k := c.APIKey; k != nil {
			ways++
			if k.Name == "" || k.Value == (Secret{}) {
				d.add(path+".apiKey", -1, "a header and its value are needed: apiKey: {name: X-Api-Key, value: {env: NAME}}")
			}
			k.Value.checkNamed(d, path+".apiKey.value")
		}
		if o := c.OAuth; o != nil {
			ways++
			if o.URL == "" || o.ClientID == (Secret{}) || o.ClientSecret == (Secret{}) {
				d.add(path+".oauth", -1, "a URL and a client are needed: oauth: {url: https://…/token, clientId: me, clientSecret: {env: NAME}}")
			}
			o.ClientSecret.checkNamed(d, path+".oauth.clientSecret")
			switch o.Method {
			case "", "GET", "POST", "PUT":
			default:
				d.add(path+".oauth.method", -1, "unknown value %q (have GET, POST, PUT)", o.Method)
			}
		}
		if ways > 1 {
			d.add(path, -1, "a connection has one of basic, apiKey and oauth")
			continue
		}
		if _, err := os.Stat(string(c.CA)); c.CA != "" && err != nil {
			d.note(path+".ca", "%s: %v", c.CA, reason(err))
			c.CA = ""
		}
		s, err := c.Settings(func(Secret) (string, error) { return "unread", nil })
		if err == nil && (c.OAuth == nil || c.OAuth.URL != "") {
			_, err = httptask.NewConnection(s, e.Hosts)
		}
		if err != nil {
			d.add(path, -1, "%v", err)
		}
	}
}
