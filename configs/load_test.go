package configs

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/anneal-ml/anneal/orchestrator/asl"
	"github.com/anneal-ml/anneal/policy"
)

var update = flag.Bool("update", false, "rewrite the problems in testdata")

// Each file of testdata is a folder of configuration, and what is wrong with it.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata: %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"GIT", "OLD", "U", "S", "X"} { // as the transcripts use them
				t.Setenv(name, "set")
			}
			dir, want := t.TempDir(), ""
			for _, f := range archive.Files {
				if f.Name == "problems" {
					want = string(f.Data)
					continue
				}
				write(t, filepath.Join(dir, f.Name), string(f.Data))
			}
			c, err := Load(filepath.Join(dir, "anneal.yaml"), Options{States: tasks, Warnings: true})
			var problems Problems
			if err == nil {
				problems = c.Warnings
			} else if !errors.As(err, &problems) {
				t.Fatalf("Load: %v is not Problems", err)
			}
			got := strings.ReplaceAll(problems.Error()+"\n", dir+"/", "")
			if *update {
				last := len(archive.Files) - 1
				if archive.Files[last].Name != "problems" {
					t.Fatal("the last file is not problems")
				}
				archive.Files[last].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, f := range archive.Files {
				wrong := strings.HasPrefix(filepath.Base(file), "faulty-") || strings.HasPrefix(filepath.Base(file), "warned")
				if wrong && strings.HasPrefix(f.Name, "policies/") && strings.HasSuffix(f.Name, ".yaml") && !strings.Contains(got, f.Name+":") {
					t.Errorf("nothing is said of %s", f.Name)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems of %s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// tasks lists those of a state machine.
func tasks(definition []byte) (names []string) {
	m, err := asl.Parse(definition, "")
	if err != nil {
		return nil
	}
	for _, name := range m.Names() {
		if m.Type(name) == asl.TypeTask {
			names = append(names, name)
		}
	}
	return names
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A generation that is in order, from files in several folders.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ANNEAL_TEST_KEY", "hidden")
	write(t, filepath.Join(dir, "anneal.yaml"), `
policies: [policies, more/b.yaml]
buckets: {ml-data: ./bucket}
sources: [{directory: {path: ./inbox}}]
embedded:
  functions:
    Score*: {command: [python3, score.py], env: {MODE: fast, N: 3, KEY: {env: ANNEAL_TEST_KEY}}, timeout: 60s}
  topics: {done: team}
notify: {team: {log: {}}}
`)
	one := func(name, machine string) string {
		return "apiVersion: anneal/v1alpha1\nkind: RetrainPolicy\nmetadata: {name: " + name + "}\nspec:\n  model: {group: g}\n" +
			"  data: {train: all}\n  rules: [{id: always, if: \"true\"}]\n  notify: [{events: [failed], to: team}]\n" +
			"  run: {stateMachine: {file: " + machine + "}, input: {big: 12345678901234567890, x: 0.70}}\n"
	}
	write(t, filepath.Join(dir, "policies/z.yml"), one("z", "z.asl.json")+"---\n# nothing\n---\n"+one("y", "../more/m.asl.json"))
	write(t, filepath.Join(dir, "policies/..data/hidden.yaml"), "a folder of a ConfigMap is not read twice")
	write(t, filepath.Join(dir, "policies/.hidden.yaml"), "nor is a hidden file")
	write(t, filepath.Join(dir, "policies/z.asl.json"), "{}")
	write(t, filepath.Join(dir, "more/b.yaml"), one("b", "m.asl.json"))
	write(t, filepath.Join(dir, "more/m.asl.json"), `{"x":1}`)

	var checked []string
	c, err := Load(filepath.Join(dir, "anneal.yaml"), Options{CheckMachine: func(file string, definition []byte) []Problem {
		checked = append(checked, strings.TrimPrefix(file, dir+"/")+" "+string(definition))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range c.Policies {
		spec, err := policy.ParseSpec(must(p.Spec.JSON()))
		if err != nil {
			t.Fatal(err)
		}
		again, problems := policy.Compile(spec)
		if problems != nil {
			t.Fatalf("policy %s through JSON: %v", p.Name(), problems)
		}
		got = append(got, fmt.Sprintf("%s %s:%d %s same=%t", p.Name(), strings.TrimPrefix(p.File, dir+"/"), p.Line,
			strings.TrimPrefix(p.Machine, dir+"/"), string(must(again.Spec.JSON())) == string(must(p.Spec.JSON()))))
	}
	want := []string{"b more/b.yaml:1 more/m.asl.json same=true", "y policies/z.yml:13 more/m.asl.json same=true", "z policies/z.yml:1 policies/z.asl.json same=true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"policies/z.asl.json {}", `more/m.asl.json {"x":1}`}, checked); diff != "" {
		t.Errorf("machines checked (-want +got):\n%s", diff)
	}
	var files []string
	for _, f := range c.Files {
		files = append(files, strings.TrimPrefix(f, dir+"/"))
	}
	if diff := cmp.Diff([]string{"anneal.yaml", "more/b.yaml", "more/m.asl.json", "policies", "policies/z.asl.json", "policies/z.yml"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	s := c.Settings
	env := map[string]string{}
	for name, secret := range s.Embedded.Functions["Score*"].Env {
		env[name] = must(secret.Resolve())
	}
	if diff := cmp.Diff(map[string]string{"MODE": "fast", "N": "3", "KEY": "hidden"}, env); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
	if shown := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(shown, "fast") || strings.Contains(shown, "hidden") {
		t.Errorf("printed settings show a secret: %s", shown)
	}
	facts := map[string]string{
		"listen": s.Listen, "data": string(s.Data), "staging": s.Staging, "inbox": string(s.Buckets["inbox"]), "ml-data": string(s.Buckets["ml-data"]),
		"settle": s.Sources[0].Directory.Settle.String(), "aws": s.Embedded.AWS, "jobs": fmt.Sprint(s.Embedded.Jobs), "dir": c.Dir(),
	}
	for name, value := range facts {
		facts[name] = strings.TrimPrefix(value, dir)
	}
	if diff := cmp.Diff(map[string]string{
		"listen": "127.0.0.1:8080", "data": "/anneal-data", "staging": "/anneal-data/staging", "inbox": "/inbox", "ml-data": "/bucket",
		"settle": "2s", "aws": "deny", "jobs": "2", "dir": "",
	}, facts); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

// What is wrong with a state machine is told with the rest.
func TestMachineProblems(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.yaml"), "apiVersion: anneal/v1alpha1\nkind: RetrainPolicy\nmetadata: {name: p}\nspec:\n  mode: no\n  model: {group: g}\n"+
		"  rules: [{id: a, if: 'true'}]\n  run: {stateMachine: {file: m.json}}\n  notify: [{events: [held], to: anywhere}]\n")
	write(t, filepath.Join(dir, "m.json"), "{}")
	_, err := LoadPolicies([]string{dir}, Options{CheckMachine: func(file string, _ []byte) []Problem {
		return []Problem{{File: file, Line: 1, Column: 2, Message: "no StartAt"}}
	}})
	want := "m.json:1:2: no StartAt\np.yaml:5:9: unknown value \"no\" (have observe, enforce, paused)"
	if got := strings.ReplaceAll(fmt.Sprint(err), dir+"/", ""); got != want {
		t.Errorf("LoadPolicies: got\n%s\nwant\n%s", got, want)
	}
}

// What editors and other systems do to a file, and what is no file.
func TestForms(t *testing.T) {
	sound := "apiVersion: anneal/v1alpha1\nkind: RetrainPolicy\nmetadata: {name: p}\nspec:\n  model: {group: g}\n  rules: [{id: a, if: 'true'}]\n"
	rule := func(value string) string {
		return strings.Replace(sound, "[{id: a, if: 'true'}]", "\n    - id: a\n      if: "+value, 1)
	}
	for name, test := range map[string]struct{ yaml, want string }{
		"byte order mark":   {"\ufeff" + sound, ""},
		"windows":           {strings.ReplaceAll(sound, "\n", "\r\n"), ""},
		"old mac":           {strings.ReplaceAll(sound, "\n", "\r"), ""},
		"several":           {"---\n" + sound + "---\n---\n# nothing\n...\n" + strings.Replace(sound, "name: p", "name: q", 1), ""},
		"no end of line":    {strings.TrimSuffix(sound, "\n"), ""},
		"empty":             {"", ""},
		"utf-16":            {"\xff\xfea\x00p\x00i\x00", "p.yaml: not UTF-8 text"},
		"tab":               {strings.Replace(sound, "  model", "\tmodel", 1), "p.yaml:5:1: not YAML: found character '\t' that cannot start any token"},
		"negation":          {rule("!champion.exists && signals.rows.value > 3"), `p.yaml:8:11: not YAML: a value with such characters stands in quotes as a whole (unexpected scalar value type)`},
		"negation alone":    {rule("!champion.exists"), "p.yaml:8:11: the tag !champion.exists means nothing here: what begins with ! and is no tag stands in quotes"},
		"half quoted":       {rule("'a' == event.type"), "p.yaml:8:11: not YAML: a value with such characters stands in quotes as a whole (value is not allowed in this context. map key-value is pre-defined)"},
		"cron of stars":     {strings.Replace(sound, "  model", "  guards: {}\n  triggers:\n    - id: a\n      schedule:\n        cron: * * * * *\n  model", 1), "p.yaml:9:15: not YAML: a value with such characters stands in quotes as a whole (unexpected scalar value type)"},
		"conditional":       {rule("champion.exists ? champion.age > days(3) : true"), "p.yaml:8:11: not YAML: a value with such characters stands in quotes as a whole (mapping value is not allowed in this context)"},
		"alias":             {rule("*every"), "p.yaml:8:11: unknown alias *every: there is no anchor &every before it; what is no alias stands in quotes"},
		"duplicate":         {strings.Replace(sound, "  model", "  mode: paused\n  mode: enforce\n  model", 1), `p.yaml:6:3: the key "mode" is already on line 5: keep one of them`},
		"too large":         {sound + "#" + strings.Repeat("x", maxPolicies), fmt.Sprintf("p.yaml: %d bytes are too many: at most %d", len(sound)+1+maxPolicies, maxPolicies)},
		"open quotes":       {strings.Replace(sound, "{name: p}", "{name: \"p}", 1), "p.yaml:3:18: not YAML: could not find end character of double-quoted text"},
		"wrong indentation": {strings.Replace(sound, "  rules", "   rules", 1), "p.yaml:6:4: not YAML: value is not allowed in this context"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "p.yaml"), test.yaml)
			_, err := LoadPolicies([]string{dir}, Options{})
			got := ""
			if err != nil {
				got = strings.ReplaceAll(err.Error(), dir+"/", "")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// What is no regular file is not waited for.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600); err != nil {
		t.Skipf("no pipe can be made: %v", err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "zero.yaml")); err != nil {
		t.Fatal(err)
	}
	_, err := LoadPolicies([]string{dir}, Options{})
	want := "pipe.yaml: this is not a regular file\nzero.yaml: this is not a regular file"
	if got := strings.ReplaceAll(fmt.Sprint(err), dir+"/", ""); got != want {
		t.Errorf("problems %s, want %s", got, want)
	}
}

// Hostile YAML costs no more than large YAML, and is named.
func TestHostile(t *testing.T) {
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 10))
	}
	bomb = "spec:\n  parameters:\n    " + strings.ReplaceAll(bomb, "\n", "\n    ")
	for name, test := range map[string]struct{ yaml, want string }{
		"aliases":   {bomb, "too large: more than 100000 values"},
		"itself":    {"a: &a [*a]\n", "unknown alias *a"},
		"brackets":  {"a: " + strings.Repeat("[", 500_000), "nested too deeply"},
		"braces":    {strings.Repeat("{a: ", 200_000), "nested too deeply"},
		"dashes":    {strings.Repeat("- ", 500_000), "nested too deeply"},
		"questions": {strings.Repeat("? ", 500_000), "nested too deeply"},
		"indents":   {indents(200), "nested too deeply"},
		"size":      {"a: 1\n" + strings.Repeat("# x\n", 300_000), "too many for a document"},
		"documents": {strings.Repeat("---\na: 1\n", 100_000), "more than 20000 documents"},
		"binary":    {"\x7fELF\x00\xff\xfe", "not UTF-8"},
		"zeros":     {"a: \x00\x01\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var problems Problems
			docs, source := parseYAML("x.yaml", []byte(test.yaml), &problems)
			for _, doc := range docs {
				var spec policy.Spec
				decodeDocument(source, doc, &spec)
			}
			if got := problems.Error(); !strings.Contains(got, test.want) {
				t.Errorf("problems %.300q do not say %q", got, test.want)
			}
		})
	}
}

func indents(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range archive.Files {
			f.Add(part.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "p.yaml"), string(data))
		lines := strings.Count(strings.ReplaceAll(string(data), "\r", "\n"), "\n") + 1
		for _, load := range []func() (*Config, error){
			func() (*Config, error) { return LoadPolicies([]string{dir}, Options{}) },
			func() (*Config, error) { return Load(filepath.Join(dir, "p.yaml"), Options{}) },
		} {
			c, err := load()
			var problems Problems
			if err != nil && (!errors.As(err, &problems) || len(problems) == 0) || err == nil && c == nil {
				t.Fatalf("config %v, error %v", c, err)
			}
			for _, p := range problems {
				if p.Line > lines || p.Line < 0 || p.Column < 0 || p.Message == "" {
					t.Errorf("problem %v in %d lines", p, lines)
				}
			}
		}
	})
}
