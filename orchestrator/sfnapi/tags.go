package sfnapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/anneal-ml/anneal/journal"
)

// maxTags is how many tags a resource may have.
const maxTags = 50

func checkTags(tags []tag) error {
	var problems []string
	seen := map[string]bool{}
	for i, t := range tags {
		for _, part := range []struct {
			name string
			text *string
		}{{"key", t.Key}, {"value", t.Value}} {
			if part.text == nil {
				problems = append(problems, fmt.Sprintf("Value null at 'tags.%d.member.%s' failed to satisfy constraint: Member must not be null", i+1, part.name))
			}
		}
		if t.Key == nil {
			continue
		}
		switch {
		case seen[*t.Key]:
			return invalid("Duplicate tag key: %s", *t.Key)
		case strings.HasPrefix(strings.ToLower(*t.Key), "aws:"):
			return invalid("aws: prefixed tag key names are not allowed for external use: %s", *t.Key)
		case t.Value != nil && !tagText(*t.Key+*t.Value):
			return invalid("Tags may only contain Unicode letters, digits, white space, or these symbols: _ . : / = + - @: %s", *t.Key)
		}
		seen[*t.Key] = true
	}
	if len(problems) > 0 {
		return violated(problems)
	}
	if len(tags) > maxTags {
		return tooManyTags()
	}
	return nil
}

// tagText reports whether a text has only what tags may have.
func tagText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsSpace(r) && !strings.ContainsRune("_.:/=+-@", r)
	}) < 0
}

func tooManyTags() error {
	return refuse("TooManyTags", "A resource may have at most %d tags", maxTags)
}

type tagInput struct {
	ARN  string   `json:"resourceArn"`
	Tags []tag    `json:"tags"`
	Keys []string `json:"tagKeys"`
}

func noResource(arn string) error { return refuse("ResourceNotFound", "Resource not found: '%s'", arn) }

// tagged is a resource that can have tags.
func (s *Server) tagged(text string) (a arn, tags []tag, err error) {
	if a, err = parseARN(text, "stateMachine", "activity"); err != nil {
		return a, nil, err
	}
	if a.kind == "activity" {
		s.mu.Lock()
		act, ok := s.fold.Activities[a.name()]
		s.mu.Unlock()
		if !ok {
			return a, nil, noResource(text)
		}
		return a, act.Tags, nil
	}
	m, ok := s.machine(a.name())
	if !ok || a.qualifier() != "" {
		return a, nil, noResource(text)
	}
	return a, m.Tags, nil
}

func (s *Server) retag(ctx context.Context, text string, f func([]tag) ([]tag, error)) error {
	a, _, err := s.tagged(text)
	if err != nil {
		return err
	}
	if a.kind == "activity" {
		return s.changeActivity(ctx, a.name(), func(x *activity) (err error) {
			x.Tags, err = f(slices.Clone(x.Tags))
			return err
		})
	}
	return s.change(ctx, a, func(m *machine) (bool, []journal.Record, error) {
		tags, err := f(slices.Clone(m.Tags))
		m.Tags = tags
		return true, nil, err
	})
}

func (s *Server) tagResource(ctx context.Context, in tagInput) (any, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	return nothing{}, s.retag(ctx, in.ARN, func(tags []tag) ([]tag, error) {
		for _, t := range in.Tags {
			tags = slices.DeleteFunc(tags, func(o tag) bool { return *o.Key == *t.Key })
		}
		if tags = append(tags, in.Tags...); len(tags) > maxTags {
			return nil, tooManyTags()
		}
		return tags, nil
	})
}

func (s *Server) untagResource(ctx context.Context, in tagInput) (any, error) {
	return nothing{}, s.retag(ctx, in.ARN, func(tags []tag) ([]tag, error) {
		return slices.DeleteFunc(tags, func(t tag) bool { return slices.Contains(in.Keys, *t.Key) }), nil
	})
}

func (s *Server) listTagsForResource(_ context.Context, in tagInput) (any, error) {
	_, tags, err := s.tagged(in.ARN)
	return struct {
		Tags []tag `json:"tags"`
	}{append([]tag{}, tags...)}, err
}
