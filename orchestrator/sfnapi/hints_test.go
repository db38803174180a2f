package sfnapi_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestHints reads as what the service warns of, and where.
func TestHints(t *testing.T) {
	s := serve(t, newJournal(t))
	for _, c := range []struct{ state, want string }{
		{`{"Type":"Pass","Parameters":{"a.$":"$.x","b":"x","c":[{"d":1}]},"End":true}`, ""},
		{`{"Type":"Pass","Parameters":{"a":"$.x","b":{"c":"$$.Execution.Id"},"d":[{"e":"States.UUID()"}]},"End":true}`,
			"NO_DOLLAR /States/S/Parameters/a, NO_DOLLAR /States/S/Parameters/b/c, NO_DOLLAR /States/S/Parameters/d[0]/e"},
		{`{"Type":"Pass","Result":{"a":["$.x"]},"End":true}`, "PASS_RESULT_IS_STATIC /States/S/Result"},
		{`{"Type":"Pass","Result":{"a.$":"x"},"End":true}`, "PASS_RESULT_IS_STATIC /States/S/Result"},
		{`{"Type":"Pass","Result":{"a":"$5"},"End":true}`, ""},
		{`{"Type":"Fail","Error":"$.error","CausePath":"$.cause"}`, "NO_PATH /States/S/Error"},
		{`{"Type":"Choice","Choices":[{"And":[{"Variable":"$.a","StringEquals":"$.b"}],"Next":"T"}],"Default":"T"}`, "NO_PATH /States/S/Choices[0]/And[0]/StringEquals"},
		{`{"Type":"Pass","QueryLanguage":"JSONata","Output":{"a":"$.x"},"End":true}`, ""},
		{`{"Type":"Parallel","Branches":[{"StartAt":"P","States":{"P":{"Type":"Pass","Parameters":{"a":"$"},"End":true}}}],"End":true}`, "NO_DOLLAR /States/S/Branches[0]/States/P/Parameters/a"},
	} {
		definition := fmt.Sprintf(`{"StartAt":"S","States":{"S":%s}}`, c.state)
		if strings.Contains(c.state, `"T"`) {
			definition = fmt.Sprintf(`{"StartAt":"S","States":{"S":%s,"T":{"Type":"Succeed"}}}`, c.state)
		}
		for severity, want := range map[string]string{"WARNING": c.want, "ERROR": ""} {
			_, out := s.call("ValidateStateMachineDefinition", object{"definition": definition, "severity": severity})
			var all []string
			found, _ := out["diagnostics"].([]any)
			for _, d := range found {
				d := d.(map[string]any)
				all = append(all, fmt.Sprint(d["code"], " ", d["location"]))
			}
			if got := strings.Join(all, ", "); got != want || out["result"] != "OK" {
				t.Errorf("%s\n got %s %s\nwant OK %s", c.state, out["result"], got, want)
			}
		}
	}
}
