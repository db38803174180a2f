// Package profile summarises one object, column by column, so that it can be
// compared later without its data.
//
// A profile is built in one pass and bounded memory, merges with others, and
// encodes to bytes that are the same for the same data on every machine. A
// window, a training set and a reference are merges of the profiles of their
// objects. The order of a merge changes no count, and a distribution by no
// more than the error that it states.
package profile
