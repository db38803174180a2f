package sfnapi

import (
	"encoding/json"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/httptask"
)

// calledHTTP reports whether a resource is an HTTP Task.
func calledHTTP(resource string) bool { return strings.HasSuffix(resource, ":states:::http:invoke") }

// httpDiagnostics are what AWS refuses of the parameters of an HTTP Task, which are at
// that place, besides [integrations.Misfits]. What comes from a path or an expression is
// only known when it runs.
func httpDiagnostics(parameters json.RawMessage, at string) (found []diagnostic) {
	var given map[string]json.RawMessage
	if json.Unmarshal(parameters, &given) != nil || given == nil {
		return nil // an expression, or told by the language
	}
	refused := func(message string) { found = append(found, diagnostic{"ERROR", codeSchema, message, at}) }
	there := func(name string) bool { return given[name] != nil || given[name+".$"] != nil }
	if !there("Authentication") && !there("InvocationConfig") {
		refused("The field 'InvocationConfig' is required but was missing")
	}
	var endpoint string
	if json.Unmarshal(given["ApiEndpoint"], &endpoint) == nil && !strings.HasPrefix(endpoint, "{%") {
		if _, err := httptask.ParseEndpoint(endpoint); err != nil {
			refused("The value for the 'ApiEndpoint' field is not valid")
		}
	}
	var headers map[string]json.RawMessage
	if json.Unmarshal(given["Headers"], &headers) == nil {
		var names []string
		for name := range headers {
			names = append(names, strings.TrimSuffix(name, ".$"))
		}
		if wrong := httptask.Unsupported(names); len(wrong) > 0 {
			refused(httptask.Refused(wrong))
		}
	}
	return found
}
