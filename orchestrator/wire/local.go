package wire

import (
	"context"
	"fmt"
	"net/http"
	"regexp"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Local makes a call of a service that serve stands for: it gets the operation's
// name and the body that the service would get, and answers status and body. The
// service must be one of JSON.
func Local(ctx context.Context, r Request, serve func(ctx context.Context, operation string, body []byte) (int, []byte)) (value.Value, error) {
	m := models()[r.Service]
	op, ok := m.Operations[r.Action]
	if !ok {
		return value.Value{}, fmt.Errorf("%s has no action %s", r.Service, r.Action)
	}
	out, err := m.encode(op, r.Params)
	if err != nil {
		return value.Value{}, err
	}
	status, body := serve(ctx, op.Name, out.body)
	if status != http.StatusOK {
		e := m.failure(op, &http.Response{StatusCode: status, Header: http.Header{}}, body)
		e.Attempts = 1
		return value.Value{}, e
	}
	return (&reader{m: m, millis: r.Millis}).decode(op, status, http.Header{}, body)
}

// apiHost is a host that tells its region.
var apiHost = regexp.MustCompile(`\.execute-api\.([a-z0-9-]+)\.`)

// Do sends a request that somebody made up, signed as one of
// a service where that is asked for. Where an endpoint is configured for sdkID, it
// goes there, with its own host in the header.
func (c *Client) Do(req *http.Request, role, hash, sdkID, service string, signed bool) (*http.Response, error) {
	s, err := c.session(req.Context(), role, service)
	if err != nil {
		return nil, err
	}
	if signed {
		with := s.with.Copy()
		if m := apiHost.FindStringSubmatch(req.URL.Host); m != nil {
			with.Region = m[1]
		}
		if err := Sign(req.Context(), with, req, hash, service); err != nil {
			return nil, err
		}
	}
	base, err := Endpoint(req.Context(), s.with, sdkID)
	if err != nil {
		return nil, err
	}
	if base != "" {
		u, err := req.URL.Parse(base)
		if err != nil {
			return nil, fmt.Errorf("endpoint of %s: %w", sdkID, err)
		}
		req.Host, req.URL.Scheme, req.URL.Host = req.URL.Host, u.Scheme, u.Host
	}
	return s.with.HTTPClient.Do(req)
}
