package wire

import (
	"embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

//go:embed models/*.json
var files embed.FS

// A model is what is kept of the API model of a service.
type model struct {
	ID         string // as the SDKs call the service: Secrets Manager
	Protocol   string // json, rest-json, rest-xml or query
	Host       string // before the region: secretsmanager
	Signing    string // name in signatures
	Version    string
	Target     string            // before the operation, of json
	JSON       string            // version of json
	Errors     map[string]string // shapes of errors by their code
	Operations map[string]operation
	Shapes     map[string]*shape
}

// An operation is how a request of it is written, and what is read.
type operation struct {
	Name, In, Out   string
	Method, URI     string   // POST and / if empty
	Wrapper         string   // around the answer, of query
	Root, Namespace string   // of the body, of rest-xml
	Checksum        bool     // the body needs one
	Errors          []string // of those that every service may answer with, the codes that its model has
}

// common are the codes of errors that every service may answer with, whatever the model
// of the operation says.
var common = []string{"AccessDenied", "AccessDeniedException", "AuthorizationError", "InternalFailure", "InternalServerException", "Throttling", "ThrottlingException",
	"ThrottledException", "ServiceUnavailable", "ServiceUnavailableException", "ValidationError", "ValidationException"}

// exception is the shape of an error with a code; empty where the operation has none.
func (m *model) exception(op operation, code string) string {
	if slices.Contains(common, code) && !slices.Contains(op.Errors, code) {
		return ""
	}
	return m.Errors[code]
}

// A shape is an object, an array or a map.
type shape struct {
	Type      string
	Members   map[string]string // see member
	Payload   string            // the member that is the whole body
	Namespace string            // of the payload in XML
	Of        string            // elements of an array, values of a map
	Item, Key string            // names of theirs in XML
}

// A member is where a member of an object stands, and how.
type member struct {
	name  string // in the parameters: it begins with a capital
	shape string // or the kind of a scalar: string, integer, number, boolean, blob, json, time:FORMAT
	place string // body, flat or attribute (in a body of XML), uri, query, header, headers, status
	as    string // by which name
}

func (s *shape) member(name string) (member, bool) {
	written, ok := s.Members[name]
	m := member{name: name, place: "body", as: name}
	parts := strings.SplitN(written, " ", 3)
	m.shape = parts[0]
	if len(parts) == 3 {
		m.place, m.as = parts[1], parts[2]
	}
	return m, ok
}

// named is the member that a parameter names. Step Functions spells them by the
// rules of Java, of SSEKMSKeyId SsekmsKeyId; both are taken.
func (s *shape) named(name string) (member, bool) {
	if m, ok := s.member(name); ok {
		return m, true
	}
	if name != "" && name[0] >= 'A' && name[0] <= 'Z' {
		for candidate := range s.Members {
			if strings.EqualFold(candidate, name) {
				return s.member(candidate)
			}
		}
	}
	return member{}, false
}

// models are the models by the name of the service in resources.
var models = sync.OnceValue(func() map[string]*model {
	all := map[string]*model{}
	entries, err := files.ReadDir("models")
	if err != nil {
		panic(err) // unreachable: it is embedded
	}
	for _, e := range entries {
		data, err := files.ReadFile("models/" + e.Name())
		m := &model{}
		if err == nil {
			err = json.Unmarshal(data, m)
		}
		if err != nil {
			panic(err) // unreachable: they are embedded, and read by a test
		}
		all[strings.TrimSuffix(e.Name(), ".json")] = m
	}
	return all
})
