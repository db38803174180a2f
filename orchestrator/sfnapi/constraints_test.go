package sfnapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestConstraints breaks every constraint of every member of every request, wherever
// in it the member is, one at a time.
func TestConstraints(t *testing.T) {
	type shape struct {
		Type, Pattern, Of string
		Min, Max          *int64
		Bytes, Secret     bool
		Values, Members   []string
	}
	var model struct {
		Operations map[string]string
		Shapes     map[string]shape
	}
	data, err := os.ReadFile("model/requests.json")
	if err == nil {
		err = json.Unmarshal(data, &model)
	}
	if err != nil {
		t.Fatal(err)
	}

	// good is a value that breaks nothing.
	var good func(name string) any
	good = func(name string) any {
		s := model.Shapes[name]
		switch s.Type {
		case "structure":
			all := object{}
			for _, m := range s.Members {
				if name, of, _ := strings.Cut(m, " "); strings.HasSuffix(name, "!") {
					all[strings.TrimSuffix(name, "!")] = good(of)
				}
			}
			return all
		case "list":
			return []any{good(s.Of)}
		case "string":
			if s.Values != nil {
				return s.Values[0]
			}
			if strings.HasPrefix(s.Pattern, "^") { // of a name, which has no colon
				return "a"
			}
			return "arn:aws:states"
		case "boolean":
			return true
		}
		if s.Min != nil {
			return *s.Min
		}
		return 1
	}

	api := serve(t, newJournal(t))
	cases := 0
	// refused makes a call that must be refused.
	refused := func(operation string, params any, want string) {
		t.Helper()
		cases++
		status, out := api.call(operation, params)
		if got := fmt.Sprintf("%d %v: %v", status, out["__type"], out["message"]); got != "400 "+want {
			t.Errorf("%s %.200v\n got %.300s\nwant 400 %.300s", operation, params, got, want)
		}
	}

	// broken breaks the constraints of a value; with makes the request that has it.
	var broken func(operation, of, at string, required bool, with func(v any) any)
	broken = func(operation, of, at string, required bool, with func(v any) any) {
		s := model.Shapes[of]
		breaks := func(v any, told, constraint string) {
			if told = " '" + told + "'"; s.Secret {
				told = ""
			}
			refused(operation, with(v), "ValidationException: 1 validation error detected: Value"+told+" at '"+at+"' failed to satisfy constraint: Member must "+constraint)
		}
		unread := func(v any, why string) { refused(operation, with(v), "SerializationException: "+why) }
		if required {
			told := " null"
			if s.Secret {
				told = ""
			}
			refused(operation, with(nil), "ValidationException: 1 validation error detected: Value"+told+" at '"+at+"' failed to satisfy constraint: Member must not be null")
		}
		switch s.Type {
		case "structure":
			unread("x", "Expected null")
			unread([]int{}, "Start of list found where not expected")
			for _, m := range s.Members {
				name, inner, _ := strings.Cut(m, " ")
				name, must := strings.CutSuffix(name, "!")
				broken(operation, inner, strings.TrimPrefix(at+"."+name, "."), must, func(v any) any {
					all := good(of).(object)
					all[name] = v
					return with(all)
				})
			}
		case "list":
			unread(7, "Expected list or null")
			unread(object{}, "Start of structure or map found where not expected.")
			if s.Min != nil {
				breaks([]any{}, "[]", fmt.Sprintf("have length greater than or equal to %d", *s.Min))
			}
			if model.Shapes[s.Of].Type == "structure" {
				broken(operation, s.Of, at+".2.member", true, func(v any) any { return with([]any{good(s.Of), v}) })
				break
			}
			each := model.Shapes[s.Of]
			breaks([]any{"a", ""}, "[a, ]", fmt.Sprintf("satisfy constraint: [Member must have length less than or equal to %d, Member must have length greater than or equal to %d]", *each.Max, *each.Min))
		case "string":
			unread(7, "NUMBER_VALUE can not be converted to a String")
			unread(true, "TRUE_VALUE can not be converted to a String")
			unread(object{}, "Start of structure or map found where not expected.")
			if s.Values != nil {
				breaks("other", "other", "satisfy enum value set: ["+strings.Join(s.Values, ", ")+"]")
			}
			if s.Max != nil {
				long, unit, measure := strings.Repeat(good(of).(string), int(*s.Max)+1)[:*s.Max+1], "", "length"
				if s.Bytes {
					unit, measure = " bytes in UTF-8 encoding", "size"
				}
				breaks(long, long, fmt.Sprintf("have %s less than or equal to %d%s", measure, *s.Max, unit))
			}
			switch {
			case strings.HasPrefix(s.Pattern, "^"):
				breaks("12", "12", "satisfy regular expression pattern: "+s.Pattern)
			case s.Pattern != "":
				breaks("é", "é", "satisfy regular expression pattern: "+s.Pattern)
			case s.Min != nil && *s.Min > 0 && s.Values == nil:
				breaks("", "", fmt.Sprintf("have length greater than or equal to %d", *s.Min))
			}
		case "boolean":
			unread("x", "STRING_VALUE can not be converted to a Boolean")
		default:
			unread("x", "STRING_VALUE can not be converted to "+map[string]string{"integer": "an Integer", "long": "a Long", "float": "a Float"}[s.Type])
			if s.Min != nil {
				breaks(*s.Min-1, fmt.Sprint(*s.Min-1), fmt.Sprintf("have value greater than or equal to %d", *s.Min))
			}
			if s.Max != nil {
				breaks(*s.Max+1, fmt.Sprint(*s.Max+1), fmt.Sprintf("have value less than or equal to %d", *s.Max))
			}
		}
	}
	for _, operation := range slices.Sorted(maps.Keys(model.Operations)) {
		for _, m := range model.Shapes[model.Operations[operation]].Members {
			name, of, _ := strings.Cut(m, " ")
			name, must := strings.CutSuffix(name, "!")
			broken(operation, of, name, must, func(v any) any {
				all := good(model.Operations[operation]).(object)
				all[name] = v
				return all
			})
		}
	}
	if cases < 600 {
		t.Errorf("%d requests are too few", cases)
	}
	t.Logf("%d requests to %d operations", cases, len(model.Operations))
}
