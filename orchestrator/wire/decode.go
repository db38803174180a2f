package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A reader reads answers into what Step Functions gives of them.
type reader struct {
	m      *model
	millis bool // times are numbers, as in optimized integrations
}

// decode reads the answer of an operation.
func (r *reader) decode(op operation, status int, header http.Header, body []byte) (value.Value, error) {
	s := r.m.Shapes[op.Out]
	if s == nil {
		return value.OfObject(), nil
	}
	members := r.head(s, status, header)
	if s.Payload != "" {
		m, _ := s.member(s.Payload)
		switch inner := r.m.Shapes[m.shape]; {
		case inner == nil:
			return value.OfObject(append(members, value.Member{Key: m.name, Value: text(body)})...), nil
		case len(bytes.TrimSpace(body)) == 0:
			return value.OfObject(members...), nil
		default:
			v, err := r.body(m.shape, body, "")
			return value.OfObject(append(members, value.Member{Key: m.name, Value: v})...), err
		}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return value.OfObject(members...), nil
	}
	v, err := r.body(op.Out, body, op.Wrapper)
	for i := range v.Len() {
		members = append(members, value.Member{Key: v.Key(i), Value: v.At(i)})
	}
	return value.OfObject(members...), err
}

// head is what status and headers tell.
func (r *reader) head(s *shape, status int, header http.Header) (members []value.Member) {
	for name := range s.Members {
		m, _ := s.member(name)
		switch m.place {
		case "status":
			members = append(members, value.Member{Key: name, Value: value.OfInt(int64(status))})
		case "header":
			if all := header.Values(m.as); len(all) > 0 {
				members = append(members, value.Member{Key: name, Value: r.scalar(m.shape, all[0])})
			}
		case "headers":
			var inner []value.Member
			for key, all := range header {
				if len(key) > len(m.as) && strings.EqualFold(key[:len(m.as)], m.as) {
					inner = append(inner, value.Member{Key: strings.ToLower(key[len(m.as):]), Value: value.OfString(all[0])})
				}
			}
			slices.SortFunc(inner, byKey)
			members = append(members, value.Member{Key: name, Value: value.OfObject(inner...)})
		}
	}
	slices.SortFunc(members, byKey)
	return members
}

func byKey(a, b value.Member) int { return strings.Compare(a.Key, b.Key) }

// text is bytes as text: as they are, or in base64 where they are no text.
func text(data []byte) value.Value {
	if utf8.Valid(data) {
		return value.OfString(string(data))
	}
	return value.OfString(base64.StdEncoding.EncodeToString(data))
}

// body reads a body of JSON or XML.
func (r *reader) body(of string, body []byte, wrapper string) (value.Value, error) {
	if strings.HasSuffix(r.m.Protocol, "json") {
		v, err := value.Parse(body)
		if err != nil {
			return value.Value{}, fmt.Errorf("the answer is not JSON: %w", err)
		}
		return r.json(of, v), nil
	}
	root, err := parseXML(body)
	if err != nil {
		return value.Value{}, fmt.Errorf("the answer is not XML: %w", err)
	}
	if wrapper != "" {
		if inner := root.child(wrapper); inner != nil {
			root = inner
		}
	}
	if s := r.m.Shapes[of]; s.Type == "object" && len(s.Members) == 1 { // GetBucketLocation is the text of its root
		for name := range s.Members {
			if m, _ := s.member(name); r.m.Shapes[m.shape] == nil && m.place == "body" && len(root.children) == 0 && root.text != "" {
				return value.OfObject(value.Member{Key: name, Value: r.scalar(m.shape, root.text)}), nil
			}
		}
	}
	return r.xml(of, root), nil
}

// json reads a value that JSON holds. What the model does not know is left out.
func (r *reader) json(of string, v value.Value) value.Value {
	s := r.m.Shapes[of]
	if s == nil {
		if kind, _, _ := strings.Cut(of, ":"); kind == "time" && v.Kind() == value.Number {
			return r.time(time.UnixMicro(int64(v.Float() * 1e6)))
		} else if kind == "time" || kind == "number" && v.Kind() == value.String {
			return r.scalar(of, v.Text())
		}
		return v
	}
	var members []value.Member
	switch s.Type {
	case "object":
		wanted := map[string]member{}
		for name := range s.Members {
			if m, _ := s.member(name); m.place == "body" {
				wanted[m.as] = m
			}
		}
		for i := range v.Len() {
			if m, ok := wanted[v.Key(i)]; ok && v.Kind() == value.Object && v.At(i).Kind() != value.Null {
				members = append(members, value.Member{Key: m.name, Value: r.json(m.shape, v.At(i))})
			}
		}
	case "array":
		items := make([]value.Value, 0, v.Len())
		for _, x := range v.Items() {
			items = append(items, r.json(s.Of, x))
		}
		return value.OfArray(items)
	default:
		for i := range v.Len() {
			if v.Kind() == value.Object {
				members = append(members, value.Member{Key: v.Key(i), Value: r.json(s.Of, v.At(i))})
			}
		}
	}
	return value.OfObject(members...)
}

// scalar reads a scalar that text holds.
func (r *reader) scalar(of, s string) value.Value {
	kind, form, _ := strings.Cut(of, ":")
	switch kind {
	case "integer", "number":
		if n, err := value.ParseString(s); err == nil && n.Kind() == value.Number {
			return n
		}
	case "boolean":
		return value.OfBool(s == "true")
	case "time":
		if n, err := strconv.ParseFloat(s, 64); err == nil {
			return r.time(time.UnixMicro(int64(n * 1e6)))
		}
		layout := time.RFC3339
		if form == "rfc822" {
			layout = http.TimeFormat
		}
		if t, err := time.Parse(layout, s); err == nil {
			return r.time(t)
		}
	}
	return value.OfString(s)
}

// time is a time as the SDK of Java writes it: to the second, or to three or six
// digits of one.
func (r *reader) time(t time.Time) value.Value {
	t = t.UTC()
	switch {
	case r.millis:
		return value.OfInt(t.UnixMilli())
	case t.Nanosecond() == 0:
		return value.OfString(t.Format("2006-01-02T15:04:05Z"))
	case t.Nanosecond()%1e6 == 0:
		return value.OfString(t.Format("2006-01-02T15:04:05.000Z"))
	}
	return value.OfString(t.Format("2006-01-02T15:04:05.000000Z"))
}

// An element is one of XML, with names without their namespace.
type element struct {
	name     string
	text     string
	attr     map[string]string
	children []*element
}

func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// deepest is how deep elements of an answer may be.
const deepest = 100

func parseXML(data []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	top := &element{}
	open := []*element{top}
	for {
		token, err := d.Token()
		if err == io.EOF && len(top.children) == 1 {
			return top.children[0], nil
		}
		if err != nil {
			return nil, err
		}
		at := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			if len(open) > deepest {
				return nil, fmt.Errorf("elements more than %d deep", deepest)
			}
			e := &element{name: t.Name.Local}
			for _, a := range t.Attr {
				if e.attr == nil {
					e.attr = map[string]string{}
				}
				e.attr[a.Name.Local] = a.Value
			}
			at.children = append(at.children, e)
			open = append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			at.text += string(t)
		}
	}
}

// xml reads a value that an element holds.
func (r *reader) xml(of string, e *element) value.Value {
	s := r.m.Shapes[of]
	switch {
	case s == nil:
		return r.scalar(of, e.text)
	case s.Type == "object":
		var members []value.Member
		for name := range s.Members {
			m, _ := s.member(name)
			inner := r.m.Shapes[m.shape]
			switch {
			case m.place == "attribute":
				_, local, _ := strings.Cut(m.as, ":")
				if v, ok := e.attr[local]; ok {
					members = append(members, value.Member{Key: name, Value: r.scalar(m.shape, v)})
				}
			case m.place == "flat" && inner.Type == "array":
				var items []value.Value
				for _, c := range e.children {
					if c.name == m.as {
						items = append(items, r.xml(inner.Of, c))
					}
				}
				if items != nil {
					members = append(members, value.Member{Key: name, Value: value.OfArray(items)})
				}
			case m.place == "body" || m.place == "flat":
				if c := e.child(m.as); c != nil {
					members = append(members, value.Member{Key: name, Value: r.xml(m.shape, c)})
				}
			}
		}
		slices.SortFunc(members, byKey)
		return value.OfObject(members...)
	case s.Type == "array":
		items := make([]value.Value, 0, len(e.children))
		for _, c := range e.children {
			items = append(items, r.xml(s.Of, c))
		}
		return value.OfArray(items)
	}
	key, item := s.Key, s.Item
	if key == "" {
		key = "key"
	}
	if item == "" {
		item = "value"
	}
	var members []value.Member
	for _, c := range e.children {
		if k, v := c.child(key), c.child(item); k != nil && v != nil {
			members = append(members, value.Member{Key: k.text, Value: r.xml(s.Of, v)})
		}
	}
	return value.OfObject(members...)
}
