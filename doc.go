// Package anneal holds the six nouns that everything else is made of.
//
//	event    →  signal  →  decision  →  run           →  model     →  notice
//	triggers    drift      policy       orchestrator     registry     notify
//
// An [Event] happened somewhere. A [Signal] is a measured fact about one
// model. A [Decision] is the verdict of one policy at one instant, with its
// proof. A [Run] is one execution of a state machine. A [Model] is a version in
// a model group. A [Notice] is what somebody is told.
//
// Each is made from the one before and carries the ID of its cause, so that a
// notice, a model or a run can be followed back to the event that began it.
// Every ID is derived from what it identifies (see [ID]), so that doing a step
// twice changes nothing.
//
// The package has data only: no I/O, no clock, and nothing but the standard
// library.
package anneal
