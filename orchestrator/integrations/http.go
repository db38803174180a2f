package integrations

import (
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/httptask"
)

// httpModel is what an HTTP Task takes, which is in no API model of AWS ("Call HTTPS
// APIs in Step Functions workflows" of the developer guide).
func httpModel() *model {
	return &model{
		Operations: map[string]operation{"invoke": {In: "HttpInvoke"}},
		Shapes: map[string]*shape{
			"HttpInvoke": {Type: "object", Required: []string{"ApiEndpoint", "Method"}, Members: map[string]string{
				"ApiEndpoint": "text", "Method": "method", "Authentication": "connection", "InvocationConfig": "connection",
				"Headers": "headers", "QueryParameters": "any", "RequestBody": "any", "Transform": "transform",
			}},
			"connection": {Type: "object", Required: []string{"ConnectionArn"}, Members: map[string]string{"ConnectionArn": "text"}},
			"transform":  {Type: "object", Members: map[string]string{"RequestBodyEncoding": "encoding", "RequestEncodingOptions": "options"}},
			"options":    {Type: "object", Members: map[string]string{"ArrayFormat": "arrays"}},
			"headers":    {Type: "map", Of: "any"},
			"method":     {Type: "string", Enum: []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"}},
			"encoding":   {Type: "string", Enum: []string{"NONE", "URL_ENCODED"}},
			"arrays":     {Type: "string", Enum: []string{"INDICES", "REPEAT", "COMMAS", "BRACKETS", "NONE"}},
			"text":       {Type: "string"},
			"any":        {Type: "any"},
		},
	}
}

// http looks at what else AWS asks of an HTTP Task.
func (c *check) http(parameters *flow.Shape) {
	if parameters == nil {
		return
	}
	warn := func(s *flow.Shape, message string) {
		c.complaints = append(c.complaints, flow.Complaint{Shape: s, Severity: asl.SeverityWarning, Message: message})
	}
	if s, p := parameters.Member("ApiEndpoint"); p == flow.Sure && s.Value != nil && s.Value.Kind() == value.String && !placeholder(s.Value.Text()) {
		switch u, err := httptask.ParseEndpoint(s.Value.Text()); {
		case err != nil:
			c.refused(s, "ApiEndpoint: %v", err)
		case u.Scheme == "http":
			warn(s, "ApiEndpoint must be https:// on AWS: http:// can be called here alone")
		}
	}
	headers, p := parameters.Member("Headers")
	if p == flow.Sure {
		for _, f := range headers.Fields {
			if f.Presence == flow.Sure && len(httptask.Unsupported([]string{f.Name})) > 0 {
				c.refused(f.Shape, "the header %s may not be sent by an HTTP Task: what authorizes it, or is always sent, is the connection's", f.Name)
			}
		}
	}
	transform, p := parameters.Member("Transform")
	if p != flow.Sure {
		return
	}
	encoding, p := transform.Member("RequestBodyEncoding")
	if p != flow.Sure || encoding.Value == nil || encoding.Value.Text() != "URL_ENCODED" || headers != nil && headers.Open {
		return
	}
	if headers == nil || !slices.ContainsFunc(headers.Fields, func(f flow.Field) bool { return strings.EqualFold(f.Name, "Content-Type") }) {
		warn(encoding, `a form is sent, and as JSON by its Content-Type: add "Content-Type": "application/x-www-form-urlencoded" to Headers, unless the connection has it`)
	}
}
