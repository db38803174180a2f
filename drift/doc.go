// Package drift measures how far data has moved: it compares the profile of
// current data with that of a reference ([Compare]), and says whether data can
// be trained on at all ([Validate]).
//
// Everything here is a function from data to data, without clock, I/O or
// chance. Results hold no NaN and no infinity, so they can always be written as
// JSON. [Comparison] says which rule made drift of them.
//
// The statistics themselves, more than Compare uses, are in package statistics;
// performance measures predictions, and stream finds the value at which a stream
// changes. Each follows the reference that it names to the digit, and can be
// asked for alone by the name it has there: [Eval].
//
// Columns may move and do no harm. Where current data carry the target, package
// witness measures what a model of the reference is worth on them, and
// [AnnealRules] go by it; [Due] says when that makes a retraining worth its cost.
// The rules of Evidently and NannyML are there for who comes from them.
//
// Reading data is dataset's, summarising it sketch's and profile's; what to do
// about drift is policy's.
package drift
