package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// hostile are names that a careless writer of YAML, CSV or CEL would break on.
var hostile = []string{
	"class", "", " padded ", "with, comma", `with "quotes"`, "it's", "a: b", "#not a comment", "- x", "{expr: now}", "[x]", "&a", "*a", "!!str",
	"yes", "null", "1e3", "0x1f", "~", "|", ">", "%", "@", "`", "back\\slash", "two\nlines", "tab\t", "price €", "価格", "🚲", "\x00", "\u007f", "\u0085", "\u2028", "\ufeff", "{{.Target}}", "$.x",
}

// at walks into what a YAML file holds.
func at(t *testing.T, v any, path ...string) any {
	t.Helper()
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("%s: not in a map, but in %T", key, v)
		}
		v = m[key]
	}
	return v
}

func TestPolicyHoldsHostileNames(t *testing.T) {
	for _, name := range hostile {
		o := ProjectOptions{Name: "data", Target: name, Task: Regression, Ignore: []string{"plain", name}, ReferenceRows: 500, BatchRows: 100}
		checkPolicy(t, o)
	}
}

// checkPolicy reads a policy back.
func checkPolicy(t *testing.T, o ProjectOptions) {
	t.Helper()
	policy, err := o.policy()
	if err != nil {
		t.Errorf("%q: %v", o.Target, err)
		return
	}
	var v map[string]any
	if err := yaml.Unmarshal(policy, &v); err != nil {
		t.Errorf("%q: %v\n%s", o.Target, err, policy)
		return
	}
	for _, path := range [][]string{{"spec", "data", "target"}, {"spec", "run", "input", "HyperParameters", "target"}} {
		if got := at(t, v, path...); got != o.Target {
			t.Errorf("%q: %s is %q", o.Target, strings.Join(path, "."), got)
		}
	}
	ignore := at(t, v, "spec", "run", "input", "HyperParameters", "ignore")
	if diff := cmp.Diff(o.Ignore, splitNames(fmt.Sprint(ignore))); diff != "" {
		t.Errorf("%q: ignored columns as the trainer reads them (-want +got):\n%s", o.Target, diff)
	}
}

func TestNames(t *testing.T) {
	for _, names := range [][]string{nil, {""}, {"a"}, {"a", "a"}, {"a,b", "a,b", `"`}} {
		if diff := cmp.Diff(names, splitNames(joinNames(names))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", names, diff)
		}
	}
	if diff := cmp.Diff([]string{`5" screen`, "b"}, splitNames(`5" screen,b`)); diff != "" {
		t.Errorf("a list written by hand (-want +got):\n%s", diff)
	}
}

func FuzzPolicy(f *testing.F) {
	for _, name := range hostile {
		f.Add(name, "other")
	}
	f.Fuzz(func(t *testing.T, target, ignored string) {
		if strings.Contains(ignored, "\r\n") {
			return // CSV reads it as \n, in the data too
		}
		o := ProjectOptions{Name: "data", Target: target, Task: Classification, Ignore: []string{ignored, "last"}}
		if _, err := o.policy(); err != nil {
			return // not UTF-8
		}
		checkPolicy(t, o)
	})
}

func TestWriteProject(t *testing.T) {
	folder := t.TempDir()
	o := ProjectOptions{Name: "bike", Target: "cnt", Task: Regression, Ignore: []string{"casual"}, ReferenceRows: 4250, BatchRows: 730}
	for range 2 { // also over an older one
		if err := WriteProject(folder, "/usr/bin/anneal", o); err != nil {
			t.Fatal(err)
		}
	}
	var v map[string]any
	if err := yaml.Unmarshal(read(t, folder, "policies", "bike.yaml"), &v); err != nil {
		t.Fatal(err)
	}
	rules, _ := at(t, v, "spec", "rules").([]any)
	want := []any{
		map[string]any{"id": "first", "if": "!champion.exists && signals.rows.value >= 2125"},
		map[string]any{"id": "drifted", "if": "signals.drift.share >= 0.3 && signals.rows.value >= 1825"},
	}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if got, want := at(t, v, "spec", "promote", "if"), "candidate.metrics.mae <= candidate.metrics.champion_mae"; got != want {
		t.Errorf("promote.if is %q, want %q", got, want)
	}
	if err := WriteProject(folder, "/usr/bin/anneal", ProjectOptions{Name: "bike", Target: "cnt", Task: Auto}); err == nil {
		t.Error("a project of task auto, want an error: its promotion has no metric")
	}
}

// TestGoRun has a project keep a program that is about to be removed.
func TestGoRun(t *testing.T) {
	program := filepath.Join(t.TempDir(), "go-build1326807375", "b001", "exe", "anneal")
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for range 2 { // also over an older one
		if err := WriteMarket(folder, program); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(folder, "anneal"))
	if err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("./anneal: %v (%v), want a program", info, err)
	}
}

func TestWriteMarket(t *testing.T) {
	folder := t.TempDir()
	if err := WriteMarket(folder, "/usr/bin/anneal"); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{Inbox, Bucket} {
		if info, err := os.Stat(filepath.Join(folder, sub)); err != nil || !info.IsDir() {
			t.Errorf("folder %s is missing", sub)
		}
	}
	if got, err := os.Readlink(filepath.Join(folder, "anneal")); err != nil || got != "/usr/bin/anneal" {
		t.Errorf("./anneal is a link to %q, %v", got, err)
	}
	var settings, policy map[string]any
	if err := yaml.Unmarshal(read(t, folder, "anneal.yaml"), &settings); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(read(t, folder, "policies", "market.yaml"), &policy); err != nil {
		t.Fatal(err)
	}
	if got := at(t, settings, "listen"); got != "127.0.0.1:8080" {
		t.Errorf("the project is served on %v, where no command looks", got)
	}
	// What the pipeline and the policy name is in the settings.
	pipeline := string(read(t, folder, "policies", "pipeline.asl.json"))
	for function := range at(t, settings, "embedded", "functions").(map[string]any) {
		if !strings.Contains(pipeline, ":function:"+function+`"`) {
			t.Errorf("the pipeline calls no function %s", function)
		}
	}
	for _, name := range []string{"/trainer:latest", ":ml-training-notifications"} {
		if !strings.Contains(pipeline, name) {
			t.Errorf("the pipeline does not name %s", name)
		}
	}
	if _, ok := at(t, settings, "buckets").(map[string]any)["ml-data"]; !ok {
		t.Errorf("no bucket ml-data in %v", settings["buckets"])
	}
	if got := at(t, policy, "spec", "data", "target"); got != MarketTarget {
		t.Errorf("the policy's target is %v, want %s", got, MarketTarget)
	}
	// What the pipeline reads of its input is there.
	input := at(t, policy, "spec", "run", "input").(map[string]any)
	for _, key := range []string{"DataPath", "TrainingJobName", "ModelOutputPath", "HyperParameters", "Metric", "MetricThreshold"} {
		if _, ok := input[key]; !ok || !strings.Contains(pipeline, "$."+key) {
			t.Errorf("input %s is not in both policy and pipeline", key)
		}
	}
}

// TestPipelineKeepsItsData holds the pipeline to what its comment says: a task's
// result never replaces the state's data, every state leads to one that is there,
// and what can fail is caught.
func TestPipelineKeepsItsData(t *testing.T) {
	data, err := files.ReadFile("files/policies/pipeline.asl.json")
	if err != nil {
		t.Fatal(err)
	}
	type catch struct{ Next, ResultPath string }
	var machine struct {
		StartAt string
		States  map[string]struct {
			Type, Next, Default, ResultPath string
			Choices                         []struct{ Next string }
			Catch                           []catch
		}
	}
	if err := json.Unmarshal(data, &machine); err != nil {
		t.Fatal(err)
	}
	reached := map[string]bool{}
	var visit func(from, name string)
	visit = func(from, name string) {
		s, ok := machine.States[name]
		if !ok {
			t.Errorf("%s leads to %q, which is not there", from, name)
		}
		if reached[name] || !ok {
			return
		}
		reached[name] = true
		switch s.Type {
		case "Task":
			if s.ResultPath == "" || s.ResultPath == "$" {
				t.Errorf("%s: its result replaces the state's data", name)
			}
			if len(s.Catch) == 0 {
				t.Errorf("%s: nothing catches its errors", name)
			}
			visit(name, s.Next)
		case "Choice":
			visit(name, s.Default)
		}
		for _, c := range s.Choices {
			visit(name, c.Next)
		}
		for _, c := range s.Catch {
			if c.ResultPath == "" {
				t.Errorf("%s: a caught error replaces the state's data", name)
			}
			visit(name, c.Next)
		}
	}
	visit("StartAt", machine.StartAt)
	for name := range machine.States {
		if !reached[name] {
			t.Errorf("no way leads to %s", name)
		}
	}
}

// TestProjectsLoad loads what is written as the daemon does.
func TestProjectsLoad(t *testing.T) {
	for name, write := range map[string]func(folder string) error{
		"market": func(folder string) error { return WriteMarket(folder, "/usr/bin/anneal") },
		"classes": func(folder string) error {
			return WriteProject(folder, "/usr/bin/anneal", ProjectOptions{Name: "classes", Target: `a "strange" name`, Task: Classification})
		},
		"bike": func(folder string) error {
			return WriteProject(folder, "/usr/bin/anneal", ProjectOptions{Name: "bike", Target: "cnt", Task: Regression, Ignore: []string{"casual"}, ReferenceRows: 4250, BatchRows: 730})
		},
	} {
		folder := t.TempDir()
		if err := write(folder); err != nil {
			t.Fatal(err)
		}
		config, err := configs.Load(filepath.Join(folder, "anneal.yaml"), configs.Options{})
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		if len(config.Policies) != 1 || config.Policies[0].Name() != name {
			t.Errorf("%s: %d policies, want its own", name, len(config.Policies))
		}
		for file, m := range config.Machines {
			if _, err := asl.Parse(m.Definition, file); err != nil {
				t.Errorf("%s:\n%v", name, err)
			}
		}
	}
}
