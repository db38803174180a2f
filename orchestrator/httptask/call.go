package httptask

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A Call is what a task asks for.
type Call struct {
	URL        *url.URL
	Method     string
	Connection string // its ARN
	ID         string // the same whenever the call is made again
	Headers    []Parameter
	Query      []Parameter

	body    *value.Value // nil: none
	encoded bool         // as a form
	arrays  string       // how a form has them
}

// A Parameter is a header, or a parameter of a query or of a body.
type Parameter struct {
	Name  string `json:"key"` // as EventBridge calls it
	Value string `json:"value"`
}

// methods are those that AWS takes.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodHead}

// The ways in which a form has arrays.
const (
	indices  = "INDICES"
	repeat   = "REPEAT"
	commas   = "COMMAS"
	brackets = "BRACKETS"
)

// Parse reads the parameters of a task, whose fields are of the right types. It says
// what is wrong with them, in the words of Step Functions where those are known.
func Parse(in value.Value) (c Call, problem string) {
	text := func(keys ...string) string {
		v := in
		for _, key := range keys {
			v, _ = v.Find(key)
		}
		return v.Text()
	}
	var err error
	c.Method = text("Method")
	if c.URL, err = ParseEndpoint(text("ApiEndpoint")); err != nil {
		return c, "The value for the 'ApiEndpoint' field is not valid: " + err.Error()
	}
	if !slices.Contains(methods, c.Method) {
		return c, invalid("Method", strings.Join(methods, ", "))
	}
	_, authentication := in.Find("Authentication")
	_, invocation := in.Find("InvocationConfig")
	switch {
	case authentication && invocation:
		return c, "Only one of the fields 'Authentication' and 'InvocationConfig' can be specified"
	case authentication:
		c.Connection = text("Authentication", "ConnectionArn")
	case invocation:
		c.Connection = text("InvocationConfig", "ConnectionArn")
	}
	if c.Connection == "" {
		return c, "The field 'ConnectionArn' is required but was missing"
	}
	if h, ok := in.Find("Headers"); ok {
		if c.Headers, problem = parseHeaders(h); problem != "" {
			return c, problem
		}
	}
	if q, ok := in.Find("QueryParameters"); ok {
		if c.Query, problem = parseQuery(q); problem != "" {
			return c, problem
		}
	}
	switch text("Transform", "RequestBodyEncoding") {
	case "", "NONE":
	case "URL_ENCODED":
		c.encoded = true
	default:
		return c, invalid("RequestBodyEncoding", "NONE, URL_ENCODED")
	}
	switch c.arrays = text("Transform", "RequestEncodingOptions", "ArrayFormat"); c.arrays {
	case "":
		c.arrays = indices
	case indices, repeat, commas, brackets:
	case "NONE":
		if c.encoded {
			return c, invalid("ArrayFormat", "INDICES, REPEAT, COMMAS, BRACKETS")
		}
	default:
		return c, invalid("ArrayFormat", "INDICES, REPEAT, COMMAS, BRACKETS")
	}
	if b, ok := in.Find("RequestBody"); ok && b.Kind() != value.Null {
		c.body = &b
	}
	return c, ""
}

func invalid(field, want string) string {
	return fmt.Sprintf("The value for the '%s' field is not valid: it must be one of %s", field, want)
}

// ParseEndpoint reads the URL of an API. http:// is let through: that it is only for
// some is the egress's to say.
func ParseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("it must be a URL, https://…")
	case numeric(u.Hostname()):
		return nil, errors.New("an address is written as 192.0.2.1 or [2001:db8::1]")
	case u.User != nil:
		return nil, errors.New("credentials are the connection's")
	case u.Fragment != "":
		return nil, errors.New("it has a fragment")
	}
	return u, nil
}

// numeric reports whether a host is a number that is no address in its usual form, as
// 2130706433 or 0x7f.1, which some take for one (WHATWG's URL standard, "ends in a
// number").
func numeric(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.TrimSuffix(host, ".")
	return number.MatchString(host[strings.LastIndexByte(host, '.')+1:])
}

var number = regexp.MustCompile(`^([0-9]+|0[xX][0-9a-fA-F]*)$`)

// unsupported are headers that a task may not have.
var unsupported = strings.Fields(`a-im accept-charset accept-datetime accept-encoding authorization cache-control connection
	content-encoding content-md5 date expect forwarded from host http2-settings if-match if-modified-since if-none-match
	if-range if-unmodified-since max-forwards origin pragma proxy-authorization referer server te trailer
	transfer-encoding upgrade via warning`)

// Unsupported are those of some headers that a task may not have, as AWS lists them.
func Unsupported(names []string) []string {
	var found []string
	for _, name := range names {
		l := strings.ToLower(name)
		if slices.Contains(unsupported, l) || strings.HasPrefix(l, "x-forwarded-") || strings.HasPrefix(l, "x-amz-") || strings.HasPrefix(l, "x-amzn-") {
			found = append(found, l)
		}
	}
	slices.Sort(found)
	return found
}

// Refused says that a task has headers that it may not have.
func Refused(headers []string) string {
	return fmt.Sprintf("The 'Headers' field contains unsupported values: [%s]", strings.Join(headers, ", "))
}

// What a header is made of: RFC 9110, sections 5.1 and 5.5.
var (
	headerName  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
	headerValue = regexp.MustCompile(`^[^\x00-\x08\x0a-\x1f\x7f]*$`)
)

func parseHeaders(v value.Value) (all []Parameter, problem string) {
	const form = "The value of the field 'Headers' has an invalid format"
	if v.Kind() != value.Object {
		return nil, form
	}
	var names []string
	for i := range v.Len() {
		names = append(names, v.Key(i))
		values := []value.Value{v.At(i)}
		if v.At(i).Kind() == value.Array {
			values = v.At(i).Items()
		}
		for _, x := range values {
			text, ok := scalar(x)
			if !ok || !headerName.MatchString(v.Key(i)) || !headerValue.MatchString(text) {
				return nil, form
			}
			all = append(all, Parameter{v.Key(i), text})
		}
	}
	if found := Unsupported(names); len(found) > 0 {
		return nil, Refused(found)
	}
	return all, ""
}

// parseQuery reads an object, whose values may be lists and objects, or a query as
// it stands in a URL.
func parseQuery(v value.Value) (all []Parameter, problem string) {
	const form = "The value of the field 'QueryParameters' has an invalid format"
	switch v.Kind() {
	case value.Object:
		return fields(v, repeat), ""
	case value.String:
		for part := range strings.SplitSeq(strings.TrimPrefix(v.Text(), "?"), "&") {
			if part == "" {
				continue
			}
			name, x, _ := strings.Cut(part, "=")
			n, err := url.QueryUnescape(name)
			if err != nil {
				return nil, form
			}
			if x, err = url.QueryUnescape(x); err != nil {
				return nil, form
			}
			all = append(all, Parameter{n, x})
		}
		return all, ""
	}
	return nil, form
}

// scalar is a value as text; lists and objects are none.
func scalar(v value.Value) (string, bool) {
	switch v.Kind() {
	case value.Array, value.Object:
		return "", false
	case value.Null:
		return "", true
	case value.String:
		return v.Text(), true
	}
	return v.String(), true
}

// fields are the fields of a form: what is inside of objects is key[name], arrays are
// as one of the ways has them.
func fields(v value.Value, arrays string) []Parameter {
	var all []Parameter
	var walk func(key string, v value.Value)
	walk = func(key string, v value.Value) {
		switch {
		case v.Kind() == value.Object:
			for i := range v.Len() {
				name := v.Key(i)
				if key != "" {
					name = key + "[" + name + "]"
				}
				walk(name, v.At(i))
			}
		case v.Kind() == value.Array && arrays == commas:
			var parts []string
			for _, x := range v.Items() {
				text, ok := scalar(x)
				if !ok {
					text = x.String()
				}
				parts = append(parts, text)
			}
			all = append(all, Parameter{key, strings.Join(parts, ",")})
		case v.Kind() == value.Array:
			for i, x := range v.Items() {
				name := key
				switch arrays {
				case indices:
					name = fmt.Sprintf("%s[%d]", key, i)
				case brackets:
					name += "[]"
				}
				walk(name, x)
			}
		default:
			text, _ := scalar(v)
			all = append(all, Parameter{key, text})
		}
	}
	walk("", v)
	return all
}

// encode writes fields as a query or a form has them, a space as %20.
func encode(all []Parameter) string {
	var b strings.Builder
	for i, p := range all {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(escape(p.Name) + "=" + escape(p.Value))
	}
	return b.String()
}

func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
