package demo

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize"
)

// fitLogistic finds the multinomial logistic regression of class on the rows of
// d: for each class but the first, the intercept and then p coefficients. It
// minimises the log loss summed over rows plus l2/2 times the squared
// coefficients, the intercepts free: scikit-learn's with C = 1/l2.
func fitLogistic(d *design, class []int, classes, p int, l2 float64) ([][]float64, error) {
	free := classes - 1
	stride := p + 1
	x := make([]float64, free*stride)
	scores := make([]float64, classes)
	scale := 1 / float64(d.n) // keeps loss and gradient of one size whatever n

	// evaluate gives the loss at w and, unless grad is nil, its gradient.
	evaluate := func(grad, w []float64) float64 {
		clear(grad)
		loss := 0.0
		for i := range d.n {
			index, value := d.row(i)
			for k := range free {
				b := w[k*stride : (k+1)*stride]
				s := b[0]
				for e, j := range index {
					if j >= 0 {
						s += b[1+j] * value[e]
					}
				}
				scores[k+1] = s
			}
			scores[0] = 0
			y := class[i]
			own := scores[y]
			loss += softmax(scores) - own
			if grad == nil {
				continue
			}
			for k := range free {
				miss := scores[k+1]
				if y == k+1 {
					miss--
				}
				g := grad[k*stride : (k+1)*stride]
				g[0] += miss
				for e, j := range index {
					if j >= 0 {
						g[1+j] += miss * value[e]
					}
				}
			}
		}
		for k := range free {
			for j := 1; j < stride; j++ {
				c := w[k*stride+j]
				loss += l2 / 2 * c * c
				if grad != nil {
					grad[k*stride+j] += l2 * c
				}
			}
		}
		for j := range grad {
			grad[j] *= scale
		}
		return loss * scale
	}
	result, err := optimize.Minimize(
		optimize.Problem{
			Func: func(w []float64) float64 { return evaluate(nil, w) },
			Grad: func(grad, w []float64) { evaluate(grad, w) },
		}, x,
		&optimize.Settings{
			GradientThreshold: 1e-6,
			MajorIterations:   300,
			Converger:         &optimize.FunctionConverge{Absolute: 1e-9, Iterations: 5},
		}, &optimize.LBFGS{})
	// Close to the minimum the line search may find no better point and say so;
	// what counts is whether the point is one.
	if result == nil {
		return nil, fmt.Errorf("fit logistic regression: %w", err)
	}
	grad := make([]float64, len(x))
	loss := evaluate(grad, result.X)
	for _, g := range grad {
		if math.IsNaN(loss) || math.IsNaN(g) || (err != nil && math.Abs(g) > 1e-3) {
			return nil, errors.Join(errors.New("fit logistic regression: no minimum found; a larger l2 helps"), err)
		}
	}
	weights := make([][]float64, free)
	for k := range weights {
		weights[k] = result.X[k*stride : (k+1)*stride]
	}
	return weights, nil
}

// softmax turns scores into probabilities and returns the log of their sum of
// exponentials.
func softmax(scores []float64) float64 {
	top := scores[0]
	for _, s := range scores[1:] {
		top = max(top, s)
	}
	sum := 0.0
	for k, s := range scores {
		scores[k] = math.Exp(s - top)
		sum += scores[k]
	}
	for k := range scores {
		scores[k] /= sum
	}
	return top + math.Log(sum)
}

// fitRidge finds the intercept and then the p coefficients of the ridge
// regression of y on the rows of d: least squares plus l2 times the squared
// coefficients, the intercept free.
func fitRidge(d *design, y []float64, p int, l2 float64) ([]float64, error) {
	size := p + 1
	normal := mat.NewSymDense(size, nil)
	raw := normal.RawSymmetric()
	right := make([]float64, size)
	index := make([]int, 0, d.width+1)
	value := make([]float64, 0, d.width+1)
	for i := range d.n {
		at, v := d.row(i)
		index, value = append(index[:0], 0), append(value[:0], 1)
		for k, j := range at {
			if j >= 0 {
				index, value = append(index, int(j)+1), append(value, v[k])
			}
		}
		// Indices rise within a row, so this fills the upper triangle.
		for a, ja := range index {
			row := raw.Data[ja*raw.Stride:]
			for b := a; b < len(index); b++ {
				row[index[b]] += value[a] * value[b]
			}
			right[ja] += value[a] * y[i]
		}
	}
	for j := 1; j < size; j++ {
		normal.SetSym(j, j, normal.At(j, j)+l2)
	}
	var factor mat.Cholesky
	if !factor.Factorize(normal) {
		return nil, fmt.Errorf("fit ridge regression: the columns depend on each other; want an l2 above %g", l2)
	}
	weights := mat.NewVecDense(size, nil)
	if err := factor.SolveVecTo(weights, mat.NewVecDense(size, right)); err != nil {
		return nil, fmt.Errorf("fit ridge regression: %w; want an l2 above %g", err, l2)
	}
	return weights.RawVector().Data, nil
}
