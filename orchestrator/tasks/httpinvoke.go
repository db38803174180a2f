package tasks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/httptask"
	"github.com/anneal-ml/anneal/orchestrator/wire"
)

var httpFields = fields{
	{"ApiEndpoint", text, true},
	{"Authentication", object, false},
	{"Authentication.ConnectionArn", text, true},
	{"Headers", anything, false},
	{"InvocationConfig", object, false},
	{"InvocationConfig.ConnectionArn", text, true},
	{"Method", text, true},
	{"QueryParameters", anything, false},
	{"RequestBody", anything, false},
	{"Transform", object, false},
	{"Transform.RequestBodyEncoding", text, false},
	{"Transform.RequestEncodingOptions", object, false},
	{"Transform.RequestEncodingOptions.ArrayFormat", text, false},
}

// checkHTTP says what is wrong with a call of an HTTPS API.
func checkHTTP(e asl.Effect) (call httptask.Call, problem string) {
	if problem := httpFields.check(e.Input); problem != "" {
		return call, problem
	}
	if call, problem = httptask.Parse(params(e)); problem == "" {
		call.ID = e.ID
	}
	return call, problem
}

// invokeHTTP is http:invoke.
func (t *Tasks) invokeHTTP(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	return t.exchange(ctx, e, nil)
}

// Trace does an http:invoke, and tells what was sent and what came back. Reveal has
// what the connection adds told too.
func (t *Tasks) Trace(ctx context.Context, e asl.Effect, reveal bool) (asl.Outcome, httptask.Exchange, error) {
	see := httptask.Exchange{Reveal: reveal}
	o, err := t.exchange(ctx, e, &see)
	return o, see, err
}

func (t *Tasks) exchange(ctx context.Context, e asl.Effect, see *httptask.Exchange) (asl.Outcome, error) {
	call, problem := checkHTTP(e)
	if problem != "" {
		return runtimeError(e, problem), nil
	}
	c, failed, err := t.connection(ctx, e, call.Connection)
	if failed != nil || err != nil {
		return first(failed), err
	}
	o, err := t.http.Do(ctx, call, c, see)
	switch {
	case errors.Is(err, httptask.ErrLarge):
		return tooLarge, nil
	case o.Error == httptask.StatusErr+"401" || o.Error == httptask.StatusErr+"407":
		t.mu.Lock()
		delete(t.remembered, rememberedAs(e, call.Connection)) // another attempt has what AWS has by then
		t.mu.Unlock()
	}
	return o, err
}

// rememberedAs is what a connection of AWS is remembered as.
func rememberedAs(e asl.Effect, arn string) string { return e.RoleARN + " " + arn }

// checkConnection says whether there is a connection for a Task state, and whether
// it may be used for its endpoint.
func (t *Tasks) checkConnection(r asl.Resource) error {
	if err := httpFields.require(r); err != nil {
		return err
	}
	var c *httptask.Connection
	given := false
	for _, key := range []string{"Authentication", "InvocationConfig"} {
		p, ok := r.Parameter(key, "ConnectionArn")
		if given = given || ok; p.Text == "" {
			continue
		}
		mine, ok := match(t.connections, connectionNames(p.Text)...)
		if !ok && t.cfg.Remote == nil {
			return unmapped("connection", p.Text, "connections", connectionNames(p.Text)[0])
		}
		if c = mine; !ok { // one of AWS leads where all may
			var err error
			if c, err = httptask.NewConnection(httptask.Settings{}, t.cfg.Hosts); err != nil {
				return err
			}
		}
	}
	if !given {
		return fmt.Errorf("parameter InvocationConfig.ConnectionArn %w by %s", ErrMissing, r.ARN)
	}
	if p, ok := r.Parameter("ApiEndpoint"); ok && p.Text != "" && c != nil {
		u, err := httptask.ParseEndpoint(p.Text)
		if err == nil {
			err = c.Allows(u)
		}
		if err != nil {
			return fmt.Errorf("parameter ApiEndpoint: %w", err)
		}
	}
	return nil
}

// connectionNames are the names of a connection: its own, then its ARN, which ends
// with an ID.
func connectionNames(arn string) []string {
	name := arn
	if i := strings.LastIndex(arn, ":connection/"); i >= 0 {
		name, _, _ = strings.Cut(arn[i+len(":connection/"):], "/")
	}
	return []string{name, arn}
}

// keepConnection is how long what AWS says of a connection is taken for true.
const keepConnection = 5 * time.Minute

// A known is a connection of AWS.
type known struct {
	*httptask.Connection
	until time.Time
	said  string // that it is made of
}

// connection is what an ARN stands for: here, else at AWS, where that is allowed.
func (t *Tasks) connection(ctx context.Context, e asl.Effect, arn string) (*httptask.Connection, *failure, error) {
	if c, ok := match(t.connections, connectionNames(arn)...); ok {
		return c, nil, nil
	}
	fail := func(name, format string, args ...any) (*httptask.Connection, *failure, error) {
		return nil, &failure{Outcome: asl.Outcome{Error: httptask.ConnectionErr + name, Cause: fmt.Sprintf(format, args...)}}, nil
	}
	if t.cfg.Remote == nil {
		return fail("ResourceNotFound", "%v", unmapped("connection", arn, "connections", connectionNames(arn)[0]))
	}
	key := rememberedAs(e, arn)
	t.mu.Lock()
	had := t.remembered[key]
	t.mu.Unlock()
	if had.Connection != nil && time.Now().Before(had.until) {
		return had.Connection, nil, nil
	}
	settings, said, failed, err := t.askConnection(ctx, e, arn)
	switch {
	case failed != nil && failed.passing && had.Connection != nil:
		return had.Connection, nil, nil // a lost AWS stops nobody who knows enough
	case failed != nil || err != nil:
		return nil, failed, err
	}
	now := known{had.Connection, time.Now().Add(keepConnection), said}
	if had.said != said { // else its token stays
		if now.Connection, err = httptask.NewConnection(settings, t.cfg.Hosts); err != nil {
			return fail("InvalidConnectionState", "connection %s: %v", arn, err)
		}
	}
	t.mu.Lock()
	t.remembered[key] = now
	t.mu.Unlock()
	return now.Connection, nil, nil
}

// askConnection asks AWS for a connection: EventBridge for what it is, Secrets Manager
// for the secrets, which EventBridge keeps there.
func (t *Tasks) askConnection(ctx context.Context, e asl.Effect, arn string) (s httptask.Settings, said string, failed *failure, err error) {
	fail := func(name, format string, args ...any) (httptask.Settings, string, *failure, error) {
		return s, "", &failure{Outcome: asl.Outcome{Error: httptask.ConnectionErr + name, Cause: fmt.Sprintf(format, args...)}}, nil
	}
	region := ""
	if p := strings.Split(arn, ":"); len(p) > 5 {
		region = p[3]
	}
	ask := func(service, action, key, name string) (value.Value, *failure, error) {
		calling, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		resp, err := t.cfg.Remote.Call(calling, wire.Request{
			Service: service, Action: action, Params: value.OfObject(value.Member{Key: key, Value: value.OfString(name)}), Role: e.RoleARN, Region: region,
		})
		var refused *wire.Error
		kind, passing := "InternalError", false
		switch {
		case err == nil:
			t.reached(ctx, e, service, nil)
			return resp.Output, nil, nil
		case ctx.Err() != nil:
			return value.Value{}, nil, ctx.Err()
		case errors.As(err, &refused):
			t.reached(ctx, e, service, nil)
			switch {
			case strings.HasPrefix(refused.Code, "AccessDenied"):
				kind = "AccessDenied"
			case strings.HasPrefix(refused.Code, "ResourceNotFound"):
				kind = "ResourceNotFound"
			default:
				passing = refused.Status >= 500
			}
		default:
			t.reached(ctx, e, service, err)
			passing = true
		}
		_, _, failed, _ := fail(kind, "%s of %s: %v; or map the connection under embedded.connections", action, name, err)
		failed.passing = passing
		return value.Value{}, failed, nil
	}
	about, failed, err := ask("eventbridge", "describeConnection", "Name", connectionNames(arn)[0])
	if failed != nil || err != nil {
		return s, "", failed, err
	}
	var d struct {
		ConnectionState, StateReason, AuthorizationType, SecretArn string
		InvocationConnectivityParameters                           json.RawMessage
		AuthParameters                                             struct {
			InvocationHttpParameters describedParameters
			OAuthParameters          struct {
				AuthorizationEndpoint, HttpMethod string
				OAuthHttpParameters               describedParameters
			}
		}
	}
	if err := json.Unmarshal(about.Append(nil), &d); err != nil {
		return fail("InternalError", "what EventBridge says of %s: %v", arn, err)
	}
	switch {
	case len(d.InvocationConnectivityParameters) > 0:
		return fail("InvalidPrivateConnectionState", "the connection %s leads to a private API through VPC Lattice, which cannot be called from here: map it under embedded.connections", arn)
	case d.ConnectionState == "AUTHORIZING" || d.ConnectionState == "CREATING" || d.ConnectionState == "UPDATING":
		return fail("AuthInProgress", "the connection %s is %s", arn, d.ConnectionState)
	case d.ConnectionState != "AUTHORIZED":
		return fail("InvalidConnectionState", "the connection %s is %s: %s", arn, d.ConnectionState, d.StateReason)
	}
	secret, failed, err := ask("secretsmanager", "getSecretValue", "SecretId", d.SecretArn)
	if failed != nil || err != nil {
		return s, "", failed, err
	}
	text, _ := secret.Find("SecretString")
	if s, err = connectionSecret(d.AuthorizationType, []byte(text.Text())); err != nil {
		return fail("InternalError", "the secret of the connection %s: %v", arn, err)
	}
	d.AuthParameters.InvocationHttpParameters.addTo(&s.Headers, &s.Query, &s.Body)
	if o, said := s.OAuth, d.AuthParameters.OAuthParameters; o != nil {
		o.URL, o.Method = cmp.Or(o.URL, said.AuthorizationEndpoint), cmp.Or(o.Method, said.HttpMethod)
		said.OAuthHttpParameters.addTo(&o.Headers, &o.Query, &o.Body)
	}
	return s, about.String() + text.Text(), nil, nil
}

// describedParameters are parameters of a connection as EventBridge describes them:
// those that are secret have no value.
type describedParameters struct {
	HeaderParameters, QueryStringParameters, BodyParameters []httptask.Parameter
}

// addTo adds those that the secret does not have.
func (d describedParameters) addTo(headers, query, body *[]httptask.Parameter) {
	for _, of := range []struct {
		from []httptask.Parameter
		to   *[]httptask.Parameter
	}{{d.HeaderParameters, headers}, {d.QueryStringParameters, query}, {d.BodyParameters, body}} {
		for _, p := range of.from {
			if p.Value != "" && !slices.ContainsFunc(*of.to, func(o httptask.Parameter) bool { return o.Name == p.Name }) {
				*of.to = append(*of.to, p)
			}
		}
	}
}

// httpParameters are parameters in the secret of a connection.
type httpParameters struct {
	Headers []httptask.Parameter `json:"header_parameters"`
	Query   []httptask.Parameter `json:"query_string_parameters"`
	Body    []httptask.Parameter `json:"body_parameters"`
}

// connectionSecret reads the secret that EventBridge keeps of a connection.
func connectionSecret(kind string, text []byte) (s httptask.Settings, err error) {
	type client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	var in struct {
		Username string `json:"username"`
		Password string `json:"password"`
		KeyName  string `json:"api_key_name"`
		KeyValue string `json:"api_key_value"`
		client
		Client     client         `json:"client_parameters"`
		Endpoint   string         `json:"authorization_endpoint"`
		Method     string         `json:"http_method"`
		OAuth      httpParameters `json:"oauth_http_parameters"`
		Invocation httpParameters `json:"invocation_http_parameters"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return s, errors.New("it is not the JSON that EventBridge writes") // which is not told
	}
	s.Headers, s.Query, s.Body = in.Invocation.Headers, in.Invocation.Query, in.Invocation.Body
	switch kind {
	case "BASIC":
		s.Basic = &httptask.Basic{Username: in.Username, Password: in.Password}
	case "API_KEY":
		s.APIKey = &httptask.APIKey{Name: in.KeyName, Value: in.KeyValue}
	case "OAUTH_CLIENT_CREDENTIALS":
		if in.client == (client{}) {
			in.client = in.Client
		}
		s.OAuth = &httptask.OAuth{
			URL: in.Endpoint, Method: in.Method, ClientID: in.ID, Secret: in.Secret,
			Headers: in.OAuth.Headers, Query: in.OAuth.Query, Body: in.OAuth.Body,
		}
	default:
		return s, fmt.Errorf("there is no authorization %q", kind)
	}
	return s, nil
}
