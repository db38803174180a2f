// Package stream finds the moment at which a stream of values changes: the
// errors of a model, one by one, or any other number. Each detector follows its
// paper as River 0.21 has it, to the very index.
//
// A detector is a struct of options and what it remembers of the stream, made
// by its constructor with River's defaults. Its Add takes the next value and
// says whether that one brings drift, or a warning of it. After drift it starts
// afresh with the value after, so that it can find the next change. It takes
// constant time and memory, ADWIN's growing with the logarithm of the stream.
// The same values always give the same answers.
//
// What is to be done about it is for others to say, and so is what becomes of
// values that are not finite: there must be none.
package stream

// A mean is the running mean of a stream.
type mean struct{ n, value float64 }

func (m *mean) add(x float64) {
	m.n++
	m.value += float64(1 / m.n * (x - m.value))
}
