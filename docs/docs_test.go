// Package docs_test holds the project's pages to what can be checked of them.
package docs_test

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pages returns the text of every page of the repository, by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	repository, found := os.DirFS(".."), map[string]string{}
	err := fs.WalkDir(repository, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && name != "." && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		if path.Ext(name) == ".md" {
			text, err := fs.ReadFile(repository, name)
			found[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var (
	link    = regexp.MustCompile(`\]\(([^)#]*)(?:#([^)]*))?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unnamed = regexp.MustCompile(`[^\p{L}\p{N} _-]`) // what a heading's name goes without
)

// TestLinks follows each link to its page, and to its heading there.
func TestLinks(t *testing.T) {
	checked := 0
	all := pages(t)
	headings := map[string]bool{} // as PAGE#NAME
	for name, text := range all {
		for _, match := range heading.FindAllStringSubmatch(text, -1) {
			anchor := strings.ReplaceAll(unnamed.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")
			headings[name+"#"+anchor] = true
		}
	}
	for name, text := range all {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			checked++
			to := name
			if match[1] != "" {
				to = path.Join(path.Dir(name), match[1])
			}
			if _, err := os.Stat(filepath.Join("..", to)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, match[1])
			}
			if match[2] != "" && !headings[to+"#"+match[2]] {
				t.Errorf("%s links to #%s of %s, which is no heading there", name, match[2], to)
			}
		}
	}
	if checked == 0 {
		t.Error("no link was found to check")
	}
}

// TestCommands checks that what a newcomer is told to type is what .ci/run runs.
func TestCommands(t *testing.T) {
	script, err := os.ReadFile("../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"go run ./cmd/anneal demo", "go test ./..."} {
		shown := regexp.MustCompile(`(?m)^ {4}` + regexp.QuoteMeta(command) + `(?:\s+#.*)?$`)
		if !shown.MatchString(pages(t)["README.md"]) {
			t.Errorf("README.md does not show %q", command)
		}
		run := regexp.MustCompile(`(?m)^step (?:timeout \d+ )?` + regexp.QuoteMeta(command) + `$`)
		if !run.Match(script) {
			t.Errorf(".ci/run does not run %q", command)
		}
	}
}

func TestDecisions(t *testing.T) {
	var numbers []string
	for name, text := range pages(t) {
		if path.Dir(name) != "docs/decisions" {
			continue
		}
		numbers = append(numbers, path.Base(name)[:4])
		at := 0
		for _, heading := range []string{"# ", "\n## Context\n", "\n## Choice\n", "\n## Price\n"} {
			next := strings.Index(text[at:], heading)
			if next < 0 {
				t.Errorf("%s lacks the heading %q, or has it out of order", name, strings.TrimSpace(heading))
				break
			}
			at += next
		}
	}
	slices.Sort(numbers)
	if unique := slices.Compact(slices.Clone(numbers)); len(unique) != len(numbers) || len(numbers) == 0 {
		t.Errorf("decisions are numbered %v, want some, each number once", numbers)
	}
}
