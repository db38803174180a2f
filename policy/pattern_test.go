package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anneal-ml/anneal"
)

// TestPatterns asks of each trigger what it asks of an event, and shows it events:
// whatever wakes the policy fits a pattern.
func TestPatterns(t *testing.T) {
	const key = "event.data.object.key"
	for _, c := range []struct {
		event string // of the trigger
		want  string // the patterns
	}{
		{`{type: Object Created}`, `{"event.type":["== Object Created"]}`},
		{`{source: aws.s3, match: "event.type == 'Object Deleted'"}`, `{"event.source":["== aws.s3"],"event.type":["== Object Deleted"]}`},
		{`{match: "` + key + `.startsWith('a/')"}`, `{"` + key + `":["prefix a/"]}`},
		{`{match: "` + key + `.startsWith('a/') && ` + key + `.startsWith('a/b/')"}`, `{"` + key + `":["prefix a/b/"]}`},
		{`{match: "` + key + ` == 'a' || ` + key + `.startsWith('b')"}`, `{"` + key + `":["== a","prefix b"]}`},
		{`{match: "` + key + ` == 'a' || event.data.n >= 2"}`, `{"` + key + `":["== a"]} {"event.data.n":[">= 2"]}`},
		{`{match: "` + key + ` != 'a'"}`, `{"` + key + `":["!= a"]}`},
		{`{match: "` + key + ` != 'a' || ` + key + ` == 'b'"}`, `{"` + key + `":["!= a"]} {"` + key + `":["== b"]}`},
		{`{match: "!(` + key + ` == 'a')"}`, `{}`},
		{`{match: "` + key + `.endsWith('a')"}`, `{}`},
		{`{match: "` + key + `.endsWith('a') || ` + key + ` == 'b'"}`, `{}`},
		{`{match: "` + key + `.endsWith('a') && ` + key + ` == 'b'"}`, `{"` + key + `":["== b"]}`},
		{`{match: "event.data.ok == true && 3 > event.data.n"}`, `{"event.data.n":["< 3"],"event.data.ok":["== true"]}`},
	} {
		p := compile(t, `
  triggers: [{id: t, event: `+c.event+`}]
  rules: [{id: r, if: "true"}]
`)
		patterns := p.Patterns(0)
		if got := asked(patterns); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.event, got, c.want)
		}
		for _, data := range []string{`{"object":{"key":"a"}}`, `{"object":{"key":"a/b/c"}}`, `{"object":{"key":"b"}}`, `{"n":2,"ok":true}`, `{"n":9}`, `{}`} {
			for _, typ := range []string{"Object Created", "Object Deleted"} {
				e := anneal.Event{ID: "1", Source: "aws.s3", Type: typ, Seen: time.Unix(0, 0), Data: json.RawMessage(data)}
				_, woken, _ := p.Matches(e)
				if woken && !slices.ContainsFunc(patterns, func(x Pattern) bool { return fits(t, x, e) }) {
					t.Errorf("%s is woken by %s %s, which no pattern lets through: %s", c.event, typ, data, asked(patterns))
				}
			}
		}
	}
}

func asked(patterns []Pattern) string {
	var all []string
	for _, p := range patterns {
		tests := map[string][]string{}
		for path, list := range p {
			for _, x := range list {
				tests[path] = append(tests[path], fmt.Sprint(x.Is, " ", x.Value))
			}
		}
		text, _ := json.Marshal(tests) // texts can be encoded
		all = append(all, strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(string(text)))
	}
	return strings.Join(all, " ")
}

// fits says what EventBridge would.
func fits(t *testing.T, p Pattern, e anneal.Event) bool {
	t.Helper()
	var data any
	if err := json.Unmarshal(e.Data, &data); err != nil {
		t.Fatal(err)
	}
	event := map[string]any{"source": e.Source, "type": e.Type, "data": data}
	for path, tests := range p {
		var at any = event
		for _, step := range strings.Split(path, ".")[1:] {
			m, _ := at.(map[string]any)
			at = m[step]
		}
		if at == nil || !slices.ContainsFunc(tests, func(x Test) bool { return passes(x, at) }) {
			return false
		}
	}
	return true
}

func passes(x Test, value any) bool {
	number, _ := value.(float64)
	limit, _ := x.Value.(float64)
	switch x.Is {
	case "==":
		return value == x.Value
	case "!=":
		return value != x.Value
	case "prefix":
		text, ok := value.(string)
		return ok && strings.HasPrefix(text, x.Value.(string))
	case "<":
		return number < limit
	case "<=":
		return number <= limit
	case ">":
		return number > limit
	}
	return number >= limit
}
