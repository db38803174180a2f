// Package jsonata reads and evaluates JSONata 2.0.6, the query and
// transformation language of Amazon States Language, over the ordered values of
// package value.
//
//	e, err := jsonata.Parse("$sum(order.items.(price * quantity))")
//	v, ok, err := e.Eval(jsonata.Args{Input: input})
//
// It does what the reference implementation of that version does, down to when
// a sequence of one is its item and which error code is raised, with these
// differences: members of objects stay in the order in which they came, numbers
// that only pass through keep the text they were written with, a result that
// JSON cannot hold (an infinity) is an error, and an evaluation is bounded.
//
// It promises: no I/O, no clock, no global randomness, so that equal arguments
// give equal results; whatever the expression and the input, parsing and
// evaluating end, within the budget of [Args], in an error of type [*Error] if
// not in a value. An Expr may be used by many goroutines.
//
// [ParseStates] reads the dialect of Step Functions: without $eval, with
// $partition, $range, $hash, $random(seed), $uuid and $parse. What is bound to
// variables such as $states is up to the caller.
//
// Strings are counted and cut by code points, and compared and matched by
// UTF-16 code units, as the reference does. A lone surrogate is kept as package
// value keeps it.
package jsonata
