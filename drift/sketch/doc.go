// Package sketch summarises a column in bounded memory: [Quantiles] and
// [Moments] of numbers, counts of [Categories], how many values differ.
//
// Every sketch is exact while there is little, states its error when it is
// not, merges with others of its kind, and encodes to bytes that depend on
// nothing but what was added, in which order: no random source, no map order.
// Sketches are not for concurrent use.
package sketch
