// Package witness tells whether what was to be learnt from a reference still
// holds in current data that carry the target. A [Witness] is a model of gradient
// boosting that was fitted on the reference alone; [Witness.Judge] measures it on
// current data, against what it was worth on the newest quarter of the reference
// when it had seen only the older three.
//
// Columns may move and do no harm, and a relation may change while every column
// stays: this is the measure of the second, which no comparison of columns sees.
// It is not the model that serves, and it is not promoted.
//
// Everything is a function of the rows in their order: there is no chance in it.
// Memory is bounded: of many rows an even part is kept. Reading is dataset's,
// metrics are performance's.
package witness
