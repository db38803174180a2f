package drift

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
)

// A sample is a list of numbers in JSON, or a generator {"gen": …} that makes
// one on the spot.
type sample []float64

// sampleLimit is how many values a generator makes at most.
const sampleLimit = 100_000_000

func (s *sample) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		var v struct{ Gen generator }
		if err := json.Unmarshal(b, &v); err != nil {
			return err
		}
		var err error
		*s, err = v.Gen.values()
		return err
	}
	var list []any
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*s = make(sample, len(list))
	for i, v := range list {
		switch v := v.(type) {
		case nil:
			(*s)[i] = math.NaN()
		case float64:
			(*s)[i] = v
		case string:
			special, ok := map[string]float64{"NaN": math.NaN(), "+Inf": math.Inf(1), "-Inf": math.Inf(-1)}[v]
			if !ok {
				return fmt.Errorf(`value %q: want a number, "NaN", "+Inf" or "-Inf"`, v)
			}
			(*s)[i] = special
		default:
			return fmt.Errorf("value %v: want a number", v)
		}
	}
	return nil
}

// A generator makes a sample whose value i is a pure function of seed and i,
// in IEEE double precision, without fused multiply-add: the explicit
// conversions below forbid it.
type generator struct {
	Kind     string // uniform, ih12, pow3, int, bern
	Seed     uint64
	N        int
	A, B     float64
	Mean, SD float64
	K        float64
	P        float64
	NaN      *struct {
		Seed uint64
		P    float64
	}
}

func (g generator) values() ([]float64, error) {
	if g.N < 0 || g.N > sampleLimit {
		return nil, fmt.Errorf("generator of %d values: want 0 to %d", g.N, sampleLimit)
	}
	values := make([]float64, g.N)
	for i := range values {
		switch g.Kind {
		case "uniform":
			values[i] = g.A + float64((g.B-g.A)*uniform(g.Seed, uint64(i)))
		case "ih12":
			t := 0.0
			for k := range uint64(12) {
				t += uniform(g.Seed, 12*uint64(i)+k)
			}
			values[i] = g.Mean + float64(g.SD*(t-6))
		case "pow3":
			u := uniform(g.Seed, uint64(i))
			values[i] = g.A * float64(float64(u*u)*u)
		case "int":
			values[i] = math.Floor(g.K * uniform(g.Seed, uint64(i)))
		case "bern":
			if uniform(g.Seed, uint64(i)) < g.P {
				values[i] = 1
			}
		default:
			return nil, fmt.Errorf("unknown generator %q (have uniform, ih12, pow3, int, bern)", g.Kind)
		}
		if g.NaN != nil && uniform(g.NaN.Seed, uint64(i)) < g.NaN.P {
			values[i] = math.NaN()
		}
	}
	return values, nil
}

// uniform is draw i of the SplitMix64 stream that starts at seed, in [0, 1).
func uniform(seed, i uint64) float64 {
	z := seed + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11) / (1 << 53)
}
