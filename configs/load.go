package configs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/anneal-ml/anneal/policy"
)

// Options are what loading is handed in.
type Options struct {
	// CheckMachine reports what is wrong with the definition of a state
	// machine. Nil checks nothing.
	CheckMachine func(file string, definition []byte) []Problem
	// Builtins are the functions that come with anneal; validate-data,
	// evaluate-model, register-model and noop if nil.
	Builtins []string
	// States lists the tasks of a sound state machine, those in its branches
	// too: one of them is a policy's run.model.state. Nil checks nothing.
	States func(definition []byte) []string
	// Warnings has Config.Warnings filled in.
	Warnings bool
}

// A Config is one generation: settings, policies and state machines that were
// read together and fit each other.
type Config struct {
	File     string // of the settings, absolute
	Settings Settings
	Policies []Policy           // by name
	Machines map[string]Machine // by absolute path
	// Files are all files and folders that were read, absolute and in order:
	// when one of them changes, a new generation may be due.
	Files []string
	// Notes are what is not here and may be where the daemon runs: variables of
	// the environment and files that the settings name for secrets.
	Notes Problems
	// Warnings are what is sound and is hardly meant so, where they are asked for.
	Warnings Problems

	known *known // for the next generation
}

// A Policy is a policy that was compiled, and where it came from.
type Policy struct {
	*policy.Policy
	File    string // absolute
	Line    int    // where its document begins
	Machine string // absolute path of its state machine; empty without a run, or without a file
	ARN     string // of its state machine on Step Functions; empty for one that runs here
	// Place is where a part of the policy stands, such as spec.run.model, or the
	// byte at offset in the string there. It is nil unless warnings are asked for.
	Place func(path string, offset int) (line, column int)
}

// A Machine is the definition of a state machine.
type Machine struct {
	File       string // absolute
	Definition []byte
	Digest     string // hex SHA-256 of Definition
}

// Dir is the folder of the settings, where commands run.
func (c *Config) Dir() string { return filepath.Dir(c.File) }

// Load reads the settings in file and everything they name. The error is
// [Problems] where the configuration is at fault.
func Load(file string, options Options) (*Config, error) {
	l, err := newLoader(options, nil)
	if err != nil {
		return nil, err
	}
	file = l.absolute(file)
	c := &Config{File: file}
	d := l.settings(file, &c.Settings)
	if d == nil {
		return nil, l.problems.err()
	}
	for i, path := range c.Settings.Policies {
		l.policies(string(path), func(format string, args ...any) { d.add(index("policies", i), -1, format, args...) })
	}
	l.readPolicies()
	for _, name := range sortedKeys(c.Settings.Embedded.StateMachines) {
		l.machine(string(c.Settings.Embedded.StateMachines[name]), func(format string, args ...any) {
			d.add(policy.At("embedded.stateMachines", name), -1, format, args...)
		})
	}
	l.finish(c, c.Settings.channels)
	if err := l.problems.err(); err != nil {
		return nil, err
	}
	c.Notes = append(d.notes, l.notes...).inOrder()
	return c, nil
}

// Reload reads the policies of c and their state machines anew, under the
// settings of c, as another generation. A policy whose document is as it was is
// the one that c has. Where the error is [Problems], the Config has Files alone:
// what the problems are mended in.
func (c *Config) Reload(options Options) (*Config, error) {
	l, err := newLoader(options, c.known)
	if err != nil {
		return nil, err
	}
	next := &Config{File: c.File, Settings: c.Settings}
	l.files = append(l.files, c.File)
	for _, path := range c.Settings.Policies {
		l.policies(string(path), func(format string, args ...any) {
			l.problems = append(l.problems, Problem{File: c.File, Message: fmt.Sprintf(format, args...)})
		})
	}
	l.readPolicies()
	for _, file := range c.Settings.Embedded.StateMachines {
		l.machine(string(file), func(format string, args ...any) {
			l.problems = append(l.problems, Problem{File: c.File, Message: fmt.Sprintf(format, args...)})
		})
	}
	l.problems = append(l.problems, l.notes...) // the daemon runs here
	l.finish(next, c.Settings.channels)
	if err := l.problems.err(); err != nil {
		return &Config{Files: next.Files}, err
	}
	return next, nil
}

// channels lists the channels there are, if channel is none of them.
func (s *Settings) channels(channel string) []string {
	if _, ok := s.Notify[channel]; ok {
		return nil
	}
	return sortedKeys(s.Notify)
}

// LoadPolicies reads policies alone, from files and folders, with the state
// machines they name; the channels they notify are not checked. The Config has
// default Settings.
func LoadPolicies(paths []string, options Options) (*Config, error) {
	l, err := newLoader(options, nil)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	for _, path := range paths {
		path = l.absolute(path)
		before := len(l.policyIn) + len(l.problems)
		l.policies(path, func(format string, args ...any) {
			l.problems = append(l.problems, Problem{File: path, Message: fmt.Sprintf(format, args...)})
		})
		if l.Warnings && len(l.policyIn)+len(l.problems) == before {
			l.problems = append(l.problems, Problem{File: path, Message: "the folder has no policy in it: those are in files that end in .yaml or .yml", Warning: true})
		}
	}
	l.readPolicies()
	l.finish(c, func(string) []string { return nil })
	if err := l.problems.err(); err != nil {
		return nil, err
	}
	c.Settings.defaults(filepath.Join(l.dir, "anneal.yaml"))
	c.Notes = l.notes.inOrder()
	return c, nil
}

// A loader reads one generation.
type loader struct {
	Options
	dir      string // working directory
	problems Problems
	files    []string // that were read
	policyIn []string // files of policies, which are among these
	read     []*document
	machines map[string]Machine
	states   map[string][]string // of machines, once asked for
	known    *known
	notes    Problems // of policies, as Config.Notes
}

func newLoader(options Options, known *known) (*loader, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("load configuration: %w", err)
	}
	if options.Builtins == nil {
		options.Builtins = []string{"validate-data", "evaluate-model", "register-model", "noop"}
	}
	return &loader{Options: options, dir: dir, machines: map[string]Machine{}, states: map[string][]string{}, known: known}, nil
}

func (l *loader) absolute(path string) string {
	return relative(filepath.Join(l.dir, "x"), path)
}

// open is the content of a file, which is watched from now on.
func (l *loader) open(file string) ([]byte, error) {
	l.files = append(l.files, file)
	return readFile(file, maxFile)
}

// readFile is the content of a regular file of at most so many bytes.
func readFile(file string, most int64) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, reason(err)
	case info.IsDir():
		return nil, errors.New("this is a folder, not a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("this is not a regular file")
	case info.Size() > most:
		return nil, fmt.Errorf("%d bytes are too many: at most %d", info.Size(), most)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, reason(err)
	}
	defer f.Close()
	data := bytes.NewBuffer(make([]byte, 0, info.Size()+bytes.MinRead))
	_, err = data.ReadFrom(io.LimitReader(f, most+1))
	if int64(data.Len()) > most { // it is growing
		return nil, fmt.Errorf("too many bytes: at most %d", most)
	}
	return data.Bytes(), reason(err)
}

// reason is err without the path, which a Problem has already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// settings reads the settings; nil where they cannot be gone on with.
func (l *loader) settings(file string, s *Settings) *decoder {
	data, err := l.open(file)
	if err != nil {
		l.problems = append(l.problems, Problem{File: file, Message: err.Error()})
		return nil
	}
	docs, source := parseYAML(file, data, &l.problems)
	if len(docs) > 1 {
		source.report(docs[1].line, 1, "settings are one document: begin policies in files of their own")
	}
	if len(docs) == 0 {
		if len(l.problems) > 0 {
			return nil
		}
		docs = []*node{{kind: mapping, line: 1, column: 1}} // an empty file is all defaults
	}
	if docs[0].has("apiVersion") {
		source.report(docs[0].line, docs[0].column, "this is a policy, not the settings: name it under policies in anneal.yaml")
		return nil
	}
	d := decodeDocument(source, docs[0], s)
	s.defaults(file)
	s.check(d, l.Builtins)
	return d
}

// policies has the policies in a file read, or in the YAML files of a folder.
func (l *loader) policies(path string, report func(format string, args ...any)) {
	info, err := os.Stat(path)
	if err != nil {
		l.files = append(l.files, path) // may come to be
		report("%s: %v", path, reason(err))
		return
	}
	if !info.IsDir() {
		l.policyIn = append(l.policyIn, path)
		return
	}
	l.files = append(l.files, path)
	entries, err := os.ReadDir(path)
	if err != nil {
		report("%s: %v", path, reason(err))
		return
	}
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(e.Name(), ".") {
			l.policyIn = append(l.policyIn, filepath.Join(path, e.Name()))
		}
	}
}

// machine reads a state machine.
func (l *loader) machine(file string, report func(format string, args ...any)) {
	if _, ok := l.machines[file]; ok {
		return
	}
	definition, err := l.open(file)
	if err != nil {
		report("%s: %v", file, err)
		return
	}
	sum := sha256.Sum256(definition)
	l.machines[file] = Machine{File: file, Definition: definition, Digest: hex.EncodeToString(sum[:])}
	if l.CheckMachine != nil {
		l.problems = append(l.problems, l.CheckMachine(file, definition)...)
	}
}

// finish checks what concerns several files, where have lists the channels if
// one is unknown, and fills c.
func (l *loader) finish(c *Config, have func(channel string) []string) {
	for _, doc := range l.read {
		for i, n := range doc.spec.Spec.Notify {
			if channels := have(n.To); channels != nil && n.To != "" {
				doc.decoder().add(index("spec.notify", i)+".to", -1, "unknown channel %q%s", n.To, policy.Have(n.To, channels))
			}
		}
		l.model(doc)
		c.Policies = append(c.Policies, doc.Policy)
	}
	slices.Sort(l.files)
	c.Files = slices.Compact(l.files)
	if l.problems.err() != nil {
		return
	}
	if l.Warnings {
		l.warn(c)
	}
	slices.SortFunc(c.Policies, func(a, b Policy) int { return strings.Compare(a.Name(), b.Name()) })
	c.Machines, c.known = l.machines, l.known
}

// warn fills in the warnings of c.
func (l *loader) warn(c *Config) {
	makes := map[string]bool{} // by model group
	for _, p := range c.Policies {
		if run := p.Spec.Spec.Run; run != nil && run.Model != nil {
			makes[p.Group()] = true
		}
	}
	full := map[string]bool{}
	for _, doc := range l.read {
		full[doc.File] = true
		for _, p := range doc.Policy.Warnings(makes[doc.Group()]) {
			doc.decoder().warn(p.Path, p.Offset, p.Message)
		}
	}
	for _, file := range l.policyIn {
		if !full[file] {
			l.problems = append(l.problems, Problem{File: file, Message: "the file has no policy in it, so it decides nothing", Warning: true})
		}
	}
	c.Warnings = l.problems.inOrder()
}

// model checks that there is a state that makes the model of a policy.
func (l *loader) model(doc *document) {
	run := doc.spec.Spec.Run
	machine, read := l.machines[doc.Machine]
	if l.States == nil || !read || run == nil || run.Model == nil || run.Model.State == "" {
		return
	}
	states, asked := l.states[machine.File]
	if !asked {
		states = l.States(machine.Definition)
		l.states[machine.File] = states
	}
	if states != nil && !slices.Contains(states, run.Model.State) {
		doc.decoder().add("spec.run.model.state", -1, "%s has no task %q%s", filepath.Base(machine.File), run.Model.State, policy.Have(run.Model.State, states))
	}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func reflectOf[T any](v *T) reflect.Value { return reflect.ValueOf(v).Elem() }
