package statistics

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/anneal-ml/anneal/drift/sketch"
)

// EppsSingleton is the test of two samples by their characteristic functions at
// 0.4 and 0.8 over half the interquartile range (Epps and Singleton,
// J. Stat. Comput. Simul. 26, 1986; scipy.stats.epps_singleton_2samp). It needs
// five values each, and quartiles that differ.
func EppsSingleton(x, y []sketch.Point) (statistic, p float64, err error) {
	nx, ny := float64(N(x)), float64(N(y))
	if min(nx, ny) < 5 {
		return 0, 0, fmt.Errorf("%.0f and %.0f values: want at least 5 each", nx, ny)
	}
	quartiles := Quantiles(Pool(x, y), []float64{0.25, 0.75})
	sigma := (quartiles[1] - quartiles[0]) / 2
	if sigma == 0 || math.IsInf(0.8/sigma, 0) {
		return 0, 0, errors.New("the quartiles of both samples together are equal: want some spread")
	}
	n := nx + ny
	meanX, covX := characteristic(x, sigma)
	meanY, covY := characteristic(y, sigma)
	var cov mat.Dense
	covX.Scale(n/nx, covX)
	covY.Scale(n/ny, covY)
	cov.Add(covX, covY)

	// The pseudoinverse leaves out directions without variance, and the degrees
	// of freedom are the others: NumPy's pinv and matrix_rank, as SciPy uses them.
	var svd mat.SVD
	if mat.Norm(&cov, 1)-mat.Norm(&cov, 1) != 0 {
		return 0, 0, errors.New("values so far out beside the quartiles have no cosine")
	}
	if !svd.Factorize(&cov, mat.SVDFull) {
		return 0, 0, errors.New("the covariance of the characteristic functions has no singular values")
	}
	var u, v mat.Dense
	svd.UTo(&u)
	svd.VTo(&v)
	values := svd.Values(nil)
	const epsilon = 0x1p-52
	zero := max(1e-15*values[0], epsilon*epsilon) // that of two constants is 0 but for rounding
	freedom, least := 0.0, math.Inf(1)            // least: singular value that is inverted
	for i, s := range values {
		if s <= zero {
			continue
		}
		least = min(least, s)
		left, right := 0.0, 0.0
		for j := range values {
			d := meanX[j] - meanY[j]
			left += d * v.At(j, i)
			right += d * u.At(j, i)
		}
		statistic += n * left * right / s
	}
	for _, s := range values {
		// Of the inverse, whose largest value is 1/least.
		if s > zero && 1/s > float64(len(values))*epsilon/least {
			freedom++
		}
	}
	if max(nx, ny) < 25 {
		statistic /= 1 + math.Pow(n, -0.45) + 10.1*(math.Pow(nx, -1.7)+math.Pow(ny, -1.7))
	}
	if freedom == 0 {
		return 0, math.NaN(), nil
	}
	return statistic, distuv.ChiSquared{K: freedom}.Survival(statistic), nil
}

// characteristic is the mean and the covariance (of N) of the cosines and sines
// of the values.
func characteristic(x []sketch.Point, sigma float64) ([]float64, *mat.Dense) {
	row := func(v float64) [4]float64 {
		s1, c1 := math.Sincos(0.4 / sigma * v)
		s2, c2 := math.Sincos(0.8 / sigma * v)
		return [4]float64{c1, c2, s1, s2}
	}
	n := float64(N(x))
	mean := make([]float64, 4)
	for _, p := range x {
		for i, v := range row(p.Value) {
			mean[i] += v * float64(p.Weight) / n
		}
	}
	cov := mat.NewDense(4, 4, nil)
	for _, p := range x {
		r := row(p.Value)
		for i := range r {
			for j := range r {
				cov.Set(i, j, cov.At(i, j)+(r[i]-mean[i])*(r[j]-mean[j])*float64(p.Weight)/n)
			}
		}
	}
	return mean, cov
}
