// Package configs loads and checks the YAML: the daemon's settings and the
// policies, with the state machines they name.
//
// It is strict: an unknown key, a wrong type, a key given twice or a value that
// makes no sense is a [Problem] with its place and with what would be right,
// and all problems are reported at once. What the design has and this version
// does not do is refused by name. A file is bounded in size, depth and
// aliases, so that a hostile one costs no more than a large one. A [Config] is
// one generation: everything in it was read once and fits together, and no
// secret is read before it is used: one that is not here is a note.
//
// It leaves to others: watching the files, checking the states of a state
// machine (handed in), and starting what is configured (cmd/anneal).
package configs
