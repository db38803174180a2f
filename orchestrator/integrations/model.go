package integrations

import (
	"embed"
	"encoding/json"
	"regexp"
	"strings"
	"sync"

	"github.com/anneal-ml/anneal/orchestrator/asl/flow"
)

//go:embed models/*.json
var files embed.FS

// A model is what is kept of one service's API model.
type model struct {
	Actions    []string // all there are, where they are known
	Operations map[string]operation
	Shapes     map[string]*shape
}

// An operation names the shapes of what it takes and gives.
type operation struct {
	In, Out string
	Sync    string // what .sync gives
}

// A shape is a type of an API model.
type shape struct {
	Type     string // object, array, map, string, integer, number, boolean, time, any
	Members  map[string]string
	Required []string
	Of       string // items or values
	Enum     []string
	Pattern  string
	Min, Max int64 // of a number, or the length of a string or array; 0 is none

	like *regexp.Regexp // Pattern, which is for the whole text
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
		for _, t := range m.Shapes {
			if t.Pattern != "" {
				t.like = regexp.MustCompile(`\A(?:` + t.Pattern + `)\z`)
			}
		}
		name := strings.TrimSuffix(e.Name(), ".json")
		all[strings.Replace(name, "aws-sdk-", "aws-sdk:", 1)] = m
	}
	all["http"] = httpModel()
	return all
})

// deepest is how deep results are known; types can hold themselves.
const deepest = 8

// result is what a call gives; nil where that is not known.
func result(m *model, op operation, name, pattern string) *flow.Shape {
	out := op.Out
	switch {
	case pattern == "waitForTaskToken" || strings.HasPrefix(name, "aws-sdk:"):
		return nil // whoever has the token gives it; or nothing is kept of it
	case strings.HasPrefix(pattern, "sync"):
		out = op.Sync
	case name == "apigateway" || name == "http":
		return flow.Record(
			flow.Field{Name: "Headers", Shape: flow.Of(flow.Object), Presence: flow.Unknown},
			flow.Field{Name: "ResponseBody", Shape: flow.Any(), Presence: flow.Unknown},
			flow.Field{Name: "StatusCode", Shape: flow.Of(flow.Number), Presence: flow.Sure},
			flow.Field{Name: "StatusText", Shape: flow.Of(flow.String), Presence: flow.Unknown},
		)
	}
	if m == nil || out == "" {
		return nil
	}
	s := m.known(out, deepest)
	fields := s.Fields
	if name == "states" && pattern != "" {
		for i, f := range fields {
			if f.Name == "Input" || f.Name == "Output" {
				fields[i].Shape = flow.Any()
				if pattern == "sync" {
					fields[i].Shape = &flow.Shape{Kinds: flow.String, Text: "as .sync gives it (.sync:2 gives the value)"}
				}
			}
		}
	}
	if name == "lambda" {
		for i, f := range fields {
			if f.Name == "Payload" || f.Name == "StatusCode" {
				fields[i].Presence = flow.Sure
			}
		}
	}
	for _, name := range []string{"SdkHttpMetadata", "SdkResponseMetadata"} {
		fields = append(fields, flow.Field{Name: name, Shape: flow.Any(), Presence: flow.Unknown})
	}
	return flow.Record(fields...)
}

// known is what is known of a value of a type.
func (m *model) known(name string, depth int) *flow.Shape {
	t := m.Shapes[name]
	if t == nil || depth == 0 {
		return flow.Any()
	}
	switch t.Type {
	case "object":
		s := flow.Record()
		for _, member := range sortedKeys(t.Members) {
			f := flow.Field{Name: member, Shape: m.known(t.Members[member], depth-1), Presence: flow.Unknown}
			for _, r := range t.Required {
				if r == member {
					f.Presence = flow.Sure
				}
			}
			s.Fields = append(s.Fields, f)
		}
		return s
	case "array":
		return flow.List(m.known(t.Of, depth-1))
	case "map":
		return flow.Of(flow.Object)
	}
	return flow.Of(t.kinds())
}

// kinds are the kinds of JSON that a type is written as.
func (t *shape) kinds() flow.Kinds {
	switch t.Type {
	case "object", "map":
		return flow.Object
	case "array":
		return flow.Array
	case "string":
		return flow.String
	case "integer", "number":
		return flow.Number
	case "boolean":
		return flow.Bool
	case "time":
		return flow.String | flow.Number
	}
	return flow.All
}
