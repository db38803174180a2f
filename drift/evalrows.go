package drift

import (
	"errors"
	"fmt"

	"github.com/anneal-ml/anneal/drift/statistics"
)

// tables are rows of the reference, x, and others, y.
type tables struct{ X, Y []sample }

// rows are those of both; each must have that many, all of one length and of
// finite numbers.
func (t tables) rows(least int) (x, y [][]float64, err error) {
	for _, side := range []struct {
		from []sample
		to   *[][]float64
	}{{t.X, &x}, {t.Y, &y}} {
		if len(side.from) < least {
			return nil, nil, fmt.Errorf("%d rows: want at least %d on each side", len(side.from), least)
		}
		for _, row := range side.from {
			if len(row) == 0 || len(row) != len(t.X[0]) {
				return nil, nil, fmt.Errorf("a row of %d values beside one of %d: want as many", len(row), len(t.X[0]))
			}
			if err := finite(row); err != nil {
				return nil, nil, err
			}
			*side.to = append(*side.to, row)
		}
	}
	return x, y, nil
}

// finite checks that there is a number in each place.
func finite(values []float64) error {
	for _, v := range values {
		if v-v != 0 {
			return fmt.Errorf("value %v: want finite numbers", v)
		}
	}
	return nil
}

type discrepancy struct {
	tables
	Sigma        *float64
	Permutations int
	Seed         uint64
}

func evalMMD(d discrepancy) (results, error) {
	x, y, err := d.rows(2)
	if err != nil {
		return nil, err
	}
	n := len(x) + len(y)
	if most := 4000; n > most {
		return nil, fmt.Errorf("%d rows: want at most %d, for each is held against each", n, most)
	}
	if steps := float64(n) * float64(n) * float64(d.Permutations); d.Permutations < 1 || steps > 2e10 {
		return nil, fmt.Errorf("%d permutations of %d rows: want at least 1, and at most %.0f", d.Permutations, n, 2e10/float64(n*n))
	}
	median := statistics.MedianSigma(x, y)
	sigma := median
	if d.Sigma != nil {
		sigma = *d.Sigma
	}
	if !(sigma > 0) {
		return nil, fmt.Errorf("sigma is %v: want above 0, and so not half of the rows the same", sigma)
	}
	mmd := statistics.NewMMD(x, y, sigma)
	return results{"sigma_median": median, "mmd2": mmd.Squared, "p_value": mmd.PValue(d.Permutations, d.Seed)}, nil
}

type reconstruction struct {
	tables
	Share float64
}

func evalPCA(p reconstruction) (results, error) {
	x, y, err := p.rows(1)
	if err != nil {
		return nil, err
	}
	if len(x) < 2 {
		return nil, errors.New("the reference has one row: want at least 2")
	}
	pca, err := statistics.NewPCA(x, p.Share)
	if err != nil {
		return nil, err
	}
	return results{"components": len(pca.Ratios), "explained_variance_ratio": pca.Ratios,
		"error_x": pca.Error(x), "error_y": pca.Error(y)}, nil
}
