// Package statistics has the statistics and tests of drift: how far two samples
// of numbers, two lists of counts, or two tables of rows are from each other,
// and how probable that is by chance.
//
// A sample of numbers is given as the sorted distinct values and how often each
// comes ([Points]), which a sketch has too. Every function is pure: equal inputs
// give equal results on every machine, also where a test draws permutations.
// Each follows the reference named in its comment, SciPy for most, to the digit;
// where a statistic is not defined it is NaN, as it is there.
//
// What counts as drift is for package drift to say.
package statistics
