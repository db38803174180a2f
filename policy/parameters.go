package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// noLoader refuses schemas that are elsewhere: a policy says all itself.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("$ref to %s: a policy's schema refers only to itself", url)
}

// parameters compiles the JSON Schema of what may be passed.
func (c *compiler) parameters(p *Policy, schema map[string]any) {
	if schema == nil {
		return
	}
	const path = "spec.parameters"
	if !slices.ContainsFunc([]string{"type", "properties", "$ref", "allOf", "anyOf", "oneOf", "required", "patternProperties", "additionalProperties"},
		func(keyword string) bool { _, ok := schema[keyword]; return ok }) {
		c.problems.add(path, "this is a JSON Schema: name the parameters under properties, as in {properties: {epochs: {type: integer}}}")
		return
	}
	raw, err := json.Marshal(schema)
	if err != nil {
		c.problems.add(path, "%v", err)
		return
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		c.problems.add(path, "%v", err)
		return
	}
	const url = "policy:///parameters"
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	compiler.AssertFormat()
	if err := compiler.AddResource(url, doc); err != nil {
		c.problems.add(path, "%v", err)
		return
	}
	p.schema, err = compiler.Compile(url)
	var invalid *jsonschema.SchemaValidationError
	switch {
	case errors.As(err, &invalid):
		var detail *jsonschema.ValidationError
		if errors.As(invalid.Err, &detail) {
			for _, f := range findings(detail) {
				at := path
				for _, key := range f.at {
					at = At(at, key)
				}
				c.problems.add(at, "not a JSON Schema: %s", f.message)
			}
			return
		}
		c.problems.add(path, "not a JSON Schema: %v", err)
	case err != nil:
		c.problems.add(path, "not a JSON Schema: %s", strings.ReplaceAll(err.Error(), url, "parameters"))
	default:
		p.defaulted = map[string]any{}
		properties, _ := schema["properties"].(map[string]any)
		for name, property := range properties {
			if fields, ok := property.(map[string]any); ok {
				if value, ok := fields["default"]; ok {
					p.defaulted[name] = value
				}
			}
		}
		c.defaults(p)
	}
}

// defaults reports those that the schema itself does not allow.
func (c *compiler) defaults(p *Policy) {
	raw, err := json.Marshal(p.defaulted)
	if err != nil {
		return // unreachable: it was read from YAML or JSON
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return // unreachable: it was just written
	}
	var invalid *jsonschema.ValidationError
	if err := p.schema.Validate(value); errors.As(err, &invalid) {
		for _, f := range findings(invalid) {
			if len(f.at) > 0 { // else: one is required that has no default
				c.problems.add(At(At(At("spec.parameters", "properties"), f.at[0]), "default"), "the default of %s does not keep to its schema: %s", f.at[0], f.message)
			}
		}
	}
}

// CheckParameters reports what is wrong with the parameters of a wake by hand.
func (p *Policy) CheckParameters(given map[string]any) error {
	if p.schema == nil {
		if len(given) > 0 {
			return fmt.Errorf("policy %s takes no parameters, not %s: spec.parameters would declare them", p.Name(), strings.Join(sortedKeys(given), ", "))
		}
		return nil
	}
	all := p.effective(given)
	if all == nil {
		all = map[string]any{} // none are given: that is an object too
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("parameters of policy %s: %w", p.Name(), err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("parameters of policy %s: %w", p.Name(), err)
	}
	var invalid *jsonschema.ValidationError
	if err := p.schema.Validate(value); errors.As(err, &invalid) {
		var lines []string
		for _, f := range findings(invalid) {
			at := ""
			for _, key := range f.at {
				at = At(at, key)
			}
			if at != "" {
				at += ": "
			}
			lines = append(lines, at+f.message)
		}
		return fmt.Errorf("parameters of policy %s: %s", p.Name(), strings.Join(lines, "; "))
	} else if err != nil {
		return fmt.Errorf("parameters of policy %s: %w", p.Name(), err)
	}
	return nil
}

// effective are the parameters with the schema's defaults.
func (p *Policy) effective(given map[string]any) map[string]any {
	if len(p.defaulted) == 0 {
		return given
	}
	all := maps.Clone(p.defaulted)
	maps.Copy(all, given)
	return all
}

// A finding is one thing that a JSON Schema says is wrong.
type finding struct {
	at      []string
	message string
}

// findings are the innermost errors, in the order of their places.
func findings(e *jsonschema.ValidationError) []finding {
	if len(e.Causes) == 0 {
		return []finding{{e.InstanceLocation, e.ErrorKind.LocalizedString(message.NewPrinter(language.English))}}
	}
	var all []finding
	for _, cause := range e.Causes {
		all = append(all, findings(cause)...)
	}
	slices.SortStableFunc(all, func(a, b finding) int {
		return strings.Compare(strings.Join(a.at, "\x00")+"\x00"+a.message, strings.Join(b.at, "\x00")+"\x00"+b.message)
	})
	return all
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
