package stepfunctions

// Looks is how many executions there is word of.
func (e *Executor) Looks() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.following {
		if f.told {
			n++
		}
	}
	return n
}

// EventOf is eventOf.
var EventOf = eventOf
