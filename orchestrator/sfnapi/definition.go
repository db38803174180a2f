package sfnapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
	"github.com/anneal-ml/anneal/orchestrator/integrations"
)

// A diagnostic is one thing that is wrong with a definition, as the service
// tells it.
type diagnostic struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	Location string `json:"location,omitempty"`
}

// The codes of diagnostics.
const (
	codeSchema      = "SCHEMA_VALIDATION_FAILED"
	codeJSON        = "INVALID_JSON_DESCRIPTION"
	codeTarget      = "MISSING_TRANSITION_TARGET"
	codeEnd         = "MISSING_END_STATE"
	codeDuplicate   = "DUPLICATE_STATE_NAME"
	codeStateName   = "INVALID_STATE_NAME"
	codeLabel       = "INVALID_LABEL_NAME"
	codeDoubleLabel = "DUPLICATE_LABEL_NAME"
	codeDeep        = "TOO_DEEPLY_NESTED"
	codeInvalid     = "INVALID_JSONATA_EXPRESSION"
	codeUnknown     = "UNSUPPORTED_JSONATA_EXPRESSION"
)

// refuseDefinition is the error that a definition is answered with when it
// cannot be used.
func refuseDefinition(definition, kind string) error {
	var all []string
	for _, d := range diagnose(definition, kind) {
		if d.Severity != "ERROR" {
			continue
		}
		told := d.Code + ": " + d.Message
		switch {
		case d.Code == codeEnd:
			told += " at null" // it has no place
		case d.Location != "" && d.Code != codeJSON:
			told += " at " + d.Location
		}
		all = append(all, told)
	}
	if len(all) == 0 {
		return nil
	}
	return refuse("InvalidDefinition", "Invalid State Machine Definition: '%s'", strings.Join(all, ", "))
}

// diagnose says what is wrong with a definition, in the service's words where
// they are known.
func diagnose(definition, kind string) []diagnostic {
	wrong := func(code, message, location string) []diagnostic {
		return []diagnostic{{"ERROR", code, message, location}}
	}
	if strings.TrimSpace(definition) == "" {
		return wrong(codeSchema, "Definition must be a valid JSON object", "")
	}
	if message, line, column := jackson(definition); message != "" {
		where := source(definition, line, column)
		return wrong(codeJSON, message+"\n at "+where, where)
	}
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(definition), &members) != nil || members == nil {
		return wrong(codeSchema, "Definition must be a valid JSON object", "")
	}
	m, err := asl.Parse([]byte(definition), "definition")
	found := []diagnostic{}
	var problems asl.Problems
	if m != nil {
		problems = m.Warnings
	}
	errors.As(err, &problems)
	if missing := lacking(members); missing != "" {
		found = append(found, diagnostic{"ERROR", codeSchema, "These fields are required: [" + missing + "]", "/"})
	}
	for _, p := range problems {
		if p.Pointer == "" && strings.HasPrefix(p.Message, `must have "St`) {
			continue // it is lacking
		}
		found = append(found, translate(p))
	}
	if slices.ContainsFunc(found, func(d diagnostic) bool { return d.Code == codeEnd }) { // then nobody asks what can be reached
		found = slices.DeleteFunc(found, func(d diagnostic) bool { return strings.HasSuffix(d.Message, " is not reachable.") })
		slices.SortStableFunc(found, func(a, b diagnostic) int { return cmp.Compare(ends(a), ends(b)) })
	}
	// Where credentials lack a field, the service does not say what they have too many.
	lacks := map[string]bool{}
	for _, d := range found {
		lacks[d.Location] = lacks[d.Location] || strings.HasSuffix(d.Message, "is required but was missing")
	}
	found = slices.DeleteFunc(found, func(d diagnostic) bool {
		return unsupported.MatchString(d.Message) && lacks[d.Location]
	})
	found = together(found)
	if err == nil { // and so not nested too deep
		var language string
		json.Unmarshal(members["QueryLanguage"], &language) // else it is JSONPath
		found = append(found, taskDiagnostics(members["States"], "/States", kind, language)...)
	}
	return found
}

// ends is 1 for the diagnostic that the service puts behind the others.
func ends(d diagnostic) int {
	if d.Code == codeEnd {
		return 1
	}
	return 0
}

// required is what is said of a field that an object must have and does not.
var required = regexp.MustCompile(`^These fields are required: \[(.*)\]$`)

// together tells at once of all fields that an object lacks.
func together(all []diagnostic) []diagnostic {
	at := map[string]int{} // where an object is told of
	var told []diagnostic
	for _, d := range all {
		match := required.FindStringSubmatch(d.Message)
		if i, again := at[d.Location]; match != nil && again {
			told[i].Message = strings.Replace(told[i].Message, "[", "["+match[1]+", ", 1)
			continue
		}
		if match != nil {
			at[d.Location] = len(told)
		}
		told = append(told, d)
	}
	return told
}

// lacking are the members that a definition has none of and must have.
func lacking(members map[string]json.RawMessage) string {
	var missing []string
	for _, name := range []string{"States", "StartAt"} {
		if _, ok := members[name]; !ok {
			missing = append(missing, name)
		}
	}
	return strings.Join(missing, ", ")
}

// unsupported is a field that an object does not have.
var unsupported = regexp.MustCompile(`^Field '.*' is not supported$`)

// What the language allows and the service does not.
var (
	foreign = regexp.MustCompile(`^"(.*)" is the ARN of nothing that AWS runs`)
	endless = regexp.MustCompile(`^no state ends the state machine`)
	mixed   = regexp.MustCompile(`^Step Functions does not take a state in JSONPath where`)
)

// placeholder is what is filled in in a message of the service.
var placeholder = regexp.MustCompile(`\$(?:key|\d|\$)`)

// words are how the service says what the language's parser says in its own. A
// $1 in the message is the first group, $key the last member of the location and $$
// a dollar sign; "up" is how many members of the pointer
// its location has less.
var words = []struct {
	pattern *regexp.Regexp
	code    string
	message string
	up      int
}{
	{regexp.MustCompile(`^must have "(\w+)"`), codeSchema, "These fields are required: [$1]", 0},
	{regexp.MustCompile(`^States\.ALL must (?:stand alone|come last)$`), codeSchema, "States.ALL must appear alone and at end of list", 0},
	{regexp.MustCompile(`^there is another state "(.*)"; names must differ`), codeDuplicate, "Duplicate State name: $1", 0},
	{regexp.MustCompile(`^(a state's name must .*)$`), codeStateName, "$1", 0},
	{regexp.MustCompile(`^(must (?:have 1 to \d+ characters|not have the character).*)$`), codeLabel, "$1", 0},
	{regexp.MustCompile(`^(nested deeper than .*)$`), codeDeep, "$1", 0},
	{regexp.MustCompile(`^must be a time of RFC 3339`), codeSchema, "String does not match RFC3339 timestamp", 0},
	{regexp.MustCompile(`^"(.*)" is not a state`), codeTarget, "Missing 'Next' target: $1", 0},
	{regexp.MustCompile(`^nothing leads to this state`), codeTarget, `State "$key" is not reachable.`, 0},
	{endless, codeEnd, "Workflow has no terminal state", 0},
	{regexp.MustCompile(` has no field "(.*)" \(`), codeSchema, "Field '$1' is not supported", 1},
	{regexp.MustCompile(`^(\w+) belongs to (\w+), and this \w+ is in (\w+)`), codeSchema, "The QueryLanguage is set to '$3', but field '$1' is only supported for the '$2' QueryLanguage", 1},
	{regexp.MustCompile(`^has "(\w+)" and "(\w+)": only one`), codeSchema, "There should only be one of the following fields: [$1, $2]", 0},
	{regexp.MustCompile(`^there is another Map with the label "(.*)"; labels must differ`), codeDoubleLabel, "Duplicate Label name: $1", 0},
	{regexp.MustCompile(`; want a Reference Path`), codeSchema, "Value is not a Reference Path", 0},
	{regexp.MustCompile(`^not a JSONata expression: (.*) \(\w+, at character \d+ of the expression\)$`), codeInvalid, "$1", 0},
	{regexp.MustCompile(`^there is nothing at \$\.([^.:]+)`), codeUnknown, "Reference to '$1' at the top level is not supported.", 0},
	{regexp.MustCompile(`^\$states has no "(\w+)"`), codeUnknown, "Field '$$states.$1' does not exist.", 0},
	{regexp.MustCompile(`^there is no \$states\.(errorOutput) here`), codeUnknown, "Field '$$states.$1' does not exist.", 0},
	{regexp.MustCompile(`^(must be "JSONPath" or .*)$`), codeSchema, "$1", 0},
	{mixed, codeSchema, "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine", 1},
	{foreign, codeSchema, "The resource provided $1 is not recognized. The value is not a valid resource ARN, or the resource is not available in this region.", 0},
	{regexp.MustCompile(`^"(.*)" is not the ARN of an integration`), codeSchema, "The resource provided $1 is not recognized. The value is not a valid resource ARN, or the resource is not available in this region.", 0},
	{regexp.MustCompile(`^(?:not an? (?:path|JSONPath)|not a JSONPath|.*intrinsic function|.*JSONPath)`), codeSchema, "The value for the field '$key' must be a valid JSONPath or a valid intrinsic function call", 1},
}

// bounded is what is said of an integer that is out of bounds.
var bounded = regexp.MustCompile(`^must be an integer from (-?\d+) to (\d+), not (-?\d+)$`)

// bound is the bound that an integer is beyond.
func bound(match []string) string {
	n, err := strconv.ParseInt(match[3], 10, 64)
	if least, _ := strconv.ParseInt(match[1], 10, 64); err == nil && n < least || strings.HasPrefix(match[3], "-") {
		return "Minimum value is " + match[1]
	}
	return "Maximum value is " + match[2]
}

// elements are the places in arrays, which the service writes as in Choices[0].
var elements = regexp.MustCompile(`/(Choices|And|Or|Catch|Retry|ErrorEquals|Branches)/(\d+)`)

func translate(p asl.Problem) diagnostic {
	d := diagnostic{Severity: strings.ToUpper(string(p.Severity)), Code: codeSchema, Message: p.Message, Location: elements.ReplaceAllString(p.Pointer, "/$1[$2]")}
	steps := strings.Split(d.Location, "/")
	if foreign.MatchString(p.Message) || endless.MatchString(p.Message) || mixed.MatchString(p.Message) {
		p.Severity, d.Severity = asl.SeverityError, strings.ToUpper(string(asl.SeverityError))
	}
	for _, w := range words {
		if p.Severity != asl.SeverityError {
			break
		}
		match := w.pattern.FindStringSubmatch(p.Message)
		if match == nil {
			continue
		}
		key := steps[len(steps)-1]
		d.Code = w.code
		d.Message = placeholder.ReplaceAllStringFunc(w.message, func(what string) string {
			switch what {
			case "$key":
				return key
			case "$$":
				return "$"
			}
			n, _ := strconv.Atoi(what[1:]) // as the pattern has it
			return match[n]
		})
		if match := required.FindStringSubmatch(d.Message); match != nil && key == "Credentials" {
			d.Message = "The field '" + match[1] + "' is required but was missing"
		}
		if w.up > 0 && len(steps) > 1 {
			d.Location = strings.Join(steps[:len(steps)-w.up], "/")
		}
		break
	}
	if match := bounded.FindStringSubmatch(p.Message); match != nil {
		d.Message = bound(match)
	}
	switch {
	case d.Code == codeEnd:
		d.Location = ""
	case d.Location == "":
		d.Location = "/"
	}
	return d
}

// taskDiagnostics are the tasks that a machine of this kind, in this language, cannot
// have.
func taskDiagnostics(states json.RawMessage, at, kind, language string) []diagnostic {
	type machine struct {
		States json.RawMessage `json:"States"`
	}
	var all map[string]struct {
		Type          string          `json:"Type"`
		QueryLanguage string          `json:"QueryLanguage"`
		Resource      string          `json:"Resource"`
		Parameters    json.RawMessage `json:"Parameters"`
		Arguments     json.RawMessage `json:"Arguments"`
		Branches      []machine       `json:"Branches"`
		Iterator      machine         `json:"Iterator"`
		ItemProcessor machine         `json:"ItemProcessor"`
	}
	if json.Unmarshal(states, &all) != nil {
		return nil
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	var found []diagnostic
	for _, name := range names {
		st, here := all[name], at+"/"+name
		pattern := st.Resource[strings.LastIndexByte(st.Resource, ':')+1:]
		_, activity := activityName(st.Resource)
		message := ""
		switch _, suffix, _ := strings.Cut(pattern, "."); {
		case !integrations.Known(st.Resource):
			message = "The resource provided " + st.Resource + " is not recognized. The value is not a valid resource ARN, or the resource is not available in this region."
		case kind != typeExpress:
		case activity:
			message = "Express state machine does not support Activity ARN"
		case suffix == "waitForTaskToken" || suffix == "sync" || suffix == "sync:2":
			message = "Express state machine does not support '." + suffix + "' service integration "
		case strings.HasSuffix(st.Resource, ".sync:2"):
			message = "Express state machine does not support '.sync' service integration "
		}
		if message != "" {
			found = append(found, diagnostic{"ERROR", codeSchema, message, here + "/Resource"})
		}
		field, given := "/Parameters", st.Parameters
		jsonata := cmp.Or(st.QueryLanguage, language) == "JSONata"
		if jsonata {
			field, given = "/Arguments", st.Arguments
		}
		if parameters, err := value.Parse(given); err == nil && st.Type == string(asl.TypeTask) {
			for _, message := range integrations.Misfits(st.Resource, parameters, jsonata) {
				found = append(found, diagnostic{"ERROR", codeSchema, message, here + field})
			}
		}
		if calledHTTP(st.Resource) {
			found = append(found, httpDiagnostics(given, here+field)...)
		}
		for i, b := range st.Branches {
			found = append(found, taskDiagnostics(b.States, fmt.Sprintf("%s/Branches[%d]/States", here, i), kind, language)...)
		}
		found = append(found, taskDiagnostics(st.Iterator.States, here+"/Iterator/States", kind, language)...)
		found = append(found, taskDiagnostics(st.ItemProcessor.States, here+"/ItemProcessor/States", kind, language)...)
	}
	return found
}
