package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/triggers/envelope"
)

// errOwnSource is an event that only anneal itself may make.
var errOwnSource = errors.New("names that begin with anneal. are anneal's own")

// decode makes the event of a verified request of path. Identity is the
// request's own, at its time. It is a pure function; an error says what in the
// request is wrong.
func decode(path string, h http.Header, body []byte, identity string, at, now time.Time) (anneal.Event, error) {
	if h.Get("ce-specversion") != "" || h.Get("ce-id") != "" {
		structured, err := fromBinary(h, body)
		if err != nil {
			return anneal.Event{}, err
		}
		return cloudEvent(structured, now)
	}
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if media == "application/cloudevents-batch+json" {
		return anneal.Event{}, errors.New("Content-Type: a batch of CloudEvents is not taken; send each by itself")
	}
	// Many who send CloudEvents call them application/json.
	var fields map[string]json.RawMessage
	isObject := json.Unmarshal(body, &fields) == nil
	if media == "application/cloudevents+json" || isObject && fields["specversion"] != nil {
		if isObject && fields["specversion"] == nil {
			return anneal.Event{}, errors.New("specversion: is missing; want 1.0")
		}
		return cloudEvent(body, now)
	}
	data, err := envelope.Compact(body)
	if err != nil {
		if media == "application/x-www-form-urlencoded" {
			err = fmt.Errorf("%w; the Content-Type of a webhook is set where it is sent, to application/json", err)
		}
		return anneal.Event{}, err
	}
	kind := TypeReceived
	if name := h.Get("X-GitHub-Event"); name != "" {
		if kind = name; !eventName.MatchString(name) {
			return anneal.Event{}, errors.New("X-GitHub-Event: want up to 100 letters, digits and -._")
		}
	}
	return anneal.Event{
		SpecVersion:     "1.0",
		ID:              ownID(path, identity),
		Source:          sourcePrefix + path,
		Type:            kind,
		Time:            at.UTC(),
		DataContentType: "application/json",
		Data:            data,
		Seen:            now.UTC(),
	}, nil
}

var eventName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// parked is the event of a request that cannot be read, and why.
func parked(path string, body []byte, identity string, at, now time.Time, reason error) anneal.Event {
	return anneal.Event{
		SpecVersion: "1.0",
		ID:          ownID(path, identity),
		Source:      sourcePrefix + path,
		Type:        TypeReceived,
		Time:        at.UTC(),
		Seen:        now.UTC(),
		Parked:      reason.Error(),
		Raw:         body,
	}
}

func ownID(path, identity string) string { return anneal.ID("event", sourcePrefix+path, identity) }

// cloudEvent decodes the structured form.
func cloudEvent(body []byte, now time.Time) (anneal.Event, error) {
	var fields map[string]json.RawMessage
	var source string
	if json.Unmarshal(body, &fields) == nil && json.Unmarshal(fields["source"], &source) == nil && strings.HasPrefix(source, "anneal.") {
		return anneal.Event{}, fmt.Errorf("source: %q: %w", source, errOwnSource)
	}
	events, err := envelope.Decode(body, now)
	if err != nil {
		return anneal.Event{}, err
	}
	return events[0], nil // a body with specversion is one event
}

// fromBinary makes the structured form of an event in binary mode.
//
// Source: CloudEvents 1.0, HTTP protocol binding, section 3.1.
func fromBinary(h http.Header, body []byte) ([]byte, error) {
	all := make(map[string]string)
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "time"} {
		if h.Get("ce-"+name) == "" {
			continue
		}
		if n := len(h.Values("ce-" + name)); n > 1 {
			return nil, fmt.Errorf("ce-%s: comes %d times; want it once", name, n)
		}
		value, err := attribute(h.Get("ce-" + name))
		if err != nil {
			return nil, fmt.Errorf("ce-%s: %w", name, err)
		}
		all[name] = value
	}
	if all["specversion"] == "" {
		return nil, errors.New("ce-specversion: is missing; want 1.0")
	}
	return envelope.Structured(all, h.Get("Content-Type"), body)
}

// attribute decodes a header value: quotes first, then percent signs.
func attribute(value string) (string, error) {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		var b strings.Builder
		for i := 1; i < n-1; i++ {
			if value[i] == '\\' && i < n-2 {
				i++
			}
			b.WriteByte(value[i])
		}
		value = b.String()
	}
	text, err := url.PathUnescape(value)
	if err != nil {
		return "", errors.New("want a percent sign only before two hexadecimal digits")
	}
	if !utf8.ValidString(text) {
		return "", errors.New("want UTF-8")
	}
	return text, nil
}
