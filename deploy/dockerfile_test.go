// Package deploy_test checks that the image and the manifests are what they
// claim to be: no engine or cluster is needed for it.
package deploy_test

import (
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A stage is what follows one FROM.
type stage struct {
	from, name   string
	instructions []instruction
}

// An instruction is a line of a Dockerfile, continuations joined.
type instruction struct {
	name, args string
}

// parseDockerfile reads the instructions of a Dockerfile without heredocs.
func parseDockerfile(text string) ([]stage, error) {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	joined := strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", " ")

	var stages []stage
	for line := range strings.Lines(joined) {
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "FROM" {
			words := strings.Fields(args)
			s := stage{from: words[0]}
			if len(words) == 3 && strings.EqualFold(words[1], "AS") {
				s.name = words[2]
			}
			stages = append(stages, s)
			continue
		}
		if len(stages) == 0 {
			return nil, fmt.Errorf("%s stands before the first FROM", name)
		}
		last := &stages[len(stages)-1]
		last.instructions = append(last.instructions, instruction{name, args})
	}
	return stages, nil
}

// all returns the arguments of every instruction of that name.
func (s stage) all(name string) []string {
	var args []string
	for _, i := range s.instructions {
		if i.name == name {
			args = append(args, i.args)
		}
	}
	return args
}

// one returns the arguments of the only instruction of that name.
func (s stage) one(t *testing.T, name string) string {
	t.Helper()
	args := s.all(name)
	if len(args) != 1 {
		t.Fatalf("stage FROM %s has %d %s instructions, want 1", s.from, len(args), name)
	}
	return args[0]
}

// words returns the arguments of the only instruction of that name, which is
// in exec form: the image has no shell.
func (s stage) words(t *testing.T, name string) []string {
	t.Helper()
	var words []string
	if err := json.Unmarshal([]byte(s.one(t, name)), &words); err != nil {
		t.Fatalf("%s %s is not in exec form: %v", name, s.one(t, name), err)
	}
	return words
}

// dockerfile returns the stages of the project's Dockerfile.
func dockerfile(t *testing.T) (build, final stage) {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages, err := parseDockerfile(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 {
		t.Fatalf("Dockerfile has %d stages, want one that builds and one that is kept", len(stages))
	}
	return stages[0], stages[1]
}

func TestDockerfile(t *testing.T) {
	build, final := dockerfile(t)

	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if want := "golang:" + string(version[1]); build.from != want {
		t.Errorf("built FROM %s, want %s as in go.mod", build.from, want)
	}
	if final.from != "scratch" {
		t.Errorf("kept FROM %s, want scratch", final.from)
	}
	user := final.one(t, "USER")
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s, want two numbers other than 0", user)
	}
	if got := final.words(t, "ENTRYPOINT"); !cmp.Equal(got, []string{"/anneal"}) {
		t.Errorf("ENTRYPOINT %q, want the binary", got)
	}
	copies := final.all("COPY")
	for _, c := range copies {
		if !strings.HasPrefix(c, "--from="+build.name+" ") {
			t.Errorf("COPY %s does not take from the stage %s", c, build.name)
		}
	}
	for _, volume := range final.words(t, "VOLUME") {
		owned := func(c string) bool {
			return strings.Contains(c, "--chown="+user+" ") && strings.HasSuffix(c, " "+volume)
		}
		if !slices.ContainsFunc(copies, owned) {
			t.Errorf("no COPY makes %s the owner of the volume %s", user, volume)
		}
	}
}

// TestImageBuild runs the Dockerfile's build on what .dockerignore lets in,
// and looks at the binary it makes.
func TestImageBuild(t *testing.T) {
	build, final := dockerfile(t)
	var command string
	for _, run := range build.all("RUN") {
		if strings.HasPrefix(run, "go build ") {
			command = run
		}
	}
	output := regexp.MustCompile(` -o (\S+)`).FindStringSubmatch(command)
	if output == nil {
		t.Fatalf("build stage has no `go build -o`: %q", build.all("RUN"))
	}
	entry := final.words(t, "ENTRYPOINT")[0]
	if want := "--from=" + build.name + " " + output[1] + " " + entry; !slices.Contains(final.all("COPY"), want) {
		t.Errorf("the binary built is not the one started: want COPY %s", want)
	}

	binary := filepath.Join(t.TempDir(), "anneal")
	cmd := exec.Command("/bin/sh", "-c", strings.ReplaceAll(command, output[1], binary))
	cmd.Dir = buildContext(t)
	cmd.Env = append(os.Environ(), build.all("ENV")...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, text)
	}

	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary asks for a dynamic linker; scratch has none")
		}
	}
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the binary needs libraries %v (%v), want none", libraries, err)
	}

	// CMD names a command and a flag that this binary has.
	words := final.words(t, "CMD")
	help, err := exec.Command(binary, words[0], "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(help), words[1]) {
		t.Errorf("CMD %q: `anneal %s --help` (%v) does not tell of %s:\n%s", words, words[0], err, words[1], help)
	}
}

// buildContext copies what .dockerignore lets in of the repository to a new
// folder.
func buildContext(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	ignored := parseDockerignore(string(text))
	dir := t.TempDir()
	repository := os.DirFS("..")
	err = fs.WalkDir(repository, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || ignored(name) {
			return err
		}
		data, err := fs.ReadFile(repository, name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// parseDockerignore returns whether a file is left out. The last pattern that
// matches the file or a folder above it decides; `!` lets in again. Of `**`
// only the form `**/NAME` is known.
func parseDockerignore(text string) (ignored func(name string) bool) {
	var patterns []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			patterns = append(patterns, line)
		}
	}
	return func(name string) bool {
		out := false
		for _, pattern := range patterns {
			pattern, in := strings.CutPrefix(pattern, "!")
			base, anywhere := strings.CutPrefix(pattern, "**/")
			for at := name; at != "."; at = path.Dir(at) {
				if anywhere && path.Base(at) == base {
					out = !in
				}
				if matched, _ := path.Match(pattern, at); matched {
					out = !in
				}
			}
		}
		return out
	}
}

func TestParseDockerfile(t *testing.T) {
	got, err := parseDockerfile(`# a comment
FROM golang:1.26 AS build
RUN go build \
    # within
    -o /out/x .

FROM scratch
USER 1:1
`)
	want := []stage{
		{"golang:1.26", "build", []instruction{{"RUN", "go build  -o /out/x ."}}},
		{"scratch", "", []instruction{{"USER", "1:1"}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(stage{}, instruction{})); err != nil || diff != "" {
		t.Errorf("parseDockerfile: %v (-want +got):\n%s", err, diff)
	}
	if _, err := parseDockerfile("RUN true\nFROM scratch\n"); err == nil {
		t.Error("an instruction before the first FROM was taken")
	}
}

func TestParseDockerignore(t *testing.T) {
	ignored := parseDockerignore("# all but\n*\n!*.go\n!cmd\n**/testdata\n")
	for name, want := range map[string]bool{
		"doc.go":                       false,
		"README.md":                    true,
		"docs/x.go":                    true,
		"cmd/anneal/main.go":           false,
		"cmd/anneal/testdata/demo.txt": true,
		".git/config":                  true,
	} {
		if got := ignored(name); got != want {
			t.Errorf("ignored(%q) = %t, want %t", name, got, want)
		}
	}
}
