// Package performance measures how good predictions are: with labels, as
// scikit-learn does, and without, by what calibrated probabilities promise
// ([Estimate]). A model degrades where this falls, whatever the data did.
//
// Every function is pure and takes lists of equal lengths, at least one long.
// A ratio without a denominator is 0, as with scikit-learn's zero_division=0;
// what has no meaning is NaN.
package performance
