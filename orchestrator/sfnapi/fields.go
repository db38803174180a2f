package sfnapi

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// requestModel is what requests must be like, cut out of AWS's own API model by
// model/cut.py.
//
//go:embed model/requests.json
var requestModel []byte

// A shape is what a member of a request must be like. A bound that is nil is none.
type shape struct {
	Type     string // string, integer, long, float, boolean, list or structure
	Min, Max *int64 // of a text or a list, its length; of a number, its value
	Bytes    bool   // the length is in bytes of UTF-8
	Values   []string
	Pattern  string
	Secret   bool // its value is not told
	Of       string
	Members  []string // NAME SHAPE or NAME! SHAPE, which must be there

	name    string
	of      *shape
	members []member
}

type member struct {
	name     string
	required bool
	shape    *shape
	of       string // name of the shape
}

// requests are the shapes of the requests, by operation.
var requests = sync.OnceValue(func() map[string]*shape {
	var model struct {
		Operations map[string]string
		Shapes     map[string]*shape
	}
	if err := json.Unmarshal(requestModel, &model); err != nil {
		panic(err) // unreachable: it is embedded
	}
	for name, s := range model.Shapes {
		s.name, s.of = name, model.Shapes[s.Of]
		for _, text := range s.Members {
			name, of, _ := strings.Cut(text, " ")
			name, required := strings.CutSuffix(name, "!")
			s.members = append(s.members, member{name, required, model.Shapes[of], of})
		}
	}
	all := map[string]*shape{}
	for operation, of := range model.Operations {
		all[operation] = model.Shapes[of]
	}
	return all
})

// patterns are those of the model, each with what keeps it.
var patterns = map[string]func(string) bool{
	`^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$`: func(s string) bool {
		digits := strings.TrimLeft(s, "0123456789")
		return digits != "" && strings.IndexFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r))
		}) < 0
	},
	`[!-~]+`: func(s string) bool {
		return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < '!' || r > '~' }) < 0
	},
	`\p{ASCII}*`: func(s string) bool {
		return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
	},
}

// readRequest reads a request, and says what is wrong with it: first what cannot be
// read, then the ARN that it is about, then all constraints that it breaks.
func (s *shape) readRequest(body []byte) (members, error) {
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' {
		return nil, unreadable("Start of list found where not expected")
	}
	given, ok := membersOf(body)
	if !ok {
		return nil, unreadable("the request is not a JSON object")
	}
	return given, s.check(given)
}

// check is what is wrong with the members of a request.
func (s *shape) check(given members) error {
	var c constraints
	for _, m := range s.members {
		c.member(given.of(m.name), m.name, m)
	}
	if c.unreadable != "" {
		return unreadable(c.unreadable)
	}
	for _, m := range s.members {
		if !m.about() {
			continue
		}
		if text := given.text(m.name); text != "" {
			if err := checkPrefix(text); err != nil {
				return err
			}
		}
	}
	if len(c.broken) > 0 {
		return violated(c.broken)
	}
	return nil
}

// about reports whether a member is the ARN of what the request is about.
func (m member) about() bool {
	return (m.of == "Arn" || m.of == "LongArn") && m.name != "roleArn"
}

func unreadable(why string) error { return refuse("SerializationException", "%s", why) }

// constraints are what is wrong with a request.
type constraints struct {
	unreadable string // the first thing that is of another type
	broken     []string
}

func (c *constraints) member(raw json.RawMessage, at string, m member) {
	switch {
	case !null(raw):
		c.value(raw, at, m.shape)
	case m.required && m.shape.Secret:
		c.broken = append(c.broken, fmt.Sprintf("Value at '%s' failed to satisfy constraint: Member must not be null", at))
	case m.required:
		c.broken = append(c.broken, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", at))
	}
}

func null(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func (c *constraints) value(raw json.RawMessage, at string, s *shape) {
	if why := s.misread(raw); why != "" {
		if c.unreadable == "" {
			c.unreadable = why
		}
		return
	}
	switch s.Type {
	case "structure":
		given, _ := membersOf(raw) // it is one
		for _, m := range s.members {
			c.member(given.of(m.name), at+"."+m.name, m)
		}
	case "list":
		var items []json.RawMessage
		json.Unmarshal(raw, &items) // it is one
		c.bounded(s, at, int64(len(items)), func() string { return s.written(raw) })
		if s.of.Type == "string" {
			c.texts(items, raw, at, s)
			return
		}
		for i, item := range items {
			c.member(item, at+"."+strconv.Itoa(i+1)+".member", member{shape: s.of, required: true})
		}
	case "integer", "long", "float":
		var n float64
		json.Unmarshal(raw, &n) // it is one
		below, above := s.Min != nil && n < float64(*s.Min), s.Max != nil && n > float64(*s.Max)
		if below {
			c.breaks(s, at, string(raw), "have value greater than or equal to %d", *s.Min)
		}
		if above {
			c.breaks(s, at, string(raw), "have value less than or equal to %d", *s.Max)
		}
	case "string":
		if s.Values == nil && s.Pattern == "" && (s.Max == nil || int64(len(raw)-2) <= *s.Max) && (s.Min == nil || *s.Min == 0 || *s.Min == 1 && len(raw) > 2) {
			return // as most: it has no more letters than bytes
		}
		var text string
		json.Unmarshal(raw, &text) // it is one
		s.text(text, func(format string, args ...any) { c.breaks(s, at, text, format, args...) })
	}
}

// text tells breaks of each constraint that a text breaks.
func (s *shape) text(text string, breaks func(format string, args ...any)) {
	n := int64(utf8.RuneCountInString(text))
	switch {
	case s.Bytes && int64(len(text)) > *s.Max:
		breaks("have size less than or equal to %d bytes in UTF-8 encoding", *s.Max)
	case !s.Bytes && s.Max != nil && n > *s.Max:
		breaks("have length less than or equal to %d", *s.Max)
	case s.Min != nil && n < *s.Min:
		breaks("have length greater than or equal to %d", *s.Min)
	}
	if s.Values != nil && !slices.Contains(s.Values, text) {
		breaks("satisfy enum value set: [%s]", strings.Join(s.Values, ", "))
	}
	if s.Pattern != "" && !patterns[s.Pattern](text) {
		breaks("satisfy regular expression pattern: %s", s.Pattern)
	}
}

// texts holds a list of texts to what each of them must be like, which the service
// tells of the list, and whole.
func (c *constraints) texts(items []json.RawMessage, raw json.RawMessage, at string, s *shape) {
	broken := false
	for _, item := range items {
		var text string
		if why := s.of.misread(item); why != "" && !null(item) {
			c.unreadable = why
			return
		}
		json.Unmarshal(item, &text) // it is one, or null
		s.of.text(text, func(string, ...any) { broken = true })
	}
	if broken {
		c.breaks(s, at, s.written(raw), "satisfy constraint: [Member must have length less than or equal to %d, Member must have length greater than or equal to %d]", *s.of.Max, *s.of.Min)
	}
}

func (c *constraints) bounded(s *shape, at string, n int64, value func() string) {
	if s.Max != nil && n > *s.Max {
		c.breaks(s, at, value(), "have length less than or equal to %d", *s.Max)
	}
	if s.Min != nil && n < *s.Min {
		c.breaks(s, at, value(), "have length greater than or equal to %d", *s.Min)
	}
}

func (c *constraints) breaks(s *shape, at, value, format string, args ...any) {
	told := " '" + value + "'"
	if s.Secret {
		told = ""
	}
	c.broken = append(c.broken, fmt.Sprintf("Value%s at '%s' failed to satisfy constraint: Member must ", told, at)+fmt.Sprintf(format, args...))
}

// kinds are what the texts of JSON values begin with, as the service calls them; else
// it is a number.
var kinds = map[byte]string{'"': "STRING_VALUE", 't': "TRUE_VALUE", 'f': "FALSE_VALUE", '[': "list", '{': "structure"}

// readAs are which kinds are read as a type, and what the service calls that.
var readAs = map[string]struct {
	kinds []string
	as    string
}{
	"structure": {[]string{"structure"}, ""},
	"list":      {[]string{"list"}, ""},
	"string":    {[]string{"STRING_VALUE"}, "a String"},
	"boolean":   {[]string{"TRUE_VALUE", "FALSE_VALUE"}, "a Boolean"},
	"float":     {[]string{"NUMBER_VALUE"}, "a Float"},
	"integer":   {[]string{"NUMBER_VALUE"}, "an Integer"},
	"long":      {[]string{"NUMBER_VALUE"}, "a Long"},
}

// misread says how the service tells that a value is of another type; empty: it is
// not.
func (s *shape) misread(raw json.RawMessage) string {
	kind := cmp.Or(kinds[raw[0]], "NUMBER_VALUE")
	read := readAs[s.Type]
	whole := true
	if s.Type == "integer" || s.Type == "long" {
		var n int64
		whole = json.Unmarshal(raw, &n) == nil
	}
	switch {
	case slices.Contains(read.kinds, kind) && whole:
		return ""
	case kind == "structure":
		return "Start of structure or map found where not expected."
	case kind == "list":
		return "Start of list found where not expected"
	case s.Type == "list":
		return "Expected list or null"
	case s.Type == "structure":
		return "Expected null"
	}
	return kind + " can not be converted to " + read.as
}

// written is a value as the service tells it: as Java writes lists and objects.
func (s *shape) written(raw json.RawMessage) string {
	switch s.Type {
	case "list":
		var items []json.RawMessage
		json.Unmarshal(raw, &items) // it is one
		var all []string
		for _, item := range items {
			all = append(all, s.of.written(item))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case "structure":
		given, _ := membersOf(raw) // it is one, or null
		var all []string
		for _, m := range s.members {
			value := "null"
			if v := given.of(m.name); !null(v) {
				value = m.shape.written(v)
			}
			all = append(all, m.name+"="+value)
		}
		return s.name + "(" + strings.Join(all, ", ") + ")"
	}
	var text string
	if s.Secret {
		return "***"
	}
	if json.Unmarshal(raw, &text) == nil && raw[0] == '"' {
		return text
	}
	return string(raw)
}
