package tasks

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

var apiFields = fields{
	{"AllowNullValues", boolean, false},
	{"ApiEndpoint", text, true},
	{"AuthType", text, false},
	{"Headers", anything, false},
	{"Method", text, true},
	{"Path", text, false},
	{"QueryParameters", anything, false},
	{"RequestBody", anything, false},
	{"Stage", text, false},
}

// An apiCall is what apigateway:invoke takes.
type apiCall struct {
	ApiEndpoint, AuthType, Method, Path, Stage string
	Headers, QueryParameters                   map[string][]string
	RequestBody                                json.RawMessage
}

// checkAPI says what is wrong with a call of API Gateway.
func checkAPI(input json.RawMessage) (in apiCall, problem string) {
	if problem := apiFields.check(input); problem != "" {
		return in, problem
	}
	var lists struct{ Headers, QueryParameters json.RawMessage }
	if err := json.Unmarshal(input, &lists); err != nil {
		return in, err.Error()
	}
	for _, f := range []struct {
		name string
		v    json.RawMessage
	}{{"Headers", lists.Headers}, {"QueryParameters", lists.QueryParameters}} {
		var all map[string][]string
		if len(f.v) > 0 && json.Unmarshal(f.v, &all) != nil {
			return in, fmt.Sprintf("The value of the field '%s' has an invalid format", f.name)
		}
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return in, err.Error()
	}
	if !slices.Contains([]string{"", "NO_AUTH", "IAM_ROLE", "RESOURCE_POLICY"}, in.AuthType) {
		return in, "The value of the field 'AuthType' has an invalid format"
	}
	for name := range in.Headers {
		for _, reserved := range []string{"x-amz", "authorization", "connection", "content-md5", "expect", "host", "max-forwards", "proxy-authenticate", "server", "te", "transfer-encoding", "trailer", "upgrade", "via", "www-authenticate", "x-forwarded"} {
			if l := strings.ToLower(name); l == reserved || strings.HasSuffix(reserved, "x-amz") && strings.HasPrefix(l, "x-amz-") || reserved == "x-forwarded" && strings.HasPrefix(l, "x-forwarded-") {
				return in, fmt.Sprintf("The header '%s' is not supported by Step Functions", name)
			}
		}
	}
	return in, ""
}

// invokeAPI is apigateway:invoke: a request to a stage of an API, signed where
// that is asked for. The endpoint is AWS's own, or what AWS_ENDPOINT_URL and
// AWS_ENDPOINT_URL_EXECUTE_API name in its place.
func (t *Tasks) invokeAPI(ctx context.Context, e asl.Effect) (asl.Outcome, error) {
	in, problem := checkAPI(e.Input)
	if problem == "" && t.cfg.Remote == nil {
		problem = denied(e.Resource).Error()
	}
	if problem != "" {
		return runtimeError(e, problem), nil
	}
	u := url.URL{Scheme: "https", Host: in.ApiEndpoint, Path: "/" + strings.Trim(in.Stage, "/")}
	if path := strings.TrimPrefix(in.Path, "/"); path != "" {
		u.Path = strings.TrimSuffix(u.Path, "/") + "/" + path
	}
	u.RawQuery = url.Values(in.QueryParameters).Encode()
	body := []byte(in.RequestBody)
	if string(body) == "null" {
		body = nil
	}
	calling, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(calling, in.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return runtimeError(e, err.Error()), nil
	}
	for name, values := range in.Headers {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if req.Header.Get("Content-Type") == "" && len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	sum := sha256.Sum256(body)
	resp, err := t.cfg.Remote.Do(req, e.RoleARN, hex.EncodeToString(sum[:]), "Execute API", "execute-api", in.AuthType == "IAM_ROLE" || in.AuthType == "RESOURCE_POLICY")
	if err != nil {
		if ctx.Err() != nil {
			return asl.Outcome{}, ctx.Err()
		}
		return words{prefix: "ApiGateway"}.unreached(err), nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, asl.MaxData+1))
	switch {
	case ctx.Err() != nil:
		return asl.Outcome{}, ctx.Err()
	case err != nil:
		return words{prefix: "ApiGateway"}.unreached(err), nil
	case len(answer) > asl.MaxData:
		return tooLarge, nil
	}
	headers := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		spelling := name
		if s, ok := spelled[name]; ok {
			spelling = s
		}
		headers[spelling] = resp.Header[name]
	}
	out := map[string]any{"Headers": headers, "StatusCode": resp.StatusCode, "StatusText": http.StatusText(resp.StatusCode)}
	if len(answer) > 0 {
		out["ResponseBody"] = string(answer)
		if json.Valid(answer) {
			out["ResponseBody"] = json.RawMessage(answer)
		}
	}
	if resp.StatusCode >= 400 {
		return asl.Outcome{Error: fmt.Sprintf("ApiGateway.%d", resp.StatusCode), Cause: strings.ToValidUTF8(string(answer), "\uFFFD")}, nil
	}
	return asl.Outcome{Output: encode(out)}, nil
}
