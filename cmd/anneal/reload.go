package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/anneal-ml/anneal/configs"
	"github.com/anneal-ml/anneal/controller"
	"github.com/anneal-ml/anneal/orchestrator"
)

// A generation is the policies and state machines that the daemon works with,
// and what is known of the newest that is on disk.
type generation struct {
	mu     sync.Mutex
	good   *configs.Config // guarded by mu; the one that decides
	coming *configs.Config // guarded by mu; the one that may decide already; nil: none
	loaded time.Time       // guarded by mu; since when
	bad    error           // guarded by mu; what is wrong with the newest; nil if that is good
	at     time.Time       // guarded by mu; when that was seen
}

func (g *generation) take(cfg *configs.Config) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.good, g.coming, g.loaded, g.bad = cfg, nil, time.Now(), nil
}

// expect says that cfg is about to decide.
func (g *generation) expect(cfg *configs.Config) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.coming = cfg
}

// refuse notes what is wrong with the newest, nil where it is the good one.
func (g *generation) refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.coming, g.bad, g.at = nil, err, time.Now()
}

func (g *generation) config() *configs.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.good
}

// newest is the one that decides, or may already.
func (g *generation) newest() *configs.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return cmp.Or(g.coming, g.good)
}

// state is how many policies the good generation has, and what is wrong with a newer
// one.
func (g *generation) state() (policies int, bad error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.good.Policies), g.bad
}

// String is what /readyz says of the policies.
func (g *generation) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := fmt.Sprintf("%d loaded", len(g.good.Policies))
	var problems configs.Problems
	switch {
	case g.bad == nil:
		return s
	case errors.As(g.bad, &problems):
		return fmt.Sprintf("%s at %s; the change seen at %s is refused: %s, the first is %v", s,
			g.loaded.UTC().Format(time.RFC3339), g.at.UTC().Format(time.RFC3339), count(len(problems), "problem"), problems[0])
	default:
		return fmt.Sprintf("%s at %s; the change seen at %s is refused: %v", s,
			g.loaded.UTC().Format(time.RFC3339), g.at.UTC().Format(time.RFC3339), g.bad)
	}
}

// controllerGeneration is cfg as the controller takes it.
func controllerGeneration(cfg *configs.Config) controller.Generation {
	g := controller.Generation{Machines: map[string]orchestrator.Machine{}}
	for _, p := range cfg.Policies {
		g.Policies = append(g.Policies, p.Policy)
		if p.ARN != "" {
			g.Machines[p.Name()] = orchestrator.Machine{Name: p.Name(), ARN: p.ARN}
		} else if m, ok := cfg.Machines[p.Machine]; ok {
			g.Machines[p.Name()] = orchestrator.Machine{Name: p.Name(), Definition: m.Definition}
		}
	}
	return g
}

const (
	// settle is how long files must be left alone before they are read: a
	// person saves several, and so does a deployment.
	settle = 250 * time.Millisecond
	// lookAnyway is how often files are read where the system does not tell of
	// changes.
	lookAnyway = 10 * time.Second
)

// keepPolicies loads policies and state machines whenever they change, or on
// SIGHUP, until ctx ends. What is wrong with them is reported, and the last
// good generation goes on.
func (d *daemon) keepPolicies(ctx context.Context) error {
	watch := newFileWatch(d.generation.config().Files)
	defer watch.close()
	if watch.err != nil {
		d.log.Warn("policies are looked at now and then: the system does not tell of changes", "every", lookAnyway, "err", watch.err)
	}
	due := time.NewTimer(settle) // what was changed between loading and watching
	defer due.Stop()
	load := func() {
		if d.reload(ctx, watch) {
			due.Reset(settle) // what was changed between reading and watching
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.hangup:
			load()
		case e := <-watch.events():
			if watch.concerns(e) {
				due.Reset(settle)
			}
		case <-watch.errors(): // events were lost
			due.Reset(settle)
		case <-watch.anyway():
			load()
		case <-due.C:
			load()
		}
	}
}

// reload reads what is on disk and has it decide if it is good and another. It reports
// whether folders are watched that were not while they were read.
func (d *daemon) reload(ctx context.Context, watch *fileWatch) (more bool) {
	good := d.generation.config()
	next, err := good.Reload(loadOptions())
	if next != nil {
		more = watch.set(next.Files)
	}
	if err == nil {
		if problems := checkResources(next); len(problems) > 0 {
			err = problems
		}
	}
	switch _, bad := d.generation.state(); {
	case err != nil:
		if bad == nil || bad.Error() != err.Error() {
			d.log.Error("policies not reloaded, the last good ones go on", "err", err)
		}
		d.generation.refuse(err)
		return more
	case sameGeneration(good, next):
		if bad != nil {
			d.log.Info("policies are again as they were loaded")
		}
		d.generation.refuse(nil)
		return more
	}
	// It decides before Load returns: what it decides on finds its machines, and what it
	// measures is shown.
	d.generation.expect(next)
	d.measures.load(slices.Concat(good.Policies, next.Policies))
	if err := d.controller.Load(ctx, controllerGeneration(next)); err != nil {
		if ctx.Err() == nil {
			d.log.Error("policies not reloaded, the last good ones go on", "err", err)
			d.measures.load(good.Policies)
			d.generation.refuse(err)
		}
		return more
	}
	d.generation.take(next)
	d.measures.load(next.Policies)
	d.schedules.set(d.scheduled(next))
	d.log.Info("policies reloaded", "policies", len(next.Policies))
	return more
}

// sameGeneration reports whether two generations decide and run alike.
func sameGeneration(a, b *configs.Config) bool {
	same := func(p, q configs.Policy) bool {
		return p.Name() == q.Name() && p.Revision == q.Revision && p.ARN == q.ARN && a.Machines[p.Machine].Digest == b.Machines[q.Machine].Digest
	}
	return slices.EqualFunc(a.Policies, b.Policies, same) &&
		maps.EqualFunc(a.Machines, b.Machines, func(m, n configs.Machine) bool { return m.Digest == n.Digest })
}

// embeddedMachines are the machines of policies that run here, by policy.
func embeddedMachines(cfg *configs.Config) map[string]orchestrator.Machine {
	machines := controllerGeneration(cfg).Machines
	maps.DeleteFunc(machines, func(_ string, m orchestrator.Machine) bool { return m.Definition == nil })
	return machines
}

// A fileWatch tells of changes of files and of what they link to.
type fileWatch struct {
	system *fsnotify.Watcher // nil if the system has none to give
	tick   *time.Ticker      // where the system does not tell all
	files  map[string]bool
	err    error
}

func newFileWatch(files []string) *fileWatch {
	w := &fileWatch{}
	w.system, w.err = fsnotify.NewBufferedWatcher(64)
	w.set(files)
	return w
}

// set watches the folders of these files, and these that are folders. A file is
// watched by its folder, since it may be replaced, and so is what it links to. It
// reports whether there are folders among them that were not watched.
func (w *fileWatch) set(files []string) (more bool) {
	w.files = map[string]bool{}
	folders := map[string]bool{}
	for _, f := range files {
		w.files[f] = true
		folders[filepath.Dir(f)] = true
		if info, err := os.Stat(f); err == nil && info.IsDir() {
			folders[f] = true
		}
		if target, err := filepath.EvalSymlinks(f); err == nil && target != f {
			w.files[target] = true
			folders[filepath.Dir(target)] = true
		}
	}
	if w.system != nil {
		for _, old := range w.system.WatchList() {
			if !folders[old] {
				w.system.Remove(old)
			}
		}
		before := w.system.WatchList()
		for _, folder := range slices.Sorted(maps.Keys(folders)) {
			if err := w.system.Add(folder); err != nil && !errors.Is(err, os.ErrNotExist) {
				w.err = fmt.Errorf("watch %s: %w", folder, err)
			}
		}
		for _, folder := range w.system.WatchList() {
			more = more || !slices.Contains(before, folder)
		}
	}
	if w.err != nil && w.tick == nil {
		w.tick = time.NewTicker(lookAnyway)
	}
	return more
}

// concerns reports whether an event may be of the files: of one of them, of a
// YAML file beside them, or of the link that Kubernetes swaps.
func (w *fileWatch) concerns(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	ext, base := filepath.Ext(e.Name), filepath.Base(e.Name)
	return w.files[e.Name] || strings.HasPrefix(base, "..") ||
		w.files[filepath.Dir(e.Name)] && (ext == ".yaml" || ext == ".yml")
}

func (w *fileWatch) events() <-chan fsnotify.Event {
	if w.system == nil {
		return nil
	}
	return w.system.Events
}

func (w *fileWatch) errors() <-chan error {
	if w.system == nil {
		return nil
	}
	return w.system.Errors
}

func (w *fileWatch) anyway() <-chan time.Time {
	if w.tick == nil {
		return nil
	}
	return w.tick.C
}

func (w *fileWatch) close() {
	if w.system != nil {
		w.system.Close()
	}
	if w.tick != nil {
		w.tick.Stop()
	}
}
