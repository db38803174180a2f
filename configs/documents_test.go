package configs

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anneal-ml/anneal/policy"
)

// What has not changed is taken from the generation before, wherever it stands
// now, and what is wrong is said of the line where it stands.
func TestReloadKeepsWhatIsTheSame(t *testing.T) {
	dir := t.TempDir()
	one := func(name, rule, to string) string {
		return "apiVersion: anneal/v1alpha1\nkind: RetrainPolicy\nmetadata: {name: " + name + "}\nspec:\n  model: {group: g}\n" +
			"  rules: [{id: r, if: \"" + rule + "\"}]\n  notify: [{events: [failed], to: " + to + "}]\n"
	}
	file := func(docs ...string) string { return strings.Join(docs, "---\n") }
	write(t, filepath.Join(dir, "anneal.yaml"), "policies: [.]\nnotify: {team: {log: {}}}\n")
	write(t, filepath.Join(dir, "p.yaml"), file(one("a", "true", "team"), one("b", "true", "team")))
	c, err := Load(filepath.Join(dir, "anneal.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]*policy.Policy{}
	for _, p := range c.Policies {
		before[p.Name()] = p.Policy
	}
	for _, step := range []struct {
		does, content string
		want          string // policies with their lines, * those that were compiled anew; or problems
	}{
		{"nothing", file(one("a", "true", "team"), one("b", "true", "team")), "a:1 b:9"},
		{"one goes down and one comes", file("# new\n"+one("c", "true", "team"), one("a", "true", "team"), one("b", "true", "team")), "a:10 b:18 c:2*"},
		{"one is changed", file(one("a", "!champion.exists", "team"), one("b", "true", "team")), "a:1* b:9"},
		{"one is there twice", file(one("b", "true", "team"), one("b", "true", "team")),
			`p.yaml:11:18: the name "b" is taken by the policy at p.yaml:1: give each policy its own`},
		{"one is wrong, below another", file(one("b", "true", "team"), one("a", "tru", "team")), `p.yaml:14:24: unknown variable "tru" (have champion, event, model, now, parameters, signals, training)`},
		{"nobody is told", file(one("b", "true", "team"), one("a", "true", "teem")), `p.yaml:15:35: unknown channel "teem": did you mean "team"? (have log, team)`},
	} {
		write(t, filepath.Join(dir, "p.yaml"), step.content)
		next, err := c.Reload(Options{})
		var got []string
		if err != nil {
			got = append(got, strings.ReplaceAll(err.Error(), dir+"/", ""))
		} else {
			for _, p := range next.Policies {
				s := fmt.Sprintf("%s:%d", p.Name(), p.Line)
				if before[p.Name()] != p.Policy {
					s += "*"
				}
				got = append(got, s)
			}
		}
		if got := strings.Join(got, " "); got != step.want {
			t.Errorf("where %s: got %s, want %s", step.does, got, step.want)
		}
	}
	// The settings themselves are another matter: their channel is gone.
	write(t, filepath.Join(dir, "p.yaml"), file(one("a", "true", "team"), one("b", "true", "team")))
	delete(c.Settings.Notify, "team")
	if _, err := c.Reload(Options{}); err == nil || strings.Count(err.Error(), "unknown channel") != 2 {
		t.Errorf("without the channel of what has not changed: %v, want it named twice", err)
	}
}
