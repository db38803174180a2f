package tasks

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// requestID is a UUID that is the same whenever it is made from the same parts.
func requestID(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80 // version 8, RFC 9562
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// result is the answer of an AWS service as Step Functions hands it on: the
// service's fields, and what the SDK saw of the exchange.
func result(effect string, fields map[string]any, contentType string, length int) asl.Outcome {
	out := map[string]any{}
	id := requestID("request", effect)
	headers := map[string]string{"Content-Type": contentType, "Content-Length": strconv.Itoa(length), "x-amzn-RequestId": id}
	all := map[string][]string{}
	for name, v := range headers {
		all[name] = []string{v}
	}
	out["SdkHttpMetadata"] = map[string]any{"AllHttpHeaders": all, "HttpHeaders": headers, "HttpStatusCode": 200}
	out["SdkResponseMetadata"] = map[string]string{"RequestId": id}
	maps.Copy(out, fields)
	return asl.Outcome{Output: encode(out)}
}

// awsError is an exception of an AWS service in the words of Step Functions.
func awsError(prefix, exception, message, service string, status int, code, effect string) asl.Outcome {
	return asl.Outcome{
		Error: prefix + "." + exception,
		Cause: fmt.Sprintf("%s (Service: %s; Status Code: %d; Error Code: %s; Request ID: %s; Proxy: null)", message, service, status, code, requestID("request", effect)),
	}
}

// encode writes JSON without HTML escapes, as AWS does.
func encode(v any) json.RawMessage {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // unreachable: plain data only
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n"))
}

// fields is what an action takes; Step Functions refuses what it does not
// know, what is missing, and what has the wrong type before it calls a service.
type fields []field

type field struct {
	name     string // a path with dots; `[]` goes into each element of a list
	kind     kind
	required bool
}

type kind string

const (
	anything kind = ""
	text     kind = "STRING"
	number   kind = "INTEGER"
	boolean  kind = "BOOLEAN"
	object   kind = "OBJECT"
	array    kind = "ARRAY"
	texts    kind = "a map of STRING" // an object of strings
)

// check says what is wrong with the input, or nothing.
func (fs fields) check(input json.RawMessage) string {
	var in map[string]any
	if err := json.Unmarshal(input, &in); err != nil {
		return "the Parameters must be an object"
	}
	known := map[string]bool{}
	var problems []string
	for _, f := range fs {
		first, _, _ := strings.Cut(strings.TrimSuffix(f.name, "[]"), ".")
		known[strings.TrimSuffix(first, "[]")] = true
		problems = append(problems, f.check(in, strings.Split(f.name, "."))...)
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if !known[name] {
			problems = append(problems, fmt.Sprintf("The field '%s' is not supported by Step Functions", name))
		}
	}
	return strings.Join(problems, ", ")
}

// check follows the path into in. What is missing above the last part is the
// problem of the field that requires it.
func (f field) check(in map[string]any, path []string) []string {
	name, each := strings.CutSuffix(path[0], "[]")
	v, ok := in[name]
	if !ok || v == nil {
		if len(path) == 1 && f.required && !ok {
			return []string{fmt.Sprintf("The field '%s' is required but was missing", name)}
		}
		return nil
	}
	if len(path) == 1 {
		return f.wrong(name, v)
	}
	inner := []any{v}
	if each {
		inner, _ = v.([]any)
	}
	var problems []string
	for _, i := range inner {
		if m, ok := i.(map[string]any); ok {
			problems = append(problems, f.check(m, path[1:])...)
		}
	}
	return problems
}

func (f field) wrong(name string, v any) []string {
	ok := true
	switch f.kind {
	case text:
		_, ok = v.(string)
	case number:
		n, isNumber := v.(float64)
		ok = isNumber && n == float64(int64(n))
	case boolean:
		_, ok = v.(bool)
	case object:
		_, ok = v.(map[string]any)
	case array:
		_, ok = v.([]any)
	case texts:
		m, isMap := v.(map[string]any)
		if !isMap {
			return []string{fmt.Sprintf("The value for the field '%s' must be a %s", name, object)}
		}
		var problems []string
		for _, key := range slices.Sorted(maps.Keys(m)) {
			problems = append(problems, field{kind: text}.wrong(key, m[key])...)
		}
		return problems
	}
	if !ok {
		return []string{fmt.Sprintf("The value for the field '%s' must be a %s", name, f.kind)}
	}
	return nil
}
