package configs

import (
	"bytes"
	"encoding"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/anneal-ml/anneal/policy"
)

// The schemas are made of the Go types: their fields, tags and comments.
func TestSchemasAreFresh(t *testing.T) {
	g := generator{comments: comments(t, "../policy", ".")}
	for name, of := range map[string]reflect.Type{"policy": reflect.TypeFor[policy.Spec](), "settings": reflect.TypeFor[Settings]()} {
		root := g.object(of)
		root["$schema"], root["title"] = "https://json-schema.org/draft/2020-12/schema", "anneal "+name
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(root); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("schemas", name+".json")
		if *update {
			write(t, file, b.String())
			continue
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != b.String() {
			t.Errorf("%s is not what the types say (%v): go test ./configs -update\n%s", file, err, cmp.Diff(string(got), b.String()))
		}
	}
}

// A generator makes JSON Schemas of the types of configuration files.
type generator struct {
	comments map[string]string // by type, or type and field
}

const (
	durationPattern = `^[0-9]+(ms|s|m|h|d|w)$`
	positivePattern = `^0*[1-9][0-9]*(ms|s|m|h|d|w)$`
	cronPattern     = `^ *[^ @=]+( +[^ ]+){4} *$`
	idPattern       = `^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`
)

// special are fields with a form of their own, by type and name.
var special = map[string]map[string]any{
	"Spec.APIVersion": {"const": policy.APIVersion},
	"Spec.Kind":       {"const": policy.Kind},
	"Metadata.Name":   {"type": "string", "pattern": `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`},
	"Model.Group":     {"type": "string", "pattern": `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`},
	"Trigger.ID":      {"type": "string", "pattern": idPattern},
	"Rule.ID":         {"type": "string", "pattern": idPattern},
	"Schedule.Cron":   {"type": "string", "pattern": cronPattern},
	"Blackout.Cron":   {"type": "string", "pattern": cronPattern},
	"Body.Signals":    {"propertyNames": map[string]any{"pattern": `^[A-Za-z_][A-Za-z0-9_]{0,62}$`}},
	"Directory.Path":  {"type": "string", "minLength": 1},
	"StateMachine.ARN": {"anyOf": []any{
		map[string]any{"type": "string", "pattern": `^arn:aws[a-z-]*:states:`}, from("env"), from("file"),
	}},
	"Token.SHA256": {"type": "string", "pattern": `^[0-9a-fA-F]{64}$`},
}

// from is a value that is found elsewhere.
func from(key string) map[string]any {
	return map[string]any{
		"type": "object", "required": []string{key}, "additionalProperties": false,
		"properties": map[string]any{key: map[string]any{"type": "string", "minLength": 1}},
	}
}

// required are keys of the settings without which their mapping is nothing;
// those of a policy are the ones that are never left out of its JSON.
var required = map[string]bool{
	"Directory.Path": true, "Webhook.Path": true, "WebhookChannel.URL": true, "WebhookChannel.Secret": true,
	"Token.Name": true, "Token.SHA256": true, "Token.Role": true, "TLS.Cert": true, "TLS.Key": true,
}

func (g generator) schema(t reflect.Type, tag reflect.StructTag) map[string]any {
	least := tag.Get("min")
	words := func(s map[string]any) map[string]any {
		if enum := tag.Get("enum"); enum != "" {
			s["enum"] = strings.Split(enum, ",")
		}
		return s
	}
	switch t {
	case reflect.TypeFor[policy.Duration]():
		if least != "" {
			return map[string]any{"type": "string", "pattern": positivePattern}
		}
		return map[string]any{"type": "string", "pattern": durationPattern}
	case reflect.TypeFor[Secret]():
		return map[string]any{"anyOf": []any{map[string]any{"type": []string{"string", "number", "boolean"}}, from("env"), from("file")}}
	case reflect.TypeFor[Secrets](): // one, or a list of them
		one := g.schema(reflect.TypeFor[Secret](), tag)
		return map[string]any{"anyOf": []any{one, map[string]any{"type": "array", "items": one, "minItems": 1}}}
	case reflect.TypeFor[Channel]():
		return g.channel(t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.schema(t.Elem(), tag)
	case reflect.Struct:
		s := g.object(t)
		if text := g.text(t); text != nil {
			return map[string]any{"anyOf": []any{text, s}}
		}
		return s
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return map[string]any{"type": "object"}
		}
		return map[string]any{"type": "object", "additionalProperties": g.schema(t.Elem(), tag)}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": g.schema(t.Elem(), tag)}
	case reflect.String:
		return words(map[string]any{"type": "string"})
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Float64:
		s := map[string]any{"type": "integer"}
		if t.Kind() == reflect.Float64 {
			s["type"] = "number"
		}
		if n, err := strconv.ParseFloat(least, 64); err == nil {
			s["minimum"] = n
		} else if t.Kind() != reflect.Float64 {
			s["minimum"] = 0
		}
		return s
	}
	return map[string]any{} // anything
}

// text is the form of a struct that may be a word too; nil if it may not.
func (g generator) text(t reflect.Type) map[string]any {
	v, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	switch {
	case !ok:
		return nil
	case v.UnmarshalText([]byte("all")) == nil:
		return map[string]any{"const": "all"}
	case v.UnmarshalText([]byte("7d")) == nil:
		return map[string]any{"type": "string", "pattern": durationPattern}
	}
	return nil
}

// channel is of a channel, which is a word or has one kind.
func (g generator) channel(t reflect.Type) map[string]any {
	properties := map[string]any{}
	for i := range t.NumField() {
		f := t.Field(i)
		s := g.schema(f.Type, f.Tag)
		if f.Type.Kind() == reflect.Bool {
			s = map[string]any{"type": []string{"object", "null"}, "additionalProperties": false}
		}
		properties[strings.ToLower(f.Name)] = s
	}
	return map[string]any{"anyOf": []any{
		map[string]any{"enum": []string{"log", "eventbridge"}},
		map[string]any{"type": "object", "minProperties": 1, "additionalProperties": false, "properties": properties},
	}}
}

func (g generator) object(t reflect.Type) map[string]any {
	properties, needs := map[string]any{}, []string{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || f.Type == reflect.TypeFor[notBuilt]() {
			continue
		}
		at := t.Name() + "." + f.Name
		s := g.schema(f.Type, f.Tag)
		for key, value := range special[at] {
			s[key] = value
			if key == "const" {
				delete(s, "type")
			}
		}
		if comment := g.comments[at]; comment != "" {
			s["description"] = comment
		} else if comment := g.comments[typeName(f.Type)]; comment != "" {
			s["description"] = comment
		}
		properties[name] = s
		if required[at] || !strings.Contains(options, "omit") && strings.HasSuffix(t.PkgPath(), "/policy") {
			needs = append(needs, name)
		}
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(needs) > 0 {
		slices.Sort(needs)
		s["required"] = needs
	}
	return s
}

func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Name()
}

// comments are those of the types in the packages, and of their fields.
func comments(t *testing.T, folders ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range parsed.Decls {
				general, ok := decl.(*ast.GenDecl)
				if !ok || general.Tok != token.TYPE {
					continue
				}
				for _, spec := range general.Specs {
					ts := spec.(*ast.TypeSpec)
					found[ts.Name.Name] = plainText(general.Doc)
					st, ok := ts.Type.(*ast.StructType)
					if !ok {
						continue
					}
					for _, f := range st.Fields.List {
						for _, name := range f.Names {
							text := strings.TrimSpace(plainText(f.Doc) + " " + plainText(f.Comment))
							found[ts.Name.Name+"."+name.Name] = text
						}
					}
				}
			}
		}
	}
	return found
}

func plainText(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// What is in order keeps to its schema, and what does not keep to it is not in
// order.
func TestSchemasAgree(t *testing.T) {
	compiled := map[string]*jsonschema.Schema{}
	for _, name := range SchemaNames() {
		data, err := Schema(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		if compiled[name], err = c.Compile(name); err != nil {
			t.Fatal(err)
		}
	}
	refused := map[string]bool{}
	validate := func(t *testing.T, kind, file, content string, sound bool) {
		t.Helper()
		var problems Problems
		docs, source := parseYAML(file, []byte(content), &problems)
		for _, doc := range docs {
			d := &decoder{source: source, nodes: map[string]*node{}, bad: map[*node]bool{}}
			raw, err := json.Marshal(d.plain(doc, ""))
			if err != nil {
				t.Fatal(err)
			}
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := compiled[kind].Validate(value); err != nil {
				refused[strings.TrimSuffix(filepath.Base(file), ".yaml")] = true
				if sound {
					t.Errorf("%s is in order and not by its schema: %v", file, err)
				}
			}
		}
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		problems := string(archive.Files[len(archive.Files)-1].Data)
		for _, f := range archive.Files {
			sound := true
			for line := range strings.Lines(problems) {
				if strings.HasPrefix(line, f.Name+":") && !strings.Contains(line, "warning:") {
					sound = false
				}
			}
			switch {
			case f.Name == "anneal.yaml":
				validate(t, "settings", f.Name, string(f.Data), sound)
			case strings.HasSuffix(f.Name, ".yaml"):
				validate(t, "policy", f.Name, string(f.Data), sound)
			}
		}
	}
	for _, name := range []string{
		"anneal", "mode", "shadow", "misspelt-guard", "misspelt-source", "reduce", "signal-name", "limit", "overlap",
		"budget", "budget-without-time", "cooldown", "cooldown-after", "mixed-duration", "column", "train-zero", "notice", "no-events",
		"on", "bare-cron", "six-fields", "catch-up", "iso", "bare-number", "for-zero", "no-id", "truth",
	} {
		if !refused[name] {
			t.Errorf("the schema takes %s, which has a wrong form", name)
		}
	}

	examples, err := filepath.Glob("*/anneal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range examples {
		settings, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		validate(t, "settings", file, string(settings), true)
		policies, err := filepath.Glob(filepath.Join(filepath.Dir(file), "policies", "*.yaml"))
		if err != nil || len(policies) == 0 {
			t.Errorf("%s has no policies (%v)", file, err)
		}
		for _, p := range policies {
			data, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			validate(t, "policy", p, string(data), true)
		}
	}
	if _, err := Schema("polcy"); err == nil || !strings.Contains(err.Error(), `did you mean "policy"`) {
		t.Errorf("schema polcy: %v", err)
	}
}
