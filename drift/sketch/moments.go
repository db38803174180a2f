package sketch

import "math"

// Moments are count, mean, spread and range of a column of numbers. The zero
// value is empty; Min and Max are 0 then. Products are rounded before they are
// added (the conversions say so), for equal results on every machine.
type Moments struct {
	N    int64
	Mean float64
	M2   float64 // sum of squared deviations from the mean
	Min  float64
	Max  float64
}

// Add adds values.
func (m *Moments) Add(values ...float64) {
	if len(values) == 0 {
		return
	}
	o := Moments{N: int64(len(values)), Min: values[0], Max: values[0]}
	for _, v := range values {
		if v < o.Min {
			o.Min = v
		}
		if v > o.Max {
			o.Max = v
		}
	}
	var s0, s1, s2, s3 float64 // that one addition need not wait for the other
	rest := values
	for ; len(rest) >= 4; rest = rest[4:] {
		s0 += rest[0]
		s1 += rest[1]
		s2 += rest[2]
		s3 += rest[3]
	}
	for _, v := range rest {
		s0 += v
	}
	sum := s0 + s1 + (s2 + s3)
	if o.Mean = sum / float64(o.N); o.Mean-o.Mean != 0 { // beyond float64
		o.Mean = 0
		for _, v := range values {
			o.Mean += v / float64(o.N)
		}
	}
	o.Mean = min(max(o.Mean, o.Min), o.Max) // whatever the rounding
	mean := o.Mean
	s0, s1, s2, s3 = 0, 0, 0, 0
	for rest = values; len(rest) >= 4; rest = rest[4:] {
		s0 += float64((rest[0] - mean) * (rest[0] - mean))
		s1 += float64((rest[1] - mean) * (rest[1] - mean))
		s2 += float64((rest[2] - mean) * (rest[2] - mean))
		s3 += float64((rest[3] - mean) * (rest[3] - mean))
	}
	for _, v := range rest {
		s0 += float64((v - mean) * (v - mean))
	}
	o.M2 = s0 + s1 + (s2 + s3)
	m.Merge(o)
}

// Merge adds what o has counted, by the update of Chan, Golub and LeVeque
// (1979).
func (m *Moments) Merge(o Moments) {
	switch {
	case o.N == 0:
		return
	case m.N == 0:
		*m = o
		return
	}
	n := float64(m.N + o.N)
	share := float64(o.N) / n
	delta := o.Mean - m.Mean
	m.Mean = float64(m.Mean*(1-share)) + float64(o.Mean*share)
	m.M2 += o.M2 + float64(delta*delta*float64(m.N)*share)
	m.N += o.N
	m.Min = min(m.Min, o.Min)
	m.Max = max(m.Max, o.Max)
}

// StdDev is the standard deviation of the population (of N, not N-1). It is
// +Inf where the squares are beyond float64.
func (m *Moments) StdDev() float64 {
	if m.N == 0 {
		return 0
	}
	return math.Sqrt(m.M2 / float64(m.N))
}

// Constant reports whether there are values and all are the same.
func (m *Moments) Constant() bool { return m.N > 0 && m.Min == m.Max }
