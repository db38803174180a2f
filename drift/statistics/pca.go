package statistics

import (
	"errors"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"
)

// A PCA is a reference in few dimensions: what is lost of other rows in them
// says how far the rows are from it, correlations and all. It is NannyML's
// multivariate drift: columns are standardised (by N), and the least number of
// principal components that explain more than a share of the variance is kept.
type PCA struct {
	// Ratios are the shares of the variance that the kept components explain.
	Ratios     []float64
	means, sds []float64
	components *mat.Dense // a column each
}

// NewPCA learns the reference: rows of one length, at least two of them, of
// which not all columns are constant. NannyML's share is 0.65.
func NewPCA(rows [][]float64, share float64) (*PCA, error) {
	d := len(rows[0])
	p := &PCA{means: make([]float64, d), sds: make([]float64, d)}
	column := make([]float64, len(rows))
	for j := range d {
		for i, r := range rows {
			column[i] = r[j]
		}
		p.means[j], p.sds[j] = stat.PopMeanStdDev(column, nil)
		if p.sds[j] == 0 {
			p.sds[j] = 1 // a constant column has no deviations to scale
		}
	}
	standard := mat.NewDense(len(rows), d, nil)
	for i, r := range rows {
		standard.SetRow(i, p.standardise(r))
	}
	var pc stat.PC
	if !pc.PrincipalComponents(standard, nil) {
		return nil, errors.New("the reference has no principal components")
	}
	variances := pc.VarsTo(nil)
	all := floats.Sum(variances)
	if all == 0 {
		return nil, errors.New("the reference has no variance")
	}
	sum := 0.0
	for _, v := range variances {
		p.Ratios = append(p.Ratios, v/all)
		if sum += v / all; sum > share {
			break
		}
	}
	var vectors mat.Dense
	pc.VectorsTo(&vectors)
	p.components = mat.DenseCopyOf(vectors.Slice(0, d, 0, len(p.Ratios)))
	return p, nil
}

func (p *PCA) standardise(row []float64) []float64 {
	s := make([]float64, len(row))
	for j, v := range row {
		s[j] = (v - p.means[j]) / p.sds[j]
	}
	return s
}

// Error is the mean over rows of how far each is, in standard deviations, from
// what the kept components make of it.
func (p *PCA) Error(rows [][]float64) float64 {
	sum := 0.0
	for _, r := range rows {
		s := mat.NewVecDense(len(r), p.standardise(r))
		var scores, back mat.VecDense
		scores.MulVec(p.components.T(), s)
		back.MulVec(p.components, &scores)
		back.SubVec(s, &back)
		sum += mat.Norm(&back, 2)
	}
	return sum / float64(len(rows))
}
