package configs

import (
	"crypto/sha256"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/anneal-ml/anneal/policy"
)

// A document is a policy that was read; its Policy is nil where it has problems.
type document struct {
	Policy
	spec   policy.Spec
	source *source
	at     *decoder // nil until it is asked for
	sum    [sha256.Size]byte
	found  Problems // as it was compiled
}

// decoder knows where in the document its values are. What is sound and nobody
// asks about keeps none.
func (d *document) decoder() *decoder {
	if d.at == nil {
		problems := d.source.problems
		d.source.problems = &Problems{} // they were reported
		var spec policy.Spec
		d.at = decodeDocument(d.source, d.source.parse(), &spec)
		d.source.problems = problems
	}
	return d.at
}

// known are the policies of a generation, for the next one.
type known struct {
	// policies are by the SHA-256 of their documents.
	policies map[[sha256.Size]byte]knownPolicy
	// compilers have seen what the policies say in the same words; for one
	// generation at a time.
	compilers *compilers
}

type knownPolicy struct {
	*policy.Policy
	line int // in its document
}

// compilers are one for each goroutine.
type compilers struct {
	mu       sync.Mutex
	each     []policy.Compiler // guarded by mu
	compiled int               // guarded by mu; policies that were, some of which are no more
}

// maxCompilers bounds how often what policies have in common is compiled.
const maxCompilers = 8

// readPolicies reads the files of policies and compiles what is new in them.
func (l *loader) readPolicies() {
	seen := map[string]bool{}
	for _, file := range l.files {
		seen[file] = true // the settings are no policy, whatever folder they are in
	}
	l.policyIn = slices.DeleteFunc(l.policyIn, func(file string) bool {
		again := seen[file]
		seen[file] = true
		return again
	})
	l.files = append(l.files, l.policyIn...)
	files := make([]struct {
		docs     []*source
		problems Problems
	}, len(l.policyIn))
	each(len(files), maxCompilers, func(_, i int) {
		f := &files[i]
		data, err := readFile(l.policyIn[i], maxPolicies)
		if err != nil {
			f.problems = Problems{{File: l.policyIn[i], Message: err.Error()}}
			return
		}
		f.docs = splitYAML(l.policyIn[i], data, &f.problems)
	})
	var docs []*document
	for _, f := range files {
		l.problems = append(l.problems, f.problems...)
		for _, s := range f.docs {
			docs = append(docs, &document{source: s})
		}
	}
	l.compile(docs)
	next := make(map[[sha256.Size]byte]knownPolicy, len(docs))
	byName := make(map[string]*document, len(docs))
	for _, doc := range docs {
		l.problems = append(l.problems, doc.found...)
		doc.source.problems = &l.problems
		if doc.Line == 0 {
			continue // it has no content, or none that can be read
		}
		l.read = append(l.read, doc)
		if doc.Policy.Policy != nil {
			next[doc.sum] = knownPolicy{doc.Policy.Policy, doc.Line - doc.source.before}
		}
		name := doc.spec.Metadata.Name
		if other := byName[name]; other != nil && name != "" {
			doc.decoder().add("metadata.name", -1, "the name %q is taken by the policy at %s:%d: give each policy its own", name, other.File, other.Line)
		} else {
			byName[name] = doc
		}
		if run := doc.spec.Spec.Run; run != nil && run.StateMachine.File != "" {
			doc.Machine = relative(doc.File, run.StateMachine.File)
			l.machine(doc.Machine, func(format string, args ...any) {
				doc.decoder().add("spec.run.stateMachine.file", -1, format, args...)
			})
		}
		l.arn(doc)
		if l.Warnings {
			doc.Place = func(path string, offset int) (line, column int) {
				line, column, _ = doc.decoder().place(path, offset)
				return line, column
			}
		}
	}
	l.known = &known{next, l.known.compilers}
}

// compile fills in the documents: from those that are known, or by compiling
// them.
func (l *loader) compile(docs []*document) {
	if l.known == nil {
		l.known = &known{compilers: &compilers{}}
	}
	var fresh []*document
	for _, doc := range docs {
		doc.sum = sha256.Sum256([]byte(doc.source.text))
		if known, ok := l.known.policies[doc.sum]; ok {
			doc.Policy = Policy{Policy: known.Policy, File: doc.source.file, Line: doc.source.before + known.line}
			doc.spec = known.Spec
			continue
		}
		doc.source.problems = &doc.found
		fresh = append(fresh, doc)
	}
	cs := l.known.compilers
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.compiled += len(fresh); cs.compiled > 2*len(docs)+1_000 {
		cs.each, cs.compiled = nil, len(fresh) // most of what they know is of policies that are gone
	}
	if cs.each == nil {
		cs.each = make([]policy.Compiler, maxCompilers)
	}
	each(len(fresh), len(cs.each), func(worker, i int) { fresh[i].compile(&cs.each[worker]) })
}

// compile parses, decodes and compiles a document.
func (d *document) compile(k *policy.Compiler) {
	n := d.source.parse()
	if n == nil {
		return
	}
	if !n.has("apiVersion", "kind", "spec") && n.has("listen", "policies", "sources", "embedded") {
		d.source.report(n.line, n.column, "these are the settings, not a policy: name them with --config")
		return
	}
	at := decodeDocument(d.source, n, &d.spec)
	if n.kind != mapping || len(n.entries) == 0 {
		return
	}
	d.Policy = Policy{File: d.source.file, Line: n.line}
	compiled, problems := k.Compile(d.spec)
	for _, p := range problems {
		at.add(p.Path, p.Offset, "%s", p.Message)
	}
	if d.found != nil {
		d.at = at
		return
	}
	d.Policy.Policy, d.spec = compiled, compiled.Spec
}

// each calls f for 0 to n-1, in as many goroutines as are of use, each of which
// has a number below most.
func each(n, most int, f func(worker, i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for worker := range min(most, runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(worker, i)
			}
		})
	}
	workers.Wait()
}
