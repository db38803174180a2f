package web

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/notify/webhook"
	"github.com/anneal-ml/anneal/policy"
)

// The closed sets of the nouns.
var (
	verdicts = []anneal.Verdict{
		anneal.VerdictRun, anneal.VerdictWouldRun, anneal.VerdictHold, anneal.VerdictDefer,
		anneal.VerdictAwaitApproval, anneal.VerdictSuppressed, anneal.VerdictError,
	}
	runStatuses = []anneal.Status{
		anneal.StatusPending, anneal.StatusRunning, anneal.StatusSucceeded,
		anneal.StatusFailed, anneal.StatusTimedOut, anneal.StatusAborted,
	}
	stages = []anneal.Stage{
		anneal.StageCandidate, anneal.StageShadow, anneal.StageCanary, anneal.StageLive, anneal.StageRetired,
	}
	sets = map[reflect.Type][]string{
		reflect.TypeFor[anneal.Verdict]():      texts(verdicts...),
		reflect.TypeFor[anneal.Status]():       texts(runStatuses...),
		reflect.TypeFor[anneal.Stage]():        texts(stages...),
		reflect.TypeFor[anneal.Result]():       texts(anneal.True, anneal.False, anneal.Unknown),
		reflect.TypeFor[anneal.SignalStatus](): texts(anneal.SignalOK, anneal.SignalMissing, anneal.SignalStale, anneal.SignalFailed),
		reflect.TypeFor[anneal.NoticeKind](): texts(anneal.NoticeDecided, anneal.NoticeStarted, anneal.NoticeSucceeded, anneal.NoticeFailed, anneal.NoticePromoted,
			anneal.NoticeHeld, anneal.NoticeParked, anneal.NoticeMessage, anneal.NoticeResolved),
		reflect.TypeFor[policy.Mode](): texts(policy.Observe, policy.Enforce, policy.Paused),
	}
)

// object is a JSON object of the description.
type object = map[string]any

// parameterForms describe the parameters of a query.
func parameterForms(noun, name string) object {
	form := object{"name": name, "in": "query"}
	switch name {
	case "limit":
		form["schema"] = object{"type": "integer", "minimum": 0, "default": 100}
		form["description"] = "how many at most; 0: all"
	case "cursor":
		form["schema"] = object{"type": "string"}
		form["description"] = "where a page ended, from its header " + Cursor
	case "status":
		form["schema"] = object{"type": "string", "enum": statuses[noun]}
		form["description"] = "only those"
	case "since":
		form["schema"] = object{"type": "string"}
		form["description"] = "only those of this time and later: RFC 3339, or how long ago, such as 36h"
	default:
		form["schema"] = object{"type": "string"}
		form["description"] = "only those of this " + name
	}
	return form
}

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// openapi answers with the description of the API in OpenAPI 3.1.
func (h *handler) openapi(w http.ResponseWriter, r *http.Request) {
	s := schemas{}
	paths := object{}
	for _, of := range h.api {
		item, _ := paths[of.path].(object)
		if item == nil {
			item = object{}
			paths[of.path] = item
		}
		item[strings.ToLower(of.method)] = of.describe(s)
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(object{ // a peer that is gone needs no answer
		"openapi": "3.1.0",
		"info": object{
			"title":   "anneal",
			"version": "v1",
			"description": "What the journal holds, and what can be asked of the daemon. Lists are arrays, newest first. " +
				"Where the daemon has tokens, each request needs one; those that write need one with the role admin.",
		},
		"paths":    paths,
		"webhooks": object{"notice": object{"post": noticeWebhook(s)}},
		"security": []object{{}, {"bearer": []string{}}},
		"components": object{
			"schemas":         s,
			"securitySchemes": object{"bearer": object{"type": "http", "scheme": "bearer"}},
		},
	})
}

func (of route) describe(s schemas) object {
	noun := strings.TrimPrefix(of.path, "/api/v1/")
	parameters := []object{}
	for _, name := range inPath.FindAllStringSubmatch(of.path, -1) {
		parameters = append(parameters, object{"name": name[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, name := range of.query {
		parameters = append(parameters, parameterForms(noun, name))
	}
	success := object{"description": "done", "content": object{"application/json": object{"schema": s.of(of.answer)}}}
	if _, text := of.answer.(string); text {
		success["content"] = object{"text/plain": object{"schema": object{"type": "string"}}}
	}
	if len(of.query) > 0 {
		success["headers"] = object{Cursor: object{
			"description": "the cursor of the next page; absent on the last", "schema": object{"type": "string"},
		}}
	}
	status := "200"
	if of.status == http.StatusAccepted {
		status = "202"
	}
	operation := object{
		"operationId": operationID(of),
		"summary":     of.about,
		"parameters":  parameters,
		"responses": object{
			status:    success,
			"default": object{"description": "refused", "content": object{"application/problem+json": object{"schema": s.of(Error{})}}},
		},
	}
	if of.body != nil {
		operation["requestBody"] = object{"content": object{"application/json": object{"schema": s.of(of.body)}}}
	}
	return operation
}

// operationID is the path's words, and what is done where they do not say it.
func operationID(of route) string {
	words := strings.FieldsFunc(inPath.ReplaceAllString(strings.TrimPrefix(of.path, "/api/v1/"), ""), func(r rune) bool { return r == '/' })
	switch {
	case of.method == http.MethodPost && len(words) == 1:
		words = append(words, "create")
	case of.method == http.MethodGet && strings.HasSuffix(of.path, "}"):
		words = append(words, "show")
	case len(words) == 1:
		words = append(words, "list")
	}
	return strings.Join(words, "-")
}

// noticeWebhook describes what a channel `webhook` posts.
func noticeWebhook(s schemas) object {
	header := func(name, about string) object {
		return object{"name": name, "in": "header", "required": true, "description": about, "schema": object{"type": "string"}}
	}
	return object{
		"operationId": "notice",
		"summary":     "What a channel `webhook` under `notify` is sent, signed by Standard Webhooks",
		"parameters": []object{
			header("webhook-id", "the notice's ID: a message that comes again has the same"),
			header("webhook-timestamp", "seconds since 1970 of this try"),
			header("webhook-signature", "v1, and the base64 of the HMAC-SHA256 of id.timestamp.body"),
		},
		"requestBody": object{"required": true, "content": object{"application/cloudevents+json": object{"schema": s.of(webhook.Message{})}}},
		"responses": object{
			"2XX": object{"description": "taken"},
			"410": object{"description": "not wanted: this notice is given up"},
			"429": object{"description": "too many: tried again after Retry-After"},
			"5XX": object{"description": "tried again"},
		},
	}
}

// schemas are the JSON Schemas of Go types, by name. What encoding/json writes
// of a value is valid by the schema of its type.
type schemas map[string]any

// of is the schema of what v is an example of.
func (s schemas) of(v any) object {
	if list, ok := v.(listOf); ok {
		return object{"type": "array", "items": s.of(list.item)}
	}
	if t := reflect.TypeOf(v); t.Kind() == reflect.Slice { // an answer that is a list is never null
		return object{"type": "array", "items": s.schema(t.Elem())}
	}
	return s.schema(reflect.TypeOf(v))
}

func (s schemas) schema(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{} // any JSON
	case sets[t] != nil:
		return object{"type": "string", "enum": sets[t]}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return orNull(s.schema(t.Elem()))
	case reflect.Interface:
		return object{}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return orNull(object{"type": "array", "items": s.schema(t.Elem())})
	case reflect.Map:
		return orNull(object{"type": "object", "additionalProperties": s.schema(t.Elem())})
	case reflect.Struct:
		name := t.Name()
		if name == "" { // what is empty says that it is done
			return object{"type": "object"}
		}
		if _, known := s[name]; !known {
			s[name] = nil // a type may hold itself
			properties, required := object{}, []string{}
			s.fields(t, properties, &required)
			s[name] = object{"type": "object", "properties": properties, "required": required}
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	panic("unreachable: the API has no " + t.Kind().String())
}

// fields adds the fields of a struct as encoding/json has them.
func (s schemas) fields(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.fields(f.Type, properties, required)
		case name != "-" && f.IsExported():
			form := s.schema(f.Type)
			if strings.HasPrefix(options, "omit") {
				form = s.whenThere(f.Type)
			} else {
				*required = append(*required, name)
			}
			properties[name] = form
		}
	}
}

// whenThere is the schema of a field that is left out where it is empty.
func (s schemas) whenThere(t reflect.Type) object {
	if t.Kind() == reflect.Pointer {
		return s.schema(t.Elem())
	}
	form := s.schema(t)
	if either, ok := form["type"].([]string); ok {
		form["type"] = either[0]
	}
	return form
}

func orNull(form object) object {
	if name, ok := form["type"].(string); ok && form["enum"] == nil {
		form["type"] = []string{name, "null"}
		return form
	}
	return object{"anyOf": []object{form, {"type": "null"}}}
}
