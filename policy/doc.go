// Package policy decides from signals, the past and a time whether to retrain,
// and says why.
//
// A [Spec] is a policy as data. [Compile] checks it, every expression typed and
// bounded in cost, and reports all problems at once. [Decide] evaluates a
// [Policy] about one [Cause]: triggers wake, rules want, guards veto, and the
// run acts. What the past holds is a [State], a fold of journal records.
//
// Everything is a pure function of its arguments: no clock (the time is the
// cause's Seen), no I/O, and equal arguments give equal bytes, so that a
// decision can be made again later and compared. An expression that cannot be
// evaluated is unknown, which is neither true nor false. A Policy may be used
// by many goroutines, a State by one at a time.
//
// It leaves to others: reading the YAML (configs), measuring the signals
// (drift), and doing what was decided (controller).
package policy
