package controller_test

import (
	"testing"

	"github.com/anneal-ml/anneal/policy"
)

// compiled is the policy of a spec that is sound.
func compiled(tb testing.TB, spec policy.Spec) *policy.Policy {
	tb.Helper()
	p, problems := policy.Compile(spec)
	if len(problems) > 0 {
		tb.Fatal(spec.Metadata.Name, problems)
	}
	return p
}

// written is the policy that is written as JSON.
func written(tb testing.TB, text string) *policy.Policy {
	tb.Helper()
	spec, err := policy.ParseSpec([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return compiled(tb, spec)
}
