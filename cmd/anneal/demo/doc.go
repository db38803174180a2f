// Package demo holds the parts of `anneal demo` that are not the daemon: a
// market whose law changes, a trainer, a scorer of its models, the project
// folder that the daemon serves, and the table at the end.
//
// The trainer is a real one, under SageMaker's contract: see [Train]. It learns
// logistic or ridge regressions from CSV files of any columns, so that the same
// story can be told on other data. All here is deterministic: equal files and
// settings give equal models, to the byte.
//
// When to train, and which model to keep, is left to the policy.
package demo
