package engine

import (
	"slices"

	"github.com/anneal-ml/anneal/orchestrator"
)

// latelySize bounds what lately keeps, in bytes of input and output.
const latelySize = 4 << 20

// lately are the executions that ended last, as they ended: who began one, or hears
// of its end from the journal, asks then, and is spared to have its turn read.
type lately struct {
	ends  map[string]orchestrator.Execution // by name
	order []string                          // oldest first
	size  int
}

// heavy is about how much memory it takes to keep x.
func heavy(x orchestrator.Execution) int {
	return 1<<10 + len(x.Input) + len(x.Output) + len(x.Cause)
}

func (l *lately) add(name string, x orchestrator.Execution) {
	if l.ends == nil {
		l.ends = map[string]orchestrator.Execution{}
	}
	l.drop(name)
	l.ends[name] = x
	l.order = append(l.order, name)
	l.size += heavy(x)
	for l.size > latelySize {
		oldest := l.order[0]
		l.order = l.order[1:]
		l.size -= heavy(l.ends[oldest])
		delete(l.ends, oldest)
	}
}

// drop forgets an execution: it goes on.
func (l *lately) drop(name string) {
	if x, ok := l.ends[name]; ok {
		l.size -= heavy(x)
		delete(l.ends, name)
		i := slices.Index(l.order, name)
		l.order = slices.Delete(l.order, i, i+1)
	}
}
