package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/anneal-ml/anneal"
	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
)

// gathers is a policy whose run trains on all that came until it was quiet.
func gathers(quiet string) string {
	return `apiVersion: anneal/v1alpha1
kind: RetrainPolicy
metadata: {name: gather}
spec:
  mode: enforce
  model: {group: gather}
  data: {format: csv, train: {last: 1}}
  signals:
    rows: {source: data, reduce: rows, since: lastTrained}
  triggers:
    - id: files
      event: {type: Object Created}
      debounce: {quiet: ` + quiet + `}
  rules:
    - {id: some, if: "signals.rows.value > 0"}
  run:
    stateMachine: {file: gather.asl.json}
    timeout: 1h
`
}

const (
	reloadSettings = `listen: 127.0.0.1:0
data: ./data
policies: [./policies]
staging: ./staging
sources:
  - directory: {path: ./inbox, bucket: inbox, settle: 10ms}
embedded:
  functions:
    Wait: {command: [sh, -c, 'while [ ! -e go ]; do sleep 0.05; done; echo {}']}
`
	gatherMachine = `{"StartAt": "Wait", "States": {"Wait": {"Type": "Task",
  "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "Wait"}, "End": true}}}`
)

// readyz is what /readyz says.
func (p *process) readyz() string { return p.page("/readyz") }

// page is the answer to a GET, with its header.
func (p *process) page(path string) string {
	resp, err := http.Get(p.server + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var body strings.Builder
	if err := resp.Write(&body); err != nil {
		return err.Error()
	}
	return body.String()
}

func (p *process) policies() []controller.PolicyStatus {
	p.t.Helper()
	var list []controller.PolicyStatus
	if err := p.get("policies", &list); err != nil {
		p.t.Fatal(err)
	}
	return list
}

func (p *process) awaitReload(want string) {
	p.t.Helper()
	eventually(p.t, 10*time.Second, func() error {
		if got := p.readyz(); !strings.Contains(got, want) {
			return fmt.Errorf("/readyz says %s: want %q\n%s", got, want, p.log)
		}
		return nil
	})
}

// TestReload changes policies while a debounce is open and while a run is
// under way: neither is lost, and a bad file changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml": reloadSettings, "inbox/.keep": "",
		"policies/gather.yaml": gathers("1h"), "policies/gather.asl.json": gatherMachine,
	})
	p := begin(t, dir)
	inbox := filepath.Join(dir, "inbox")
	for i := range 3 {
		drop(t, inbox, fmt.Sprintf("%d.csv", i), fmt.Appendf(nil, "a,b\n1,%d\n", i))
	}
	eventually(t, 10*time.Second, func() error {
		if g := p.policies()[0].Gathered; len(g) != 1 || g[0].Objects != 3 {
			return fmt.Errorf("gathered is %+v: want one window of three objects", g)
		}
		return nil
	})

	// A bad file: the last good generation goes on and says so.
	write(t, dir, map[string]string{"policies/gather.yaml": "apiVersion: anneal/v1alpha1\nkind: RetrainPolicy\nmetadata: {nam: x}\n"})
	p.awaitReload("is refused")
	if got := p.readyz(); !strings.Contains(got, "200 OK") || !strings.Contains(got, "policies/gather.yaml:") {
		t.Errorf("/readyz says %s: want 200, and where the problem is", got)
	}
	if n := len(p.policies()); n != 1 {
		t.Errorf("%d policies after a bad file, want the one", n)
	}
	if got := p.page("/metrics"); !strings.Contains(got, "\nanneal_reload_refused 1\n") || !strings.Contains(got, "\nanneal_policies_loaded 1\n") {
		t.Errorf("/metrics does not say that the change is refused:\n%s", got)
	}

	// Mended, with a shorter debounce and another policy: the open window ends
	// by the new policy, and its run gets every object.
	write(t, dir, map[string]string{
		"policies/gather.yaml": gathers("1s"),
		"policies/other.yaml": strings.ReplaceAll(strings.ReplaceAll(gathers("1h"), "name: gather", "name: other"),
			"mode: enforce", "mode: observe"),
	})
	p.awaitReload("2 loaded")
	if got := p.page("/metrics"); !strings.Contains(got, "\nanneal_reload_refused 0\n") || !strings.Contains(got, "\nanneal_policies_loaded 2\n") {
		t.Errorf("/metrics does not say that the change is in force:\n%s", got)
	}
	var run anneal.Run
	eventually(t, 10*time.Second, func() error {
		var runs []anneal.Run
		if err := p.get("runs", &runs); err != nil {
			return err
		}
		if len(runs) != 1 || runs[0].Status != anneal.StatusRunning {
			return fmt.Errorf("runs are %+v: want one that is RUNNING\n%s", runs, p.log)
		}
		run = runs[0]
		return nil
	})
	if n := len(run.Training.Objects); n != 3 {
		t.Errorf("the run trains on %d objects, want the 3 that were gathered", n)
	}

	// The policy goes away while its run is under way, and the run still ends.
	if err := os.Remove(filepath.Join(dir, "policies", "gather.yaml")); err != nil {
		t.Fatal(err)
	}
	p.awaitReload("1 loaded")
	write(t, dir, map[string]string{"go": ""})
	eventually(t, 10*time.Second, func() error {
		if err := p.get("runs/"+run.ID, &run); err != nil {
			return err
		}
		if run.Status != anneal.StatusSucceeded {
			return fmt.Errorf("the run is %s %s %s: want SUCCEEDED", run.Status, run.Error, run.Cause)
		}
		return nil
	})
	if out, status := p.anneal("decisions", "verify"); status != 0 {
		t.Errorf("decisions verify: %d: %s", status, out)
	}
}

// TestReloadSwappedLinks has Kubernetes' way of changing a ConfigMap noticed:
// the files are links through a link, which is replaced. SIGHUP is another way.
func TestReloadSwappedLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"anneal.yaml": reloadSettings, "inbox/.keep": "",
		"policies/..1/gather.yaml": gathers("1h"), "policies/..1/gather.asl.json": gatherMachine,
		"policies/..2/gather.yaml": gathers("2h"), "policies/..2/gather.asl.json": gatherMachine,
	})
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, "policies", name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	link("..data/gather.yaml", "gather.yaml")
	link("..data/gather.asl.json", "gather.asl.json")
	p := begin(t, dir)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil { // which ends who does not listen yet
		t.Fatal(err)
	}
	before := p.policies()[0].Revision
	link("..2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "policies", "..data_tmp"), filepath.Join(dir, "policies", "..data")); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() error {
		if after := p.policies()[0].Revision; after == before {
			return fmt.Errorf("the policy is as before the swap\n%s", p.log)
		}
		return nil
	})
}

// A folder that is watched from now on, or again, may have changed since its files were
// read.
func TestFileWatchTellsOfNewFolders(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a/a.yaml": "", "b/b.yaml": ""})
	a, b := filepath.Join(dir, "a", "a.yaml"), filepath.Join(dir, "b", "b.yaml")
	w := newFileWatch([]string{a})
	defer w.close()
	sets := func(want bool, files ...string) {
		t.Helper()
		if got := w.set(files); got != want || w.err != nil {
			t.Errorf("folders of %q that were not watched: %t (%v), want %t", files, got, w.err, want)
		}
	}
	sets(false, a)
	sets(true, a, b)
	sets(false, a, b)
	if err := os.RemoveAll(filepath.Dir(b)); err != nil {
		t.Fatal(err)
	}
	for removed := false; !removed; { // the system tells of it later
		select {
		case e := <-w.events():
			removed = e.Name == filepath.Dir(b) && e.Has(fsnotify.Remove)
		case <-time.After(5 * time.Minute):
			t.Fatal("the system does not tell that a folder is gone")
		}
	}
	write(t, dir, map[string]string{"b/b.yaml": ""})
	sets(true, a, b)
	sets(false, a)
}

// What begins by policies that are being loaded finds their machines.
func TestGenerationThatComes(t *testing.T) {
	var g generation
	old, next := &configs.Config{}, &configs.Config{}
	g.take(old)
	for _, c := range []struct {
		what         string
		do           func()
		good, newest *configs.Config
	}{
		{"a new one comes", func() { g.expect(next) }, old, next},
		{"it is refused", func() { g.refuse(fmt.Errorf("wrong")) }, old, old},
		{"it comes again", func() { g.expect(next) }, old, next},
		{"it is taken", func() { g.take(next) }, next, next},
	} {
		if c.do(); g.config() != c.good || g.newest() != c.newest {
			t.Errorf("%s: the wrong one decides, or begins", c.what)
		}
	}
}
