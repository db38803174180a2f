// Package asl reads Amazon States Language and runs it: parse, check, run, as a
// pure core. A state of an execution and something that happened go in; the
// next state, the history events that led there, and what must now be done
// outside come out, as a [Turn].
//
//	m, err := asl.Parse(definition, "pipeline.asl.json")
//	turn := asl.Start(m, info, input, asl.Env{Now: now})
//	turn = m.Resolve(turn.State, effectID, outcome, asl.Env{Now: now})
//	turn = m.Tick(turn.State, asl.Env{Now: now})
//
// It promises: no I/O, no clock, no global randomness, so that equal arguments
// give equal turns; a State that was written as JSON and read again gives the
// same further turns; a State that was passed in is never changed; an outcome
// that comes twice or too late changes nothing; whatever the definition, a turn
// ends and is bounded in size. Events, error names and causes are those that
// AWS has been seen to record. A [Machine] may be used by many goroutines.
//
// It leaves to others: having effects done and keeping turns (package engine),
// what a resource means (package tasks), and the API.
//
// An execution is a tree of contexts: the first line of control, and one for
// each branch of a Parallel and each iteration of a Map that runs. They are data;
// nothing runs between turns. In a turn those that can go on enter their next
// states by turns, until all wait.
//
// The children of a distributed Map are executions of their own: the core says
// what a run is about ([Machine.MapRun]), and takes how it ended as the outcome
// of an effect.
package asl
