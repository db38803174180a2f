// Package outcome joins predictions with what came true, and measures how good
// they were: performance over late labels.
//
// [Read] takes from an object what a metric needs of it, a [Batch] that can be
// kept instead of the object. A [Join] is a fold of batches, of predictions and
// of labels in whatever order they came; [Join.Measure] asks it how good the
// predictions of a time were.
//
// Rows are joined by a 64-bit hash of their key. Of rows with one key the last
// one counts, of predictions as of labels: a correction takes the place of what
// it corrects. What a batch or a join holds is bounded: beyond 131,072 rows it
// keeps those of every second key, then of every fourth, and so on, the same
// keys of predictions and of labels, and says so. The metric is then that of a
// sample, and its interval as wide as the sample asks.
//
// Everything here is a function from data to data. When to measure, and what to
// do about it, is policy's and the controller's.
package outcome
