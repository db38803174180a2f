package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext/prng"
)

// A Detector is each of this package's.
type Detector interface {
	// Add takes the next value, which is finite, and says whether it brings drift,
	// or a warning of it.
	Add(x float64) (drift, warning bool)
	// remembered visits what it remembers of the stream; its options are no part.
	remembered(*memory)
}

// Save gives what a detector remembers of its stream as bytes: at most 4 KB.
func Save(d Detector) []byte {
	m := memory{}
	d.remembered(&m)
	return m.b
}

// Restore has a detector that was made with the same options, and has seen no
// value yet, remember what was saved: it goes on as the saved one would have.
func Restore(d Detector, saved []byte) error {
	m := memory{b: saved, reads: true}
	d.remembered(&m)
	if m.bad || len(m.b) > 0 {
		return fmt.Errorf("restore a %T: %w", d, errDamaged)
	}
	return nil
}

var errDamaged = errors.New("what was saved is damaged, or another detector's")

// A memory is written, or read back, field by field in one order. After damage it
// reads zeros.
type memory struct {
	b     []byte
	reads bool
	bad   bool
}

func (m *memory) word(v *uint64) {
	if !m.reads {
		m.b = binary.LittleEndian.AppendUint64(m.b, *v)
		return
	}
	if len(m.b) < 8 {
		*v, m.bad, m.b = 0, true, nil
		return
	}
	*v = binary.LittleEndian.Uint64(m.b)
	m.b = m.b[8:]
}

func (m *memory) numbers(list ...*float64) {
	for _, v := range list {
		bits := math.Float64bits(*v)
		m.word(&bits)
		*v = math.Float64frombits(bits)
	}
}

func (m *memory) bools(list ...*bool) {
	for _, v := range list {
		var word uint64
		if *v {
			word = 1
		}
		m.word(&word)
		m.bad = m.bad || word > 1
		*v = word == 1
	}
}

// size is how many parts of so many bytes follow.
func (m *memory) size(n, each int) int {
	word := uint64(n)
	m.word(&word)
	if m.reads && word > uint64(len(m.b)/each) {
		m.bad, m.b = true, nil
		return 0
	}
	return int(word)
}

func (m *memory) means(list ...*mean) {
	for _, v := range list {
		m.numbers(&v.n, &v.value)
	}
}

func (m *memory) weighted(list ...*weighted) {
	for _, v := range list {
		m.bools(&v.any)
		m.numbers(&v.mean, &v.squares)
	}
}

func (d *ADWIN) remembered(m *memory) {
	rows := m.size(len(d.rows), 8)
	if m.reads && rows > 0 {
		d.rows = make([][]bucket, rows)
	}
	for i := range d.rows {
		buckets := m.size(len(d.rows[i]), 16)
		if m.reads {
			d.rows[i] = make([]bucket, buckets)
		}
		for k := range d.rows[i] {
			m.numbers(&d.rows[i][k].total, &d.rows[i][k].variance)
		}
		// Only what an Add leaves behind can go on.
		m.bad = m.bad || buckets > d.Buckets || buckets == 0 && i == rows-1
	}
	ticks := uint64(d.ticks)
	m.word(&ticks)
	d.ticks = int(ticks)
	m.numbers(&d.n, &d.total, &d.variance)
	m.bools(&d.drifted)
}

func (d *DDM) remembered(m *memory) {
	m.means(&d.errors)
	m.numbers(&d.rate, &d.sd)
	m.bools(&d.drift, &d.warned)
}

func (d *EDDM) remembered(m *memory) {
	m.numbers(&d.n, &d.last, &d.squares, &d.farthest)
	m.means(&d.distances)
	m.bools(&d.drifted, &d.warned)
}

func (d *HDDMA) remembered(m *memory) {
	m.means(&d.all, &d.low, &d.high)
	m.bools(&d.drifted)
}

func (d *HDDMW) remembered(m *memory) {
	m.weighted(&d.all, &d.lowBefore, &d.lowSince, &d.highBefore, &d.highSince)
	m.numbers(&d.lowest, &d.highest)
	m.bools(&d.drifted)
}

func (d *PageHinkley) remembered(m *memory) {
	m.numbers(&d.n, &d.mean, &d.sum)
	m.bools(&d.drifted)
}

func (d *KSWIN) remembered(m *memory) {
	n := m.size(len(d.values), 8)
	if m.reads {
		d.values = make([]float64, n)
	}
	m.bad = m.bad || n > d.Window
	for i := range d.values {
		m.numbers(&d.values[i])
	}
	m.bools(&d.drifted)
	began := d.random != nil
	m.bools(&began)
	if !began {
		return
	}
	if m.reads {
		d.random = prng.NewMT19937()
	}
	state, err := d.random.MarshalBinary()
	size := m.size(len(state), 1)
	switch {
	case err != nil || size != len(state):
		m.bad = true
	case m.reads:
		m.bad = m.bad || d.random.UnmarshalBinary(m.b[:size]) != nil
		m.b = m.b[size:]
	default:
		m.b = append(m.b, state...)
	}
}
