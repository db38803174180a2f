package wire

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A ParameterError is what is wrong with parameters, in the words of Step
// Functions.
type ParameterError []string

func (e ParameterError) Error() string { return strings.Join(e, ", ") }

// A message is a request before it is signed.
type message struct {
	method, path string // the path is escaped
	query        url.Values
	header       http.Header
	body         []byte
	bucket       string // of S3
}

// A writer writes parameters into a message.
type writer struct {
	m        *model
	out      message
	problems ParameterError
}

// encode writes the request of an operation.
func (m *model) encode(op operation, params value.Value) (message, error) {
	w := &writer{m: m, out: message{method: op.Method, query: url.Values{}, header: http.Header{}}}
	if w.out.method == "" {
		w.out.method = http.MethodPost
	}
	if params.Kind() != value.Object && params.Kind() != value.Null {
		return message{}, ParameterError{"the Parameters must be an object"}
	}
	in := m.Shapes[op.In]
	if in == nil {
		in = &shape{Type: "object"}
	}
	params = w.object(in, params)
	if len(w.problems) > 0 {
		return message{}, w.problems
	}
	path := w.place(op, in, params)
	w.out.path, _, _ = strings.Cut(path, "?")
	switch m.Protocol {
	case "json":
		w.out.header.Set("Content-Type", "application/x-amz-json-"+m.JSON)
		w.out.header.Set("X-Amz-Target", m.Target+"."+op.Name)
		w.out.body = value.OfObject(w.json(in, params)...).Append(nil)
	case "query":
		form := url.Values{"Action": {op.Name}, "Version": {m.Version}}
		w.form(form, "", op.In, params)
		w.out.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		w.out.body = []byte(form.Encode())
	default:
		w.rest(op, in, params)
	}
	if len(w.problems) > 0 {
		return message{}, w.problems
	}
	return w.out, nil
}

// object gives parameters the names of the model, without what is null, and
// notes what the model does not know.
func (w *writer) object(s *shape, params value.Value) value.Value {
	var members []value.Member
	for i := range params.Len() {
		m, ok := s.named(params.Key(i))
		if !ok {
			w.problems = append(w.problems, fmt.Sprintf("The field '%s' is not supported by Step Functions", params.Key(i)))
			continue
		}
		if v := params.At(i); v.Kind() != value.Null {
			members = append(members, value.Member{Key: m.name, Value: w.value(m.name, m.shape, v)})
		}
	}
	return value.OfObject(members...)
}

// value makes a value what the model says it is. Where it cannot be that, it
// is noted.
func (w *writer) value(name, of string, v value.Value) value.Value {
	wrong := func(kind string) value.Value {
		w.problems = append(w.problems, fmt.Sprintf("The value for the field '%s' must be a %s", name, kind))
		return value.Value{}
	}
	switch kind, _, _ := strings.Cut(of, ":"); kind {
	case "string", "json":
		if v.Kind() == value.String {
			return v
		}
		return value.OfString(v.String()) // JSON becomes text
	case "integer", "number":
		if v.Kind() == value.String {
			if n, err := value.ParseString(v.Text()); err == nil {
				v = n
			}
		}
		if _, whole := v.Int(); v.Kind() != value.Number || kind == "integer" && !whole {
			return wrong(strings.ToUpper(kind))
		}
		return v
	case "boolean":
		if v.Kind() == value.String && (v.Text() == "true" || v.Text() == "false") {
			return value.OfBool(v.Text() == "true")
		}
		if v.Kind() != value.Bool {
			return wrong("BOOLEAN")
		}
		return v
	case "blob":
		return v // the place decides
	case "time":
		if v.Kind() == value.String {
			if _, err := time.Parse(time.RFC3339, v.Text()); err == nil {
				return v
			}
		}
		if v.Kind() != value.Number {
			return wrong("TIMESTAMP")
		}
		return v
	}
	s := w.m.Shapes[of]
	switch s.Type {
	case "object":
		if v.Kind() != value.Object {
			return wrong("STRUCTURE")
		}
		return w.object(s, v)
	case "array":
		if v.Kind() != value.Array {
			return wrong("LIST")
		}
		items := make([]value.Value, 0, v.Len())
		for i := range v.Len() {
			items = append(items, w.value(name, s.Of, v.At(i)))
		}
		return value.OfArray(items)
	default: // a map
		if v.Kind() != value.Object {
			return wrong("MAP")
		}
		var members []value.Member
		for i := range v.Len() {
			members = append(members, value.Member{Key: v.Key(i), Value: w.value(name, s.Of, v.At(i))})
		}
		return value.OfObject(members...)
	}
}

// place puts into path, query and headers what belongs there.
func (w *writer) place(op operation, s *shape, params value.Value) (path string) {
	path = op.URI
	if path == "" {
		path = "/"
	}
	plain, query, _ := strings.Cut(path, "?")
	path = plain
	for _, part := range strings.Split(query, "&") {
		if name, v, _ := strings.Cut(part, "="); name != "" {
			w.out.query.Set(name, v)
		}
	}
	for i := range params.Len() {
		m, _ := s.member(params.Key(i))
		v := params.At(i)
		switch m.place {
		case "uri":
			text := scalar(m.shape, v)
			if text == "" {
				w.problems = append(w.problems, fmt.Sprintf("The value for the field '%s' must not be empty", m.name))
			}
			if m.as == "Bucket" && w.m.ID == "S3" {
				w.out.bucket = text
			}
			path = strings.ReplaceAll(path, "{"+m.as+"}", escape(text, ""))
			path = strings.ReplaceAll(path, "{"+m.as+"+}", escape(text, "/"))
		case "query":
			switch inner := w.m.Shapes[m.shape]; {
			case inner == nil:
				w.out.query.Set(m.as, scalar(m.shape, v))
			case inner.Type == "array":
				for _, x := range v.Items() {
					w.out.query.Add(m.as, scalar(inner.Of, x))
				}
			default:
				for k := range v.Len() {
					w.out.query.Set(v.Key(k), scalar(inner.Of, v.At(k)))
				}
			}
		case "header":
			text := scalar(m.shape, v)
			if inner := w.m.Shapes[m.shape]; inner != nil {
				var all []string
				for _, x := range v.Items() {
					all = append(all, scalar(inner.Of, x))
				}
				text = strings.Join(all, ",")
			}
			w.out.header.Set(m.as, text)
		case "headers":
			for k := range v.Len() {
				w.out.header.Set(m.as+v.Key(k), scalar("string", v.At(k)))
			}
		}
	}
	if at := strings.IndexByte(path, '{'); at >= 0 {
		name := strings.TrimRight(path[at+1:at+strings.IndexByte(path[at:], '}')], "+")
		w.problems = append(w.problems, fmt.Sprintf("The field '%s' is required but was missing", name))
	}
	return path
}

// escape percent-encodes all but the unreserved letters of RFC 3986 and others.
func escape(s, others string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~"+others, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// scalar is a scalar as text.
func scalar(of string, v value.Value) string {
	kind, form, _ := strings.Cut(of, ":")
	switch {
	case kind == "time":
		return stamp(form, v)
	case kind == "blob":
		return base64.StdEncoding.EncodeToString(blob(v))
	case kind == "json": // a value of JSON in a header
		return base64.StdEncoding.EncodeToString([]byte(v.Text()))
	case v.Kind() == value.String:
		return v.Text()
	}
	return v.String()
}

// stamp is a time in one of the forms of the models.
func stamp(form string, v value.Value) string {
	t := time.Unix(0, int64(v.Float()*1e9)).UTC()
	if v.Kind() == value.String {
		t, _ = time.Parse(time.RFC3339, v.Text()) // which writer.value has tried
	}
	switch form {
	case "rfc822":
		return t.UTC().Format(http.TimeFormat)
	case "unixTimestamp":
		return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', -1, 64)
	}
	return t.UTC().Format("2006-01-02T15:04:05.999Z")
}

// blob is the bytes of a member that is one: text that is base64, other text, and
// anything else as JSON.
func blob(v value.Value) []byte {
	if v.Kind() != value.String {
		return v.Append(nil)
	}
	if data, err := base64.StdEncoding.DecodeString(v.Text()); err == nil {
		return data
	}
	return []byte(v.Text())
}

// json is the members of an object that belong into the body.
func (w *writer) json(s *shape, v value.Value) []value.Member {
	var members []value.Member
	for i := range v.Len() {
		if m, _ := s.member(v.Key(i)); m.place == "body" {
			members = append(members, value.Member{Key: m.as, Value: w.jsonValue(m.shape, v.At(i))})
		}
	}
	return members
}

func (w *writer) jsonValue(of string, v value.Value) value.Value {
	kind, form, _ := strings.Cut(of, ":")
	switch {
	case kind == "blob":
		return value.OfString(base64.StdEncoding.EncodeToString(blob(v)))
	case kind == "time" && form == "unixTimestamp":
		n, _ := value.ParseString(stamp(form, v))
		return n
	case kind == "time":
		return value.OfString(stamp(form, v))
	}
	s := w.m.Shapes[of]
	switch {
	case s == nil:
		return v
	case s.Type == "object":
		return value.OfObject(w.json(s, v)...)
	case s.Type == "array":
		items := make([]value.Value, 0, v.Len())
		for _, x := range v.Items() {
			items = append(items, w.jsonValue(s.Of, x))
		}
		return value.OfArray(items)
	}
	var members []value.Member
	for i := range v.Len() {
		members = append(members, value.Member{Key: v.Key(i), Value: w.jsonValue(s.Of, v.At(i))})
	}
	return value.OfObject(members...)
}

// form writes a value of the query protocol below a prefix.
func (w *writer) form(form url.Values, prefix, of string, v value.Value) {
	s := w.m.Shapes[of]
	under := func(name string) string {
		if prefix == "" {
			return name
		}
		return prefix + "." + name
	}
	switch {
	case s == nil && prefix == "": // an operation without parameters
	case s == nil:
		form.Set(prefix, scalar(of, v))
	case s.Type == "object":
		for i := range v.Len() {
			m, _ := s.member(v.Key(i))
			w.form(form, under(m.as), m.shape, v.At(i))
		}
	case s.Type == "array":
		item := s.Item
		if item == "" {
			item = "member"
		}
		for i, x := range v.Items() {
			w.form(form, under(item+"."+strconv.Itoa(i+1)), s.Of, x)
		}
	default:
		key, item := s.Key, s.Item
		if key == "" {
			key = "key"
		}
		if item == "" {
			item = "value"
		}
		for i := range v.Len() {
			entry := under("entry." + strconv.Itoa(i+1))
			form.Set(entry+"."+key, v.Key(i))
			w.form(form, entry+"."+item, s.Of, v.At(i))
		}
	}
}

// rest writes the body of a request of REST: the payload, or what belongs
// nowhere else.
func (w *writer) rest(op operation, s *shape, params value.Value) {
	xmlBody := w.m.Protocol == "rest-xml"
	if s.Payload != "" {
		m, _ := s.member(s.Payload)
		v, ok := params.Find(m.name)
		switch {
		case !ok:
		case m.shape == "blob" || m.shape == "string":
			// What is written is JSON, of a text too.
			w.out.body = v.Append(nil)
			if w.out.header.Get("Content-Type") == "" && !xmlBody {
				w.out.header.Set("Content-Type", "application/octet-stream")
			}
		case xmlBody:
			w.out.header.Set("Content-Type", "application/xml")
			w.out.body = w.xml(nil, m.as, s.Namespace, m.shape, v)
		default:
			w.out.header.Set("Content-Type", "application/json")
			w.out.body = w.jsonValue(m.shape, v).Append(nil)
		}
		return
	}
	inBody := false
	for i := range params.Len() {
		m, _ := s.member(params.Key(i))
		inBody = inBody || m.place == "body" || m.place == "flat"
	}
	switch {
	case !inBody:
	case xmlBody:
		w.out.header.Set("Content-Type", "application/xml")
		w.out.body = w.xml(nil, op.Root, op.Namespace, op.In, params)
	default:
		w.out.header.Set("Content-Type", "application/json")
		w.out.body = value.OfObject(w.json(s, params)...).Append(nil)
	}
}

// xml appends an element.
func (w *writer) xml(dst []byte, name, namespace, of string, v value.Value) []byte {
	s := w.m.Shapes[of]
	open := "<" + name
	if namespace != "" {
		open += ` xmlns="` + namespace + `"`
	}
	if s != nil && s.Type == "object" {
		for i := range v.Len() {
			if m, _ := s.member(v.Key(i)); m.place == "attribute" { // xsi:type is the only one there is
				prefix, _, _ := strings.Cut(m.as, ":")
				open += fmt.Sprintf(` xmlns:%s="http://www.w3.org/2001/XMLSchema-instance" %s="%s"`, prefix, m.as, xmlText(scalar(m.shape, v.At(i))))
			}
		}
	}
	dst = append(append(dst, open...), '>')
	switch {
	case s == nil:
		dst = append(dst, xmlText(scalar(of, v))...)
	case s.Type == "object":
		for i := range v.Len() {
			m, _ := s.member(v.Key(i))
			inner := w.m.Shapes[m.shape]
			switch {
			case m.place == "flat" && inner.Type == "array":
				for _, x := range v.At(i).Items() {
					dst = w.xml(dst, m.as, "", inner.Of, x)
				}
			case m.place == "body" || m.place == "flat":
				dst = w.xml(dst, m.as, "", m.shape, v.At(i))
			}
		}
	case s.Type == "array":
		item := s.Item
		if item == "" {
			item = "member"
		}
		for _, x := range v.Items() {
			dst = w.xml(dst, item, "", s.Of, x)
		}
	default:
		key, item := s.Key, s.Item
		if key == "" {
			key = "key"
		}
		if item == "" {
			item = "value"
		}
		for i := range v.Len() {
			dst = append(dst, "<entry>"...)
			dst = w.xml(dst, key, "", "string", value.OfString(v.Key(i)))
			dst = w.xml(dst, item, "", s.Of, v.At(i))
			dst = append(dst, "</entry>"...)
		}
	}
	return append(dst, "</"+name+">"...)
}

func xmlText(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}
